"""Kept prices: asked for once a day, used when AWS cannot be asked, never overwritten when they cannot be read."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from servo_emr.domain.money import Prices, Rate, StorageRate
from servo_emr.pricing.cache import FRESH_S, CachedPrices
from tests.support.memory import MemoryWorkspace
from tests.support.simclock import SimClock

M5 = Rate("m5.xlarge", "us-east-1", 0.192, 0.048, "AWS Price List of 2026-11-01", "AWS Price List of 2026-11-01")
GP3 = StorageRate("gp3", "us-east-1", 0.08, "AWS Price List of 2026-11-01")


@dataclass
class Source:
    """A price list that knows m5.xlarge and gp3, until it may not be asked."""

    note: str = ""
    asked: list[tuple[list[str], list[str]]] = field(default_factory=list)

    async def prices(self, region: str, inst_types: Sequence[str], kinds: Sequence[str]) -> Prices:
        self.asked.append((list(inst_types), list(kinds)))
        if self.note or region != "us-east-1":
            return Prices("AWS Price List", note=self.note)
        rates = {"m5.xlarge": M5} if "m5.xlarge" in inst_types else {}
        return Prices("AWS Price List", rates, {"gp3": GP3} if "gp3" in kinds else {})


@dataclass
class Scene:
    workspace: MemoryWorkspace = field(default_factory=MemoryWorkspace)
    clock: SimClock = field(default_factory=SimClock)
    source: Source = field(default_factory=Source)

    async def ask(self, *types: str, keep: bool = True) -> Prices:
        cached = CachedPrices(self.source, self.workspace, self.clock, keep=keep)
        return await cached.prices("us-east-1", types or ("m5.xlarge",), ("gp3",))


async def test_a_price_is_asked_for_once_a_day() -> None:
    scene = Scene()
    for _ in range(3):
        prices = await scene.ask()
        assert (prices.rates, prices.storage, prices.note) == ({"m5.xlarge": M5}, {"gp3": GP3}, "")
    assert scene.source.asked == [(["m5.xlarge"], ["gp3"])]
    await scene.clock.sleep(FRESH_S)
    await scene.ask()
    assert len(scene.source.asked) == 2


async def test_only_what_is_not_kept_is_asked_for() -> None:
    scene = Scene()
    await scene.ask()
    prices = await scene.ask("m5.xlarge", "x9.large")
    assert prices.rates == {"m5.xlarge": M5}, "what nobody knows stays unknown"
    assert scene.source.asked[-1] == (["x9.large"], [])


async def test_an_old_price_does_when_the_list_cannot_be_asked_and_says_how_old_it_is() -> None:
    scene = Scene()
    await scene.ask()
    await scene.clock.sleep(3 * FRESH_S)
    scene.source.note = "AWS Price List could not be asked (AccessDenied)"
    prices = await scene.ask()
    assert prices.rates == {"m5.xlarge": M5}
    assert "AccessDenied" in prices.note
    assert "m5.xlarge at the price that was kept on 20" in prices.note
    assert "EBS gp3 at the price that was kept on 20" in prices.note


async def test_a_command_that_must_write_nothing_writes_nothing() -> None:
    scene = Scene()
    assert (await scene.ask(keep=False)).rates == {"m5.xlarge": M5}
    assert await scene.workspace.document("prices") is None


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ({"schema": 2}, "prices kept in prices.json cannot be read (operator/bucket)"),
        ({"schema": 1, "rates": [{}]}, "prices.json in the workspace holds no prices of this version"),
        ({"schema": 1, "rates": 3, "storage": []}, "prices.json in the workspace holds no prices of this version"),
    ],
)
async def test_kept_prices_of_another_version_are_named_and_left_as_they_are(body: dict[str, object], why: str) -> None:
    scene = Scene()
    await scene.workspace.write("prices", body, None)
    prices = await scene.ask()
    assert prices.rates == {"m5.xlarge": M5}
    assert why in prices.note
    assert json.loads(scene.workspace.objects["prices.json"]) == body


async def test_a_workspace_that_cannot_be_reached_costs_the_cache_and_not_the_price() -> None:
    scene = Scene()
    scene.workspace.down = True
    prices = await scene.ask()
    assert prices.rates == {"m5.xlarge": M5}
    assert "prices kept in prices.json cannot be read (" in prices.note

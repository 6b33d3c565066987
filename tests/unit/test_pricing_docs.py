"""The bills and estimates that docs/cost.md works by hand: read from the page, made, and compared figure by figure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from servo_emr.domain.intervals import union_seconds
from servo_emr.domain.money import Cost, SpotPoint
from servo_emr.domain.run import InstanceRow, Timeline, Usage, Volume
from servo_emr.domain.spec import LimitSpec, Market, Role
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.table import TablePrices
from tests.support.prices import T0, ZONE, History, group, spec
from tests.support.simclock import SimClock

PAGE = (Path(__file__).parents[2] / "docs" / "cost.md").read_text(encoding="utf-8")
FIGURE = re.compile(r"([A-Za-z][A-Za-z0-9 ]*?) ([0-9]+\.[0-9]{6})(?=[,.])")
HUNDREDTH_OF_A_CENT = 1e-4
AS_PRINTED = 0.6e-6


def sections(heading: str) -> dict[str, str]:
    """The sections below a second-level heading of the page, by their own headings."""
    (chapter,) = [text for text in PAGE.split("\n## ") if text.startswith(heading + "\n")]
    return {text.partition("\n")[0]: text for text in chapter.split("\n### ")[1:]}


BILLS = sections("Bills worked by hand")
ESTIMATES = sections("Before the launch")


def figures(section: str) -> dict[str, float]:
    """The figures of a section's last paragraph."""
    last = " ".join(section.strip().split("\n\n")[-1].split())
    return {name: float(value) for name, value in FIGURE.findall(last)}


@dataclass
class Case:
    """A run as a section's block gives it."""

    region: str = "us-east-1"
    root: Volume = field(default_factory=lambda: Volume("gp3", 15))
    volumes: tuple[Volume, ...] | None = None
    rows: list[InstanceRow] = field(default_factory=list)
    repeats: list[list[tuple[float, float]]] = field(default_factory=list)
    prices: dict[str, list[SpotPoint]] = field(default_factory=dict)
    pins: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @classmethod
    def of(cls, section: str) -> Case:
        case = cls()
        block = re.search(r"```text\n(.*?)```", section, re.DOTALL)
        assert block, section
        for line in block[1].splitlines():
            case.read(*line.partition(" ")[::2])
        return case

    def read(self, word: str, rest: str) -> None:
        """Takes one line of the block."""
        if word == "region":
            self.region = rest
        elif word == "root":
            self.root = volume(rest)
        elif word == "volumes":
            self.volumes = tuple(map(volume, rest.split(", ")))
        elif word == "pin":
            name, *values = rest.split()
            self.pins[name] = tuple(map(float, values))
        elif word == "price":
            name, _, points = rest.partition(" ")
            pairs = (point.split(" from ") for point in points.split(", "))
            self.prices[name] = [SpotPoint(T0 + float(at), float(usd)) for usd, at in pairs]
        elif word == "repeat":
            spans = (span.split("-") for span in rest.split())
            self.repeats.append([(T0 + float(start), T0 + float(end)) for start, end in spans])
        else:
            inst_type, market, *times = rest.split()
            line = Timeline(*(None if time == "-" else T0 + float(time) for time in times))
            for _ in range(int(word)):
                name = f"i-{len(self.rows)}"
                self.rows.append(InstanceRow(name, inst_type, "ig", market, "TERMINATED", line))

    async def cost(self) -> Cost:
        """The bill, at the prices of the packaged table unless the block pins some."""
        book = RateBook(
            [TablePrices()],
            clock=SimClock(T0),
            spot=History({(name, ZONE): points for name, points in self.prices.items()}),
            overrides={name: (pin[0], pin[1]) for name, pin in self.pins.items() if "." in name},
            storage_overrides={name: (pin[0], None, None) for name, pin in self.pins.items() if "." not in name},
        )
        quoted = await book.quote(spec(*dict.fromkeys(row.inst_type for row in self.rows), region=self.region))
        rows = tuple(replace(row, volumes=self.volumes) for row in self.rows)
        return await book.bill(Usage(self.region, rows, self.root, ZONE), quoted, self.repeats or [[]])


def volume(text: str) -> Volume:
    """KIND GIB [IOPS MIB_PER_S]."""
    kind, gib, *more = text.split()
    return Volume(kind, float(gib), *map(int, more))


def check_figures(made: dict[str, float], printed: dict[str, float]) -> None:
    """Every figure of the page is one that is made, to the last digit printed."""
    assert AS_PRINTED < HUNDREDTH_OF_A_CENT
    assert made.keys() == printed.keys()
    assert made == pytest.approx(printed, rel=0, abs=AS_PRINTED)


@pytest.mark.parametrize("name", BILLS)
async def test_a_bill_worked_by_hand_in_the_docs_is_the_bill_that_is_made(name: str) -> None:
    case, printed = Case.of(BILLS[name]), figures(BILLS[name])
    cost = await case.cost()
    made = {
        "EC2": cost.ec2_usd,
        "fee": cost.fee_usd,
        "fee from ready": cost.fee_low_usd,
        "EBS": cost.ebs_usd,
        "billed": cost.billed_usd,
        "cost": cost.usd,
        "hours": cost.node_hours,
    }
    if cost.job_usd is not None:
        made["job"] = cost.job_usd
    if "duration" in printed:
        made["duration"] = union_seconds(case.repeats[0])
    check_figures(made, printed)


def test_the_docs_work_every_kind_of_bill_by_hand() -> None:
    assert len(BILLS) >= 12
    assert all(len(figures(section)) >= 7 for section in BILLS.values())
    kinds = {line.split()[0] for section in BILLS.values() for line in section.splitlines() if line}
    assert {"region", "root", "volumes", "pin", "price", "repeat"} <= kinds


async def check_estimate(name: str, *, spot: bool) -> None:
    """Compares an estimate with the page's."""
    points = [SpotPoint(T0 - 900, 0.3), SpotPoint(T0 - 60, 0.100)]
    pools: dict[tuple[str, str], Sequence[SpotPoint]] = {("r5.xlarge", ZONE): points}
    pools["r5.xlarge", "us-east-1f"] = [SpotPoint(T0 - 900, 0.090)]
    book = RateBook([TablePrices()], clock=SimClock(T0), spot=History(pools))
    if spot:
        core = group(Role.CORE, "r5.xlarge", 4, Market.SPOT, 0.150)
        asked = spec("m5.xlarge", core, expected_s=600.0, timeout_s=3600.0, repeats=3)
        asked = replace(asked, limits=LimitSpec(deadline_s=1800.0))
    else:
        asked = spec("m5.xlarge", group(Role.CORE, "r5.2xlarge", 4))
    found = book.estimate(asked, await book.quote(asked), 420.0)
    made = {
        "per hour": found.usd_per_hour,
        "ceiling": found.ceiling_usd_per_hour,
        "EC2": found.ec2_usd_per_hour,
        "fee": found.fee_usd_per_hour,
        "EBS": found.ebs_usd_per_hour,
        "primary": found.primary_usd_per_hour,
        "floor": found.floor_usd,
        "likely": found.likely_usd,
        "high": found.high_usd,
    }
    check_figures(made, figures(ESTIMATES[name]))


async def test_the_estimates_worked_by_hand_in_the_docs_are_the_estimates_that_are_made() -> None:
    await check_estimate("Estimate on demand", spot=False)
    await check_estimate("Estimate on spot", spot=True)

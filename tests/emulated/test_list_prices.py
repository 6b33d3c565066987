"""AWS's prices as the emulator serves them: of the many products around a type exactly the one that a node costs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from servo_emr.aws.door import Door, Patience
from servo_emr.aws.prices import PRICE_LIST_REGION, ListPrices, SpotPrices
from servo_emr.domain.errors import Reason, RunError
from servo_emr.domain.money import Prices, SpotPoint, StorageRate
from tests.support.emulator import EmulatorProcess

TABLE = """\
# region: {region}
# currency: USD
# ec2: list price of 2031-01-02
# fee: list of 2031-01-03
# ebs.gp2: 0.10
# ebs.gp3: 0.08
# ebs.gp3.iops: 0.005
# ebs.gp3.throughput: 0.040
# ebs.io1: 0.125
# ebs.io1.iops: 0.065
# ebs.st1: 0.045
# ebs.sc1: 0.015
# ebs.standard: 0.05
type,vcpus,memory_gib,ec2,fee
m5.xlarge,4,16,{m5},0.048
r5.xlarge,4,32,0.252,0.063
c5.large,2,4,0.085,
"""
SPOT = """\
instance_type,availability_zone,timestamp,price
m5.xlarge,us-east-1a,-7200,0.061
m5.xlarge,us-east-1a,-3600,0.07
m5.xlarge,us-east-1a,-600,0.09
m5.xlarge,us-east-1b,-60,0.065
r5.xlarge,us-east-1a,-7200,0.1
"""
EC2 = "AWS Price List of 2031-01-02, version "
FEE = "AWS Price List of 2031-01-03, version "
KINDS = ("gp2", "gp3", "io1", "st1", "sc1", "standard")


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    folder = tmp_path_factory.mktemp("prices")
    words = ["--spot-prices", str(folder / "spot.csv")]
    (folder / "spot.csv").write_text(SPOT)
    for region, m5 in (("us-east-1", 0.192), ("eu-west-1", 0.214)):
        path = folder / f"{region}.csv"
        path.write_text(TABLE.format(region=region, m5=m5))
        words += ["--prices", str(path)]
    with EmulatorProcess(*words) as process:
        yield process


@pytest.fixture(autouse=True)
def at_the_emulator(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in emulator.env.items():
        monkeypatch.setenv(name, value)


async def listed(region: str, *inst_types: str, kinds: tuple[str, ...] = ()) -> Prices:
    return await ListPrices(Door(PRICE_LIST_REGION, Patience.LOOK)).prices(region, inst_types, kinds)


@pytest.mark.parametrize(("region", "m5"), [("us-east-1", 0.192), ("eu-west-1", 0.214)])
async def test_a_type_has_the_one_price_of_a_shared_linux_node_and_of_plain_emr(region: str, m5: float) -> None:
    prices = await listed(region, "m5.xlarge", "r5.xlarge")
    assert prices.note == "", "Windows, reservations, dedicated hosts and MapR are not taken for it"
    assert {name: (rate.ec2, rate.fee, rate.region) for name, rate in prices.rates.items()} == {
        "m5.xlarge": (m5, 0.048, region),
        "r5.xlarge": (0.252, 0.063, region),
    }
    assert all(rate.ec2_source.startswith(EC2) and rate.fee_source.startswith(FEE) for rate in prices.rates.values())
    assert not any(rate.fee_estimated for rate in prices.rates.values())


async def test_a_fee_that_the_list_has_not_is_an_estimate_that_says_so_and_an_unknown_type_is_left_out() -> None:
    prices = await listed("us-east-1", "c5.large", "x9.huge")
    assert list(prices.rates) == ["c5.large"]
    rate = prices.rates["c5.large"]
    assert (rate.ec2, rate.fee, rate.fee_estimated) == (0.085, 0.085 / 4, True)
    assert "estimated" in rate.fee_source


async def test_volumes_are_charged_by_size_and_some_kinds_by_iops_and_throughput_in_our_units() -> None:
    storage = (await listed("us-east-1", kinds=KINDS)).storage
    source = storage["gp3"].source
    assert source.startswith(EC2)
    charges = {
        "gp2": (0.10, None, None),
        "gp3": (0.08, 0.005, 0.040),  # listed per GiB/s, 1,024 times as much
        "io1": (0.125, 0.065, None),
        "st1": (0.045, None, None),
        "sc1": (0.015, None, None),
        "standard": (0.05, None, None),
    }
    assert storage == {
        kind: StorageRate(kind, "us-east-1", gib, source, iops, pytest.approx(rate) if rate else None)
        for kind, (gib, iops, rate) in charges.items()
    }


async def test_a_region_that_the_list_has_not_has_no_prices() -> None:
    assert await listed("ap-south-2", "m5.xlarge", kinds=KINDS) == Prices(ListPrices.SOURCE)


async def test_a_list_that_cannot_be_asked_knows_nothing_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    prices = await listed("us-east-1", "m5.xlarge", kinds=("gp3",))
    assert (prices.rates, prices.storage) == ({}, {})
    assert "could not be asked" in prices.note
    with pytest.raises(RunError) as error:
        await SpotPrices(Door("us-east-1", Patience.QUICK)).history("us-east-1", ["m5.xlarge"], 0.0, 1.0)
    assert error.value.reason is Reason.ENDPOINT


async def test_the_spot_history_is_of_linux_oldest_first_from_the_price_in_force_at_its_start(
    emulator: EmulatorProcess,
) -> None:
    zero = datetime.fromtimestamp(emulator.now(), UTC).replace(microsecond=0).timestamp()
    source = SpotPrices(Door("us-east-1", Patience.LOOK))
    history = await source.history("us-east-1", ["m5.xlarge"], zero - 1800.0, zero)
    assert history == {
        ("m5.xlarge", "us-east-1a"): (SpotPoint(zero - 3600.0, 0.07), SpotPoint(zero - 600.0, 0.09)),
        ("m5.xlarge", "us-east-1b"): (SpotPoint(zero - 60.0, 0.065),),
    }
    both = await source.history("us-east-1", ["m5.xlarge", "r5.xlarge"], zero - 300.0, zero, zone="us-east-1a")
    assert {pool: [point.usd for point in points] for pool, points in both.items()} == {
        ("m5.xlarge", "us-east-1a"): [0.09],
        ("r5.xlarge", "us-east-1a"): [0.1],
    }

"""The price table's format, and the tool that restates a source in it."""

from __future__ import annotations

import runpy
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import pytest

from servo_emr.domain.money import Rate, StorageRate
from servo_emr.pricing.table import TablePrices, parse

TOOL = Path(__file__).parents[2] / "tools" / "make_price_table.py"
HEAD = """\
# Prices
# region: eu-test-1
# currency: USD
# ec2: list price of 2031-01-02
# fee: list of 2030-01-02
# ebs: list price of 2032-01-02
# ebs.gp2: 0.11
# ebs.gp3: 0.088
# ebs.gp3.iops: 0.0055
# ebs.gp3.throughput: 0.044
"""
COLUMNS = "type,vcpus,memory_gib,ec2,fee\n"


def test_a_line_becomes_a_rate_with_its_sources() -> None:
    table = parse(HEAD + COLUMNS + "m5.xlarge,4,16,0.192,0.048\n")
    assert table.rates["m5.xlarge"] == Rate(
        inst_type="m5.xlarge",
        region="eu-test-1",
        ec2=0.192,
        fee=0.048,
        ec2_source="list price of 2031-01-02",
        fee_source="list of 2030-01-02",
        fee_estimated=False,
    )
    assert "eu-test-1, 1 types" in table.description and "2031-01-02" in table.description


def test_the_head_has_the_prices_of_volumes_with_their_source() -> None:
    storage = parse(HEAD + COLUMNS + "m5.xlarge,4,16,0.192,0.048\n").storage
    assert storage == {
        "gp2": StorageRate("gp2", "eu-test-1", 0.11, "list price of 2032-01-02"),
        "gp3": StorageRate("gp3", "eu-test-1", 0.088, "list price of 2032-01-02", 0.0055, 0.044),
    }


def test_a_fee_that_no_list_has_is_estimated_and_says_so() -> None:
    rate = parse(HEAD + COLUMNS + "c5.large,2,4,0.085,\n").rates["c5.large"]
    assert rate.fee == pytest.approx(0.02125)
    assert rate.fee_estimated
    assert rate.fee_source == "estimated as 25% of EC2"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "has no types"),
        (HEAD + COLUMNS, "has no types"),
        (COLUMNS + "a.b,1,1,1,1\n", "line 1: region, currency, ec2, fee, ebs"),
        (HEAD.replace("USD", "EUR") + COLUMNS + "a.b,1,1,1,1\n", "line 11"),
        (HEAD + "a.b,1,1,1,1\n", "line 11"),
        (HEAD + COLUMNS + "a.b,1,1,1\n", "line 12: 'a.b,1,1,1' is not type,vcpus"),
        (HEAD + COLUMNS + "a.b,1,1,one,1\n", "line 12"),
        (HEAD + COLUMNS + "a.b,1,1,1,1\na.b,1,1,1,1\n", "line 13: a.b is there twice"),
        (HEAD + "# ebs.gp2.speed: 1\n" + COLUMNS, "line 11: ebs.gp2.speed: 1 is no price of a volume"),
        (HEAD + "# ebs.st1: cheap\n" + COLUMNS, "line 11: ebs.st1: cheap is no price"),
        (HEAD + "# ebs.io1.iops: 0.1\n" + COLUMNS + "a.b,1,1,1,1\n", "ebs.io1 is missing"),
    ],
)
def test_a_text_that_is_no_price_table_is_refused_with_its_line(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


async def test_a_source_that_is_never_asked_never_opens_its_file(tmp_path: Path) -> None:
    source = TablePrices(tmp_path / "missing.csv")
    with pytest.raises(FileNotFoundError):
        await source.prices("us-east-1", ["m5.xlarge"], [])


async def test_the_packaged_table_prices_every_kind_of_volume_that_emr_has() -> None:
    kinds = ["gp2", "gp3", "io1", "st1", "sc1", "standard"]
    given = await TablePrices().prices("us-east-1", [], [*kinds, "io9"])
    assert set(given.storage) == set(kinds)
    assert given.storage["gp3"] == StorageRate(
        "gp3", "us-east-1", 0.08, "list price as third parties quote it, 2024 and 2025", 0.005, 0.04
    )
    assert given.storage["io1"].iops_month == 0.065


Restate = Callable[[Iterable[Mapping[str, str]], str, str, str, str, Sequence[str]], str]


@pytest.fixture(scope="module")
def restate() -> Restate:
    """The tool's function that makes a table of a source's rows."""
    found: Restate = runpy.run_path(str(TOOL))["restate"]
    return found


def source_row(inst_type: str, ec2: str, fee: str, basis: str) -> dict[str, str]:
    """A row as the source has it."""
    row = {"instance_type": inst_type, "arch": "x86_64", "vcpu": "4", "memory_gib": "7.5"}
    return {**row, "ec2_ondemand_usd_hr": ec2, "emr_usd_hr": fee, "emr_source": basis}


def test_the_tool_restates_every_decimal_of_a_price_and_leaves_estimates_to_the_reader(restate: Restate) -> None:
    rows = [
        source_row("m9.xlarge", "13.1234567", "0.27", "list-2019-04-05"),
        source_row("a9.xlarge", "0.2373", "0.05933", "estimate-25pct-of-od"),
    ]
    volumes = ["gp2=0.10", "gp3=0.08", "gp3.iops=0.005"]
    text = restate(rows, "us-east-1", "list price of 2023-08-30", "list of 2019-04-05", "list of 2024", volumes)
    assert text.splitlines()[-2:] == ["a9.xlarge,4,7.5,0.2373,", "m9.xlarge,4,7.5,13.1234567,0.27"]
    assert parse(text).rates["a9.xlarge"].fee == pytest.approx(0.05933, abs=1e-5)
    assert "\n# ebs: list of 2024\n# ebs.gp2: 0.10\n# ebs.gp3: 0.08\n# ebs.gp3.iops: 0.005\n" in text
    assert parse(text).storage["gp3"].iops_month == 0.005


@pytest.mark.parametrize(
    ("ec2", "fee", "basis", "said"),
    [
        ("0.0", "0.05", "list-2019-04-05", "are not prices"),
        ("0.2", "nan", "list-2019-04-05", "are not prices"),
        ("0.2", "0.06", "estimate-25pct-of-od", "is not 25% of"),
        ("0.2", "0.05", "guess", "is not known as the source of a fee"),
    ],
)
def test_the_tool_stops_at_a_source_that_is_not_what_it_says(
    restate: Restate, ec2: str, fee: str, basis: str, said: str
) -> None:
    with pytest.raises(SystemExit, match=said):
        restate([source_row("m9.xlarge", ec2, fee, basis)], "us-east-1", "x", "y", "z", [])


@pytest.mark.parametrize("volume", ["gp2", "gp2=", "=0.1", "gp2=0", "gp2=nan", "gp2=cheap"])
def test_the_tool_stops_at_a_price_of_a_volume_that_is_none(restate: Restate, volume: str) -> None:
    with pytest.raises(SystemExit, match="is not KIND=USD with a price"):
        restate([source_row("m9.xlarge", "0.2", "0.05", "list-2019-04-05")], "us-east-1", "x", "y", "z", [volume])

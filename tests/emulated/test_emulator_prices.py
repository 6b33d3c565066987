"""Prices, the spot market and quotas of the emulator as boto3 sees them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import command, group, job_flow

PRICES = """\
# region: us-east-1
# currency: USD
# ec2: list of 2031-01-02
# fee: list of 2031-01-02
# ebs.gp3: 0.08
type,vcpus,memory_gib,ec2,fee
m5.xlarge,4,16,0.192,0.048
r5.xlarge,4,32,0.252,0.063
"""
SPOT = """\
instance_type,availability_zone,timestamp,price
m5.xlarge,us-east-1a,-7200,0.061
m5.xlarge,us-east-1a,-60,0.07
m5.xlarge,us-east-1a,+3600,0.09
m5.xlarge,us-east-1b,-60,0.065
r5.xlarge,us-east-1a,-8640000,0.1
r5.xlarge,us-east-1a,-60,0.08
r5.xlarge,us-east-1a,+5000,0.12
"""


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmulatorProcess]:
    """W has come to 4000 s after the start."""
    folder = tmp_path_factory.mktemp("prices")
    (folder / "prices.csv").write_text(PRICES, encoding="utf-8")
    (folder / "spot.csv").write_text(SPOT, encoding="utf-8")
    options = ("--prices", str(folder / "prices.csv"), "--spot-prices", str(folder / "spot.csv"))
    with EmulatorProcess(*options, "--model", "a=100000,b=0,c=0,d=0", "--noise", "0", "--seed", "prices") as process:
        process.advance(4000.0)
        yield process


@pytest.fixture(scope="module")
def zero(emulator: EmulatorProcess) -> datetime:
    """What the history's relative timestamps count from."""
    return datetime.fromtimestamp(emulator.now() - 4000.0, UTC).replace(microsecond=0)


def told(answer: dict[str, Any], zero: datetime) -> list[tuple[str, str, str, float]]:
    """(type, zone's letter, price, seconds from the start) of each row."""
    return [
        (
            row["InstanceType"],
            row["AvailabilityZone"][-1],
            row["SpotPrice"],
            (row["Timestamp"] - zero).total_seconds(),
        )
        for row in answer["SpotPriceHistory"]
    ]


def zone_id(ec2: Any, name: str) -> str:
    (zone,) = ec2.describe_availability_zones(ZoneNames=[name])["AvailabilityZones"]
    return str(zone["ZoneId"])


def test_boto3_reads_products_of_ec2_and_emr_page_by_page(emulator: EmulatorProcess) -> None:
    pages = (
        emulator.client("pricing")
        .get_paginator("get_products")
        .paginate(
            ServiceCode="AmazonEC2",
            Filters=[{"Type": "TERM_MATCH", "Field": "instanceType", "Value": "r5.xlarge"}],
            PaginationConfig={"PageSize": 3},
        )
    )
    found = [[json.loads(text)["product"]["attributes"]["usagetype"] for text in page["PriceList"]] for page in pages]
    assert [len(page) for page in found] == [3, 3, 1]
    assert found[0][0] == "BoxUsage:r5.xlarge" and len({*found[0], *found[1], *found[2]}) == 4
    fees = emulator.client("pricing", region="eu-central-1").get_products(ServiceCode="ElasticMapReduce")["PriceList"]
    assert len(fees) == 6
    call = emulator.calls("pricing", "GetProducts")[0]
    assert (call["status"], call["error"]) == (200, None)


def test_the_price_list_has_no_endpoint_elsewhere_and_other_operations_are_named(emulator: EmulatorProcess) -> None:
    with pytest.raises(ClientError, match=r"InvalidSignatureException.*not in eu-west-1"):
        emulator.client("pricing", region="eu-west-1").get_products(ServiceCode="AmazonEC2")
    with pytest.raises(ClientError, match=r"no operation ListPriceLists of pricing; it has Describe"):
        emulator.client("pricing").list_price_lists(
            ServiceCode="AmazonEC2", EffectiveDate=datetime(2031, 1, 2, tzinfo=UTC), CurrencyCode="USD"
        )


def test_the_history_is_newest_first_and_begins_with_the_price_that_held(
    emulator: EmulatorProcess, zero: datetime
) -> None:
    answer = emulator.client("ec2").describe_spot_price_history(
        StartTime=zero, InstanceTypes=["m5.xlarge"], ProductDescriptions=["Linux/UNIX"]
    )
    assert told(answer, zero) == [
        ("m5.xlarge", "a", "0.090000", 3600.0),
        ("m5.xlarge", "a", "0.070000", -60.0),
        ("m5.xlarge", "b", "0.065000", -60.0),
    ]
    row = answer["SpotPriceHistory"][0]
    assert (row["ProductDescription"], row["AvailabilityZoneId"][:3]) == ("Linux/UNIX", "use")
    assert answer["NextToken"] == ""


def test_no_price_is_told_before_its_time_nor_after_ninety_days(emulator: EmulatorProcess, zero: datetime) -> None:
    ec2 = emulator.client("ec2")
    answer = ec2.describe_spot_price_history(
        EndTime=zero + timedelta(days=1), InstanceTypes=["r5.xlarge"], ProductDescriptions=["Linux/UNIX (Amazon VPC)"]
    )
    # The first change is 100 days old: it is told because its price held 90 days ago.
    assert told(answer, zero) == [
        ("r5.xlarge", "a", "0.080000", -60.0),
        ("r5.xlarge", "a", "0.100000", -8_640_000.0),
    ]
    latest = ec2.describe_spot_price_history(
        StartTime=zero + timedelta(days=1),
        Filters=[
            {"Name": "product-description", "Values": ["Linux/UNIX (Amazon VPC)"]},
            {"Name": "spot-price", "Values": ["0.0[67]*"]},
            {"Name": "availability-zone-id", "Values": [zone_id(ec2, "us-east-1b")]},
        ],
    )
    assert told(latest, zero) == []
    latest = ec2.describe_spot_price_history(
        StartTime=zero + timedelta(days=1),
        ProductDescriptions=["Linux/UNIX"],
        Filters=[{"Name": "instance-type", "Values": ["m5.*"]}, {"Name": "spot-price", "Values": ["0.09?000"]}],
    )
    assert told(latest, zero) == [("m5.xlarge", "a", "0.090000", 3600.0)]


def test_a_query_without_a_product_gets_windows_too(emulator: EmulatorProcess, zero: datetime) -> None:
    answer = emulator.client("ec2").describe_spot_price_history(
        StartTime=zero + timedelta(seconds=3600),
        EndTime=zero + timedelta(seconds=3601),
        InstanceTypes=["m5.xlarge"],
        AvailabilityZone="us-east-1a",
    )
    assert [(row["ProductDescription"], row["SpotPrice"]) for row in answer["SpotPriceHistory"]] == [
        ("Linux/UNIX", "0.090000"),
        ("Windows", "0.274000"),
    ]


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_pages_hold_the_whole_history_once(emulator: EmulatorProcess, zero: datetime, size: int) -> None:
    ec2 = emulator.client("ec2")
    whole = ec2.describe_spot_price_history(StartTime=zero - timedelta(days=90))["SpotPriceHistory"]
    pages = ec2.get_paginator("describe_spot_price_history").paginate(
        StartTime=zero - timedelta(days=90), PaginationConfig={"PageSize": size}
    )
    found = [row for page in pages for row in page["SpotPriceHistory"]]
    assert found == whole and len(whole) == 12
    assert [row["Timestamp"] for row in whole] == sorted((row["Timestamp"] for row in whole), reverse=True)


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        ({"AvailabilityZone": "us-east-1z"}, r"InvalidParameterValue.*Invalid availability zone: \[us-east-1z\]"),
        ({"AvailabilityZone": "us-east-1a", "AvailabilityZoneId": "use1-az1"}, "InvalidParameterCombination"),
        ({"Filters": [{"Name": "color", "Values": ["red"]}]}, "InvalidParameterValue.*The filter 'color' is invalid"),
        ({"MaxResults": 0}, "InvalidParameterValue.*MaxResults: it must be at least 1"),
        ({"NextToken": "nonsense"}, "InvalidNextToken"),
        ({"StartTime": datetime(2031, 1, 2, tzinfo=UTC), "EndTime": datetime(2031, 1, 1, tzinfo=UTC)}, "not after"),
        ({"DryRun": True}, "DryRunOperation"),
    ],
)
def test_a_query_of_the_history_that_cannot_be_answered_names_what_is_wrong(
    emulator: EmulatorProcess, request_: dict[str, Any], said: str
) -> None:
    with pytest.raises(ClientError, match=said):
        emulator.client("ec2").describe_spot_price_history(**request_)


def test_the_rest_of_ec2_is_motos(emulator: EmulatorProcess) -> None:
    zones = emulator.client("ec2").describe_availability_zones()["AvailabilityZones"]
    assert "us-east-1a" in {zone["ZoneName"] for zone in zones}
    assert emulator.client("ec2", region="eu-west-1").describe_spot_price_history()["SpotPriceHistory"] == []


def test_quotas_of_ec2_are_the_emulators_and_those_of_vpc_are_motos(emulator: EmulatorProcess) -> None:
    quotas = emulator.client("service-quotas")
    quota = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-1216C47A")["Quota"]
    assert (quota["Value"], quota["Adjustable"]) == (256.0, True)
    pages = quotas.get_paginator("list_service_quotas").paginate(ServiceCode="ec2", PaginationConfig={"PageSize": 4})
    assert [len(page["Quotas"]) for page in pages] == [4, 2]
    with pytest.raises(ClientError, match=r"NoSuchResourceException.*L-00000000 of ec2"):
        quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-00000000")
    assert quotas.get_service_quota(ServiceCode="vpc", QuotaCode="L-7E9ECCDB")["Quota"]["Value"] == 50.0


def test_a_spot_node_is_reclaimed_at_the_change_that_the_history_tells(
    emulator: EmulatorProcess, zero: datetime
) -> None:
    instances = {
        "InstanceGroups": [
            group("MASTER", 1),
            group("CORE", 1),
            group("TASK", 1, "r5.xlarge", Market="SPOT", BidPrice="0.11"),
        ],
        "Placement": {"AvailabilityZone": "us-east-1a"},
    }
    emr = emulator.client("emr")
    cluster = emr.run_job_flow(**job_flow(command("true"), instances=instances))["JobFlowId"]
    emulator.advance(900.0)
    (before,) = emr.list_instances(ClusterId=cluster, InstanceGroupTypes=["TASK"])["Instances"]
    assert (before["Market"], before["Status"]["State"]) == ("SPOT", "RUNNING")
    emulator.advance(200.0)
    after = emr.list_instances(ClusterId=cluster, InstanceGroupTypes=["TASK"], InstanceStates=["TERMINATED"])
    (row,) = after["Instances"]
    assert (row["Status"]["Timeline"]["EndDateTime"] - zero).total_seconds() == pytest.approx(5000.0, abs=0.01)
    answer = emulator.client("ec2").describe_spot_price_history(
        StartTime=row["Status"]["Timeline"]["EndDateTime"],
        InstanceTypes=["r5.xlarge"],
        ProductDescriptions=["Linux/UNIX"],
    )
    assert told(answer, zero) == [("r5.xlarge", "a", "0.120000", 5000.0)]
    emr.terminate_job_flows(JobFlowIds=[cluster])
    emulator.advance(600.0)


def test_without_a_history_prices_are_invented_within_bounds_and_follow_the_seed(tmp_path: Path) -> None:
    (tmp_path / "prices.csv").write_text(PRICES, encoding="utf-8")
    with EmulatorProcess("--prices", str(tmp_path / "prices.csv"), "--seed", "invented") as emulator:
        answer = emulator.client("ec2").describe_spot_price_history(
            StartTime=datetime.fromtimestamp(emulator.now() - 86_400, UTC),
            InstanceTypes=["m5.xlarge"],
            ProductDescriptions=["Linux/UNIX"],
        )
        prices = [float(row["SpotPrice"]) for row in answer["SpotPriceHistory"]]
    assert len({row["AvailabilityZone"] for row in answer["SpotPriceHistory"]}) == 6
    assert len(prices) > 6 * 4 and all(0.0575 <= price <= 0.1152 for price in prices)

"""The emulated price list: the file's format, the products that are made of it, and what a query finds among them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from servo_emr.emulator.prices.api import ENDPOINTS, PriceApplication
from servo_emr.emulator.prices.table import PriceList, load_prices
from servo_emr.emulator.protocol.errors import AwsError
from tests.support.signed import ask

HEAD = "# region: us-east-1\n# currency: USD\n# ec2: list of 2031-01-02\n# fee: list of 2030-05-06\n"
EBS = "# ebs.gp2: 0.1\n# ebs.gp3: 0.08\n# ebs.gp3.iops: 0.005\n# ebs.gp3.throughput: 0.040\n"
COLUMNS = "type,vcpus,memory_gib,ec2,fee\n"
ROWS = "m5.xlarge,4,16,0.192,0.048\nc5.large,2,4,0.085,\n"

LINUX = {
    "regionCode": "us-east-1",
    "operatingSystem": "Linux",
    "tenancy": "Shared",
    "preInstalledSw": "NA",
    "capacitystatus": "Used",
}


def write(folder: Path, text: str, name: str = "prices.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> PriceList:
    folder = tmp_path_factory.mktemp("prices")
    abroad = HEAD.replace("us-east-1", "eu-west-1") + COLUMNS + "m5.xlarge,4,16,0.214,0.048\n"
    return load_prices(write(folder, HEAD + EBS + COLUMNS + ROWS, "home.csv"), write(folder, abroad, "abroad.csv"))


@pytest.fixture(scope="module")
def listed(prices: PriceList) -> PriceApplication:
    return PriceApplication(prices)


def query(listed: PriceApplication, service: str, filters: Mapping[str, str], **more: Any) -> Any:
    conditions = [{"Type": "TERM_MATCH", "Field": field, "Value": value} for field, value in filters.items()]
    request = {"ServiceCode": service, "Filters": conditions, **more}
    return ask(listed, "pricing", "AWSPriceListService.GetProducts", request)


def documents(listed: PriceApplication, service: str, filters: Mapping[str, str], **more: Any) -> list[dict[str, Any]]:
    return [json.loads(text) for text in query(listed, service, filters, **more)["PriceList"]]


def dimension(document: Mapping[str, Any]) -> dict[str, Any]:
    """The one price of a document's one on-demand offer."""
    (offer,) = document["terms"]["OnDemand"].values()
    (found,) = offer["priceDimensions"].values()
    return dict(found)


def usd(document: Mapping[str, Any]) -> float:
    return float(dimension(document)["pricePerUnit"]["USD"])


def test_a_list_has_types_volumes_and_days_of_each_region_it_was_given(prices: PriceList) -> None:
    home = prices.regions["us-east-1"]
    assert (home.ec2_day, home.fee_day) == ("2031-01-02", "2030-05-06")
    assert home.types["m5.xlarge"].fee == 0.048 and home.types["c5.large"].fee is None
    assert home.ebs == {"gp2": 0.1, "gp3": 0.08, "gp3.iops": 0.005, "gp3.throughput": 0.04}
    assert prices.on_demand("eu-west-1", "m5.xlarge") == 0.214
    assert prices.on_demand("eu-west-1", "c5.large") is prices.on_demand("sa-east-1", "m5.xlarge") is None
    assert load_prices().on_demand("us-east-1", "m5.xlarge") is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no types; after type,vcpus"),
        (COLUMNS + ROWS, "no line '# region"),
        (HEAD + ROWS, "line 5: 'm5.xlarge,.*' where type,vcpus"),
        (HEAD.replace("USD", "EUR") + COLUMNS + ROWS, "currency EUR; prices must be in USD"),
        (HEAD.replace("2030-05-06", "May") + COLUMNS + ROWS, "'# fee: list of May' names no day"),
        (HEAD.replace("us-east-1", "Virginia") + COLUMNS + ROWS, "region 'Virginia'; write one such as us-east-1"),
        (HEAD + "# ebs.gp4: 1\n" + COLUMNS + ROWS, "line 5: ebs.gp4 is none of ebs.gp2"),
        (HEAD + "# ebs.gp2: cheap\n" + COLUMNS + ROWS, "ebs.gp2: 'cheap': a number, 0 or more"),
        (HEAD + COLUMNS + "m5.xlarge,4,16,0.192\n", "line 6: 'm5.xlarge,4,16,0.192' is not type,vcpus"),
        (HEAD + COLUMNS + "m5.xlarge,four,16,0.192,\n", "line 6: vcpus 'four'"),
        (HEAD + COLUMNS + "m5.xlarge,4,16,-1,\n", "line 6, ec2: '-1'"),
        (HEAD + COLUMNS + "m5.xlarge,4,16,1,nan\n", "line 6, fee: 'nan'"),
        (HEAD + COLUMNS + ROWS + ROWS, "line 8: m5.xlarge is there twice"),
    ],
)
def test_a_file_that_is_no_price_list_is_refused_with_its_place(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as error:
        load_prices(write(tmp_path, text))
    assert str(error.value).startswith(str(tmp_path / "prices.csv"))


def test_a_second_file_for_a_region_and_a_missing_file_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path, HEAD + COLUMNS + ROWS)
    with pytest.raises(ValueError, match="region us-east-1 has prices already"):
        load_prices(path, path)
    with pytest.raises(ValueError, match=r"nothing\.csv: the price list cannot be read"):
        load_prices(tmp_path / "nothing.csv")


def test_the_full_filters_find_the_one_product_with_the_given_price(listed: PriceApplication) -> None:
    (document,) = documents(listed, "AmazonEC2", {**LINUX, "instanceType": "m5.xlarge"})
    assert usd(document) == 0.192
    assert document["product"]["productFamily"] == "Compute Instance"
    assert (
        document["product"]["attributes"].items()
        >= {
            "usagetype": "BoxUsage:m5.xlarge",
            "operation": "RunInstances",
            "marketoption": "OnDemand",
            "location": "US East (N. Virginia)",
        }.items()
    )
    assert document["publicationDate"] == "2031-01-02T00:00:00Z"
    assert document["serviceCode"] == "AmazonEC2" and document["version"] == "20310102000000"
    found = dimension(document)
    assert (found["unit"], found["beginRange"], found["endRange"]) == ("Hrs", "0", "Inf")
    assert found["rateCode"].startswith(document["product"]["sku"] + ".")

    (fee,) = documents(
        listed,
        "ElasticMapReduce",
        {"regionCode": "us-east-1", "softwareType": "EMR", "productFamily": "Elastic Map Reduce Instance"},
    )
    assert (usd(fee), fee["product"]["attributes"]["instanceType"]) == (0.048, "m5.xlarge")
    assert fee["publicationDate"] == "2030-05-06T00:00:00Z"


@pytest.mark.parametrize(
    ("left_out", "taken"),
    [
        ("regionCode", {0.192, 0.214}),
        ("operatingSystem", {0.192, 0.376, 0.252}),
        ("tenancy", {0.192, 0.2112}),
        ("preInstalledSw", {0.192, 0.672}),
        ("capacitystatus", {0.192, 0.0}),
    ],
)
def test_a_query_without_one_of_the_filters_finds_a_price_that_is_not_the_clusters(
    listed: PriceApplication, left_out: str, taken: set[float]
) -> None:
    filters = {field: value for field, value in {**LINUX, "instanceType": "m5.xlarge"}.items() if field != left_out}
    found = documents(listed, "AmazonEC2", filters)
    assert {round(usd(document), 6) for document in found} == taken
    assert len({document["product"]["sku"] for document in found}) == len(found)


def test_reserved_terms_stand_beside_the_on_demand_ones_and_one_of_them_costs_nothing_an_hour(
    listed: PriceApplication,
) -> None:
    (document,) = documents(listed, "AmazonEC2", {**LINUX, "instanceType": "m5.xlarge"})
    hourly = [
        float(found["pricePerUnit"]["USD"])
        for offer in document["terms"]["Reserved"].values()
        for found in offer["priceDimensions"].values()
        if found["unit"] == "Hrs"
    ]
    assert sorted(hourly) == [0.0, pytest.approx(0.63 * 0.192)]


def test_usage_types_and_locations_are_the_regions_own(listed: PriceApplication) -> None:
    (document,) = documents(listed, "AmazonEC2", {**LINUX, "regionCode": "eu-west-1", "instanceType": "m5.xlarge"})
    attributes = document["product"]["attributes"]
    assert attributes["usagetype"] == "EU-BoxUsage:m5.xlarge" and attributes["location"] == "EU (Ireland)"


def test_volumes_cost_what_the_list_says_in_awss_units(listed: PriceApplication) -> None:
    (gp2,) = documents(listed, "AmazonEC2", {"productFamily": "Storage", "volumeApiName": "gp2"})
    assert (usd(gp2), dimension(gp2)["unit"]) == (0.1, "GB-Mo")
    (iops,) = documents(listed, "AmazonEC2", {"group": "EBS IOPS", "volumeApiName": "gp3"})
    assert (usd(iops), dimension(iops)["unit"], dimension(iops)["beginRange"]) == (0.005, "IOPS-Mo", "3000")
    (speed,) = documents(listed, "AmazonEC2", {"productFamily": "Provisioned Throughput"})
    assert (usd(speed), dimension(speed)["unit"]) == (40.96, "GiBps-mo")
    assert dimension(speed)["description"].startswith("$0.04 per provisioned MiBps-month of gp3")


def test_what_the_list_does_not_have_is_an_empty_answer(listed: PriceApplication) -> None:
    of_c5 = {"instanceType": "c5.large", "softwareType": "EMR"}
    for service, filters in (
        ("ElasticMapReduce", of_c5),
        ("AmazonEC2", {"instanceType": "m9.huge"}),
        ("AmazonEC2", {"noSuchField": "m5.xlarge"}),
        ("AmazonEC2", {"volumeApiName": "io1"}),
    ):
        assert query(listed, service, filters)["PriceList"] == [], filters
    assert "NextToken" not in query(listed, "ElasticMapReduce", of_c5)


def test_pages_of_any_size_hold_all_products_once(listed: PriceApplication) -> None:
    whole = query(listed, "AmazonEC2", {})["PriceList"]
    assert len(whole) == 3 * 7 + 4
    for size in (1, 7, 24, 25):
        found: list[str] = []
        token: dict[str, str] = {}
        while True:
            answer = query(listed, "AmazonEC2", {}, MaxResults=size, **token)
            assert len(answer["PriceList"]) <= size
            found += answer["PriceList"]
            if "NextToken" not in answer:
                break
            token = {"NextToken": answer["NextToken"]}
        assert found == whole


def test_other_kinds_of_filter_compare_as_they_are_named(listed: PriceApplication) -> None:
    def types(kind: str, value: str) -> set[str]:
        request = {
            "ServiceCode": "AmazonEC2",
            "Filters": [{"Type": kind, "Field": "instanceType", "Value": value}],
        }
        found = ask(listed, "pricing", "AWSPriceListService.GetProducts", request)["PriceList"]
        return {json.loads(text)["product"]["attributes"]["instanceType"] for text in found}

    assert types("EQUALS", "c5.large") == types("CONTAINS", "c5.") == types("NONE_OF", "m5.xlarge") == {"c5.large"}
    assert types("ANY_OF", "c5.large,m5.xlarge") == {"c5.large", "m5.xlarge"}
    reserved = documents(listed, "AmazonEC2", {"termType": "Reserved", "ServiceCode": "AmazonEC2"})
    assert len(reserved) == 3


@pytest.mark.parametrize(
    ("operation", "request_", "region", "code", "said"),
    [
        ("GetProducts", {"ServiceCode": "AmazonEC2"}, "eu-west-1", "InvalidSignatureException", "not in eu-west-1"),
        ("GetProducts", {"ServiceCode": "AmazonRDS"}, "us-east-1", "NotFoundException", "no service 'AmazonRDS'"),
        ("GetProducts", {}, "us-east-1", "ValidationException", "ServiceCode"),
        ("GetProducts", {"ServiceCode": "AmazonEC2", "MaxResults": 101}, "us-east-1", "ValidationException", "101"),
        (
            "GetProducts",
            {"ServiceCode": "AmazonEC2", "NextToken": "x"},
            "us-east-1",
            "InvalidNextTokenException",
            "not one of ours",
        ),
        (
            "GetProducts",
            {"ServiceCode": "AmazonEC2", "FormatVersion": "aws_v2"},
            "us-east-1",
            "InvalidParameterException",
            "aws_v2",
        ),
        (
            "GetProducts",
            {"ServiceCode": "AmazonEC2", "Filters": [{"Type": "LIKE", "Field": "a", "Value": "b"}]},
            "us-east-1",
            "ValidationException",
            "LIKE",
        ),
        ("ListPriceLists", {}, "us-east-1", "UnknownOperationException", "no operation ListPriceLists"),
    ],
)
def test_a_query_that_cannot_be_answered_names_what_is_wrong(
    listed: PriceApplication, operation: str, request_: dict[str, Any], region: str, code: str, said: str
) -> None:
    with pytest.raises(AwsError) as error:
        ask(listed, "pricing", f"AWSPriceListService.{operation}", request_, region)
    assert error.value.code == code and said in error.value.message


def test_services_and_values_of_attributes_can_be_asked_for_in_each_region_with_an_endpoint(
    listed: PriceApplication,
) -> None:
    for region in ENDPOINTS:
        services = ask(listed, "pricing", "AWSPriceListService.DescribeServices", {}, region)["Services"]
        assert [service["ServiceCode"] for service in services] == ["AmazonEC2", "ElasticMapReduce"]
        assert "softwareType" in services[1]["AttributeNames"]
    request = {"ServiceCode": "AmazonEC2", "AttributeName": "volumeApiName"}
    values = ask(listed, "pricing", "AWSPriceListService.GetAttributeValues", request)["AttributeValues"]
    assert values == [{"Value": "gp2"}, {"Value": "gp3"}]

"""Sizes of instance types, and prices from the operator's file."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from servo_emr.optimizer.instances import InstanceTable, packaged
from servo_emr.optimizer.prices import Prices
from servo_emr.optimizer.search.cluster import Cluster

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

from make_instance_table import restate  # noqa: E402


def test_the_packaged_table_is_what_its_program_makes_of_the_price_table() -> None:
    made = restate((ROOT / "servo_emr" / "pricing" / "us-east-1.csv").read_text())
    assert (ROOT / "servo_emr" / "optimizer" / "instance-types.csv").read_text() == made


def test_a_type_is_known_by_its_size_family_and_generation() -> None:
    found = packaged()["r6g.2xlarge"]
    assert (found.vcpus, found.memory_gib, found.family, found.generation, found.attributes) == (8, 64.0, "r", 6, "g")


def test_a_type_newer_than_the_table_goes_by_its_name() -> None:
    found = packaged()["m9g.4xlarge"]
    assert (found.vcpus, found.memory_gib) == (16, 64.0)
    with pytest.raises(KeyError):
        packaged()["trn9.huge"]


@pytest.mark.parametrize("text", ["", "name,cpus\n", "type,vcpus,memory_gib\nm5.xlarge,four,16\n"])
def test_a_table_that_is_none_is_refused_or_empty(text: str) -> None:
    if text:
        with pytest.raises(ValueError, match="instance table, line"):
            InstanceTable.parse(text)
    else:
        assert len(InstanceTable.parse(text)) == 0


def rate(**changes: object) -> dict[str, object]:
    return {"ec2": 0.192, "fee": 0.048, "ec2_source": "list price of 2023-08-30", **changes}


def test_prices_are_ec2_and_fee_together(tmp_path: Path) -> None:
    path = tmp_path / "prices.json"
    path.write_text(json.dumps({"currency": "USD", "region": "us-east-1", "rates": {"m5.xlarge": rate()}}))
    prices = Prices.read(path)
    assert prices.usd_per_hour == {"m5.xlarge": pytest.approx(0.24)}
    assert (prices.region, prices.source) == ("us-east-1", "list price of 2023-08-30")


def test_prices_on_spot_have_the_same_fee() -> None:
    prices = Prices.parse({"rates": {"m5.xlarge": rate()}, "spot": {"m5.xlarge": 0.07, "z9.large": 1.0}})
    assert prices.usd_per_hour == {"m5.xlarge": pytest.approx(0.24), "m5.xlarge on spot": pytest.approx(0.118)}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (json.dumps({"rates": {"m5.xlarge": rate()}, "spot": {"m5.xlarge": 0}}), "spot.m5.xlarge is 0"),
        (json.dumps({"rates": {"m5.xlarge": rate()}, "spot": 7}), "`spot` is no mapping"),
        ("{", "no prices can be read"),
        ("[]", "no `rates`"),
        ('{"rates": {}}', "empty"),
        (json.dumps({"currency": "EUR", "rates": {"m5.xlarge": rate()}}), "EUR"),
        (json.dumps({"rates": {"m5.xlarge": rate(ec2="cheap")}}), "rates.m5.xlarge.ec2 is 'cheap'"),
        (json.dumps({"rates": {"m5.xlarge": rate(fee=None)}}), "rates.m5.xlarge.fee"),
        (json.dumps({"rates": {"m5.xlarge": rate(ec2=0, fee=0)}}), "0 USD per hour"),
    ],
)
def test_a_file_without_prices_is_refused_with_place_and_remedy(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "prices.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        Prices.read(path)
    assert str(path) in str(caught.value)
    assert "servo-emr prices -o json" in str(caught.value)


def test_a_cluster_costs_all_its_nodes_and_works_with_all_but_the_primary() -> None:
    settings = {"primary.inst_type": "m5.xlarge", "core.inst_type": "c5.xlarge", "core.replicas": 4}
    cluster = Cluster.of(settings, packaged())
    assert cluster.usd_per_hour(Prices({"m5.xlarge": 0.24, "c5.xlarge": 0.2})) == pytest.approx(0.24 + 4 * 0.2)
    assert cluster.usd_per_hour(Prices({"m5.xlarge": 0.24})) is None
    assert (cluster.nodes, cluster.vcpus, cluster.memory_gib) == (4, 16, 32)


def test_a_primary_node_alone_does_the_work_itself() -> None:
    cluster = Cluster.of({"primary.inst_type": "m5.xlarge"}, packaged())
    assert (cluster.nodes, cluster.vcpus, cluster.memory_gib) == (1, 4, 16)

"""Which EBS volumes an instance has, and what they cost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from servo_emr.domain.cluster import Disk
from servo_emr.domain.errors import OperatorError, Reason
from servo_emr.domain.run import Volume
from servo_emr.domain.spec import NodeGroup, Role
from servo_emr.pricing.storage import (
    default_volumes,
    guessed_volumes,
    has_instance_store,
    usd_per_hour,
    volumes_for,
)
from servo_emr.pricing.table import TablePrices
from tests.support.prices import GP2, GP3, storage

RATES = {"gp2": GP2, "gp3": GP3, "io1": storage("io1", 0.125, 0.065), "st1": storage("st1", 0.045)}


@pytest.mark.parametrize(
    ("size", "count", "gib"),
    [
        ("large", 1, 32),
        ("xlarge", 2, 32),
        ("2xlarge", 4, 32),
        ("4xlarge", 4, 64),
        ("9xlarge", 4, 144),
        ("24xlarge", 4, 384),
        ("48xlarge", 4, 768),
        ("6xlarge", 4, 96),
    ],
)
def test_default_volumes_are_those_of_the_size(size: str, count: int, gib: float) -> None:
    assert default_volumes(f"m7i.{size}") == (Volume("gp2", gib),) * count


@pytest.mark.parametrize(
    "inst_type",
    [
        "m5d.xlarge",
        "m5dn.large",
        "r6gd.4xlarge",
        "c6id.metal",
        "g4dn.xlarge",
        "g5.xlarge",
        "i3.xlarge",
        "im4gn.large",
        "is4gen.medium",
        "d3en.xlarge",
        "h1.2xlarge",
        "m3.xlarge",
        "x1e.xlarge",
    ],
)
def test_a_type_with_an_instance_store_has_no_default_volumes(inst_type: str) -> None:
    assert has_instance_store(inst_type)
    assert default_volumes(inst_type) == ()


@pytest.mark.parametrize("inst_type", ["m5.xlarge", "c5n.large", "r5b.large", "m6a.large", "p3.2xlarge", "c7gn.large"])
def test_a_type_without_one_has_default_volumes(inst_type: str) -> None:
    assert not has_instance_store(inst_type)
    assert default_volumes(inst_type)


@pytest.mark.parametrize("inst_type", ["c7g.medium", "c5.metal", "c7i.metal-48xl", "nonsense"])
def test_a_size_of_which_nothing_is_known_is_an_error_that_names_those_that_are(inst_type: str) -> None:
    with pytest.raises(OperatorError, match="EMR documents no default EBS volumes") as caught:
        default_volumes(inst_type)
    assert caught.value.reason is Reason.PRICE
    assert "24xlarge" in caught.value.remedy


def test_what_is_by_the_rule_and_not_in_the_table_is_said() -> None:
    (said,) = guessed_volumes(["m5.xlarge", "c6i.32xlarge", "i3.3xlarge", "c6i.32xlarge"])
    assert "for c6i.32xlarge: taken as 64 GiB for each xlarge" in said


def test_every_type_of_the_packaged_table_has_disks_of_its_own_or_default_volumes_or_is_refused() -> None:
    refused = set()
    for inst_type in TablePrices().table.rates:
        try:
            assert bool(default_volumes(inst_type)) is not has_instance_store(inst_type)
        except OperatorError:
            refused.add(inst_type.partition(".")[2].partition("-")[0])
    assert refused == {"metal", "medium"}


def test_a_groups_own_volumes_take_the_place_of_the_default_ones() -> None:
    group = NodeGroup(Role.CORE, "m5.xlarge", 2)
    assert volumes_for(group, "m5.xlarge") == default_volumes("m5.xlarge")
    assert volumes_for(group, "m5d.xlarge") == ()
    asked = (Volume("gp3", 100.0, 4000, 250),)
    assert volumes_for(replace(group, disks=(Disk(asked[0]),)), "m5.xlarge") == asked
    assert volumes_for(replace(group, disks=()), "q1.unknown") == ()


@pytest.mark.parametrize(
    ("volume", "month"),
    [
        (Volume("gp2", 100), 10.0),
        (Volume("gp2", 100, iops=300), 10.0),
        (Volume("gp3", 100), 8.0),
        (Volume("gp3", 100, 3000, 125), 8.0),
        (Volume("gp3", 100, 3001, 126), 8.045),
        (Volume("gp3", 100, 16000, 1000), 8 + 13000 * 0.005 + 875 * 0.04),
        (Volume("io1", 100, 1000), 12.5 + 65),
        (Volume("st1", 500), 22.5),
    ],
)
def test_a_volume_costs_its_gib_and_what_is_provisioned_above_what_is_free(volume: Volume, month: float) -> None:
    assert usd_per_hour([volume], RATES) == pytest.approx(month / 720)
    assert usd_per_hour([volume, volume], RATES) == pytest.approx(month / 360)


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        (Volume("gp3", 0.0), "has 0.0 GiB"),
        (Volume("gp3", float("nan")), "has nan GiB"),
        (Volume("io1", 10), "has no provisioned IOPS"),
        (Volume("gp3", 10, throughput=200), "needs throughput_month, which a list does not have"),
    ],
)
def test_a_volume_that_cannot_be_priced_is_an_error_and_never_0(volume: Volume, said: str) -> None:
    rates = {"io1": RATES["io1"], "gp3": storage("gp3", 0.08, 0.005)}
    rates = {kind: type(item)(**{**vars(item), "source": "a list"}) for kind, item in rates.items()}
    with pytest.raises(OperatorError) as caught:
        usd_per_hour([volume], rates)
    assert said in caught.value.message
    assert f"emr.prices.ebs.{volume.kind}" in caught.value.remedy

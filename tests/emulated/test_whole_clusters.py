"""Clusters with every key of `emr.cluster`, launched on the emulator: EMR gives back what was asked, fleets are billed
as what they became."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from servo_emr.aws.door import Door, Patience
from servo_emr.aws.ec2 import Ec2Target
from servo_emr.config import EMRConfiguration
from servo_emr.domain.cluster import Fleet
from servo_emr.domain.errors import Reason
from servo_emr.domain.money import SpotPoint
from servo_emr.domain.run import Usage, Volume
from servo_emr.domain.spec import RunKey, RunSpec
from servo_emr.lifecycle.figures import realised
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.table import TablePrices
from tests.support.clusters import FLEETS, WHOLE
from tests.support.emulator import EmulatorProcess
from tests.support.simclock import SimClock


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    with EmulatorProcess("--no-execute", "--model", "a=600,b=0,c=0,d=0,w=0") as process:
        process.client("s3").create_bucket(Bucket="acme-servo")
        yield process


@pytest.fixture
def target(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Ec2Target:
    for name, value in emulator.env.items():
        monkeypatch.setenv(name, value)
    return Ec2Target(Door("us-east-1", Patience.LOOK), "us-east-1", SimClock(emulator.now()))


def placed(section: dict[str, Any], emulator: EmulatorProcess, count: int) -> RunSpec:
    """The run of a section, in subnets that the account has."""
    section = copy.deepcopy(section)
    subnets = emulator.client("ec2").describe_subnets()["Subnets"]
    section["cluster"]["subnet_ids"] = [subnet["SubnetId"] for subnet in subnets[:count]]
    return EMRConfiguration.parse_obj(section).to_spec()


async def run(emulator: EmulatorProcess, target: Ec2Target, spec: RunSpec, number: int) -> tuple[str, Usage]:
    """The ended cluster's id and what it used."""
    key = RunKey("s3://acme-servo/w", "cafe0123", f"20261120t101530-{number:08x}")
    handle = await target.submit(spec, key)
    emulator.advance(7200)
    look = await target.observe(handle)
    assert look.state.terminal
    assert [str(step.state) for step in look.steps] == ["completed"]
    return handle.cluster_id, await target.usage(handle)


async def test_a_whole_cluster_of_groups_is_given_back_as_it_was_asked_for(
    emulator: EmulatorProcess, target: Ec2Target
) -> None:
    spec = placed(WHOLE, emulator, 1)
    cluster_id, usage = await run(emulator, target, spec, 1)
    emr = emulator.client("emr")
    cluster = emr.describe_cluster(ClusterId=cluster_id)["Cluster"]
    asked = target.request(spec, RunKey("s3://acme-servo/w", "cafe0123", "20261120t101530-00000001"))
    for member in ("ReleaseLabel", "SecurityConfiguration", "LogEncryptionKmsKeyId", "CustomAmiId", "OSReleaseLabel",
                   "RepoUpgradeOnBoot", "EbsRootVolumeSize", "EbsRootVolumeIops", "EbsRootVolumeThroughput",
                   "StepConcurrencyLevel"):  # fmt: skip
        assert cluster[member] == asked[member], member
    assert cluster["Configurations"][0] == asked["Configurations"][0]
    attributes = cluster["Ec2InstanceAttributes"]
    assert (attributes["Ec2KeyName"], attributes["AdditionalSlaveSecurityGroups"]) == ("me", ["sg-5", "sg-6"])
    cores = [row for row in usage.rows if row.role == "core"]
    assert len(cores) == 4
    assert {row.volumes for row in cores} == {(Volume("gp3", 64.0, 4000, 250),) * 2}
    assert usage.root == Volume("gp3", 30, 3500, 200)
    actions = emr.list_bootstrap_actions(ClusterId=cluster_id)["BootstrapActions"]
    assert [action["Name"] for action in actions] == ["certificates", "notebook environment"]


async def test_of_a_fleets_types_one_that_its_zones_offer_is_enough(
    emulator: EmulatorProcess, target: Ec2Target
) -> None:
    section = copy.deepcopy(FLEETS)
    found = await target.preflight(placed(section, emulator, 2))
    assert [finding.message for finding in found.findings if finding.reason is Reason.TYPE_UNSUPPORTED] == []
    assert set(found.sizes) == {"m5.xlarge", "m5.2xlarge", "r5.xlarge"}
    offered = emulator.client("ec2").describe_instance_type_offerings(
        LocationType="availability-zone", Filters=[{"Name": "location", "Values": ["us-east-1e"]}]
    )
    here = {one["InstanceType"] for one in offered["InstanceTypeOfferings"]}
    (subnet,) = emulator.client("ec2").describe_subnets(
        Filters=[{"Name": "availability-zone", "Values": ["us-east-1e"]}]
    )["Subnets"]
    names = [
        one["Type"]
        for one in emulator.client("emr").list_supported_instance_types(ReleaseLabel="emr-7.1.0")[
            "SupportedInstanceTypes"
        ]
    ]
    away, near = next(t for t in names if t not in here), next(t for t in names if t in here)
    base = placed(section, emulator, 1)
    either = Fleet(alternatives=(near,))
    groups = tuple(replace(one, inst_type=away, disks=(), ami_id=None, fleet=either) for one in base.groups)
    spec = replace(base, cluster=replace(base.cluster, subnet_ids=(subnet["SubnetId"],)), groups=groups)
    assert (await target.preflight(spec)).subnet_ids == (subnet["SubnetId"],)
    alone = replace(spec, groups=tuple(replace(group, fleet=Fleet()) for group in spec.groups))
    told = [finding.message for finding in (await target.preflight(alone)).findings if finding.certain]
    assert told == [f"{away}: not offered (together) in the zones of emr.cluster.subnet_ids."]


async def test_what_a_fleet_became_is_read_back_told_and_billed(emulator: EmulatorProcess, target: Ec2Target) -> None:
    spec = placed(FLEETS, emulator, 2)
    _, usage = await run(emulator, target, spec, 2)
    cores = [row for row in usage.rows if row.role == "core"]
    assert {row.market for row in cores} == {"ON_DEMAND", "SPOT"}
    assert {row.volumes for row in cores} == {(Volume("io1", 100.0, 1000), Volume("gp3", 64.0, None, 125))}
    told = realised(usage)
    assert told.startswith("primary: 1 m5.xlarge on-demand; core: ")
    assert "on-demand" in told.partition("core: ")[2] and "spot" in told
    quoted = await RateBook([TablePrices()], clock=SimClock(emulator.now()), spot=Flat()).quote(spec)
    assert set(quoted.rates) == {"m5.xlarge", "m5.2xlarge", "r5.xlarge"}
    assert {"io1", "gp3"} <= set(quoted.storage)
    book = RateBook([TablePrices()], clock=SimClock(emulator.now()), spot=Flat())
    cost = await book.bill(usage, quoted, [])
    assert {(item.inst_type, item.market) for item in cost.instances} == {(r.inst_type, r.market) for r in usage.rows}
    on_spot = [item for item in cost.instances if item.market == "SPOT"]
    assert all(item.ec2_usd == pytest.approx(0.05 * item.seconds / 3600) for item in on_spot)


class Flat:
    """Spot at 5 cents an hour, ever since."""

    async def history(
        self, region: str, inst_types: Any, start: float, end: float, zone: str | None = None
    ) -> dict[tuple[str, str], list[SpotPoint]]:
        return {(name, zone or "us-east-1a"): [SpotPoint(0.0, 0.05)] for name in inst_types}

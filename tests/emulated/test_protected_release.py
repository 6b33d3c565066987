"""A cluster that somebody has protected, on the emulator: it carries our key, and its run is over."""

from __future__ import annotations

import pytest

from servo_emr.aws.door import Door
from servo_emr.aws.ec2 import Ec2Target
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import RunState
from tests.support.emulator import EmulatorProcess
from tests.support.job_flows import job_flow
from tests.support.samples import KEY
from tests.support.simclock import SimClock


async def test_a_protected_cluster_of_ours_is_ended_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    with EmulatorProcess("--model", "a=600,b=0,c=0,d=0") as emulator:
        for name, value in emulator.env.items():
            monkeypatch.setenv(name, value)
        emr = emulator.client("emr")
        made = emr.run_job_flow(**{**job_flow(), "Name": KEY.name})
        handle = Handle(made["JobFlowId"], KEY)
        emr.set_termination_protection(JobFlowIds=[handle.cluster_id], TerminationProtected=True)
        target = Ec2Target(Door("us-east-1"), "us-east-1", SimClock())
        assert emr.describe_cluster(ClusterId=handle.cluster_id)["Cluster"]["TerminationProtected"]
        await target.release(handle)
        assert (await target.observe(handle)).state.order >= RunState.ENDING.order
        assert [found.handle.cluster_id for found in await target.find(KEY.workspace_id)] == [handle.cluster_id]
        assert not await target.confirmed(handle), "its name is like ours, and nobody has tagged it"

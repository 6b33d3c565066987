"""F21 to F24: the cluster is there, and the servo cannot look at it, or cannot reach AWS at all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from servo_emr.aws.door import Patience
from servo_emr.wiring import assemble
from tests.support.proxy import named
from tests.support.rig import Job, Rig
from tests.support.samples import result_json

Make = Callable[..., Rig]

LINGERING = {
    "bootstrapping": {"kind": "delay", "phase": "bootstrapping", "seconds": 1200},
    "teardown": {"kind": "delay", "phase": "terminating", "seconds": 1200},
}
"""So that there are looks at a cluster in the phases that pass quickly."""
FAILED = Job(lambda run_id: result_json(run_id, "failed", cell_index=1, ename="ValueError", evalue="no"))


def from_phase(scene: Rig, phase: str, *faults: dict[str, Any]) -> None:
    """The faults begin when the servo first looks at a cluster in that phase."""
    if phase in LINGERING:
        scene.shop.faults(LINGERING[phase])
    scene.in_phase(phase, lambda: scene.shop.faults(*faults))


def looks(kind: str, **more: Any) -> list[dict[str, Any]]:
    """That fault of every look, for ten minutes."""
    return [{"kind": kind, "operation": operation, "until": 600, **more} for operation in ("Describe*", "List*")]


def check_measured(answer: dict[str, Any], scene: Rig) -> None:
    assert answer["status"] == "ok", answer
    assert answer["metrics"]["duration"]["value"] == pytest.approx(900.0, abs=0.01)
    assert scene.shop.struck() > 0
    assert scene.holds() == []


@pytest.mark.parametrize("phase", ["provisioning", "bootstrapping", "the job", "teardown"])
async def test_f21_looks_that_are_throttled_for_ten_minutes_cost_the_run_nothing(rig: Make, phase: str) -> None:
    """Ten minutes of throttled looks, in each phase: the run is measured as if nothing had been."""
    scene = rig()
    from_phase(scene, phase, *looks("throttle"))
    check_measured(await scene.cycle(["duration"]), scene)


KINDS: dict[str, list[dict[str, Any]]] = {
    "server errors": looks("server-error"),
    "connections reset": looks("drop-reply", when="before"),
    "a clock that is off": looks("clock-skew", seconds=1200),
}


@pytest.mark.parametrize(
    ("kind", "phase"),
    [
        ("server errors", "provisioning"),
        ("server errors", "the job"),
        ("connections reset", "the job"),
        ("connections reset", "teardown"),
        ("a clock that is off", "the job"),
    ],
)
async def test_f22_a_look_that_fails_never_ends_a_run(rig: Make, kind: str, phase: str) -> None:
    """In provisioning, in the job and at teardown: ten minutes of server errors, resets or clock skew; the run is
    measured all the same."""
    scene = rig()
    from_phase(scene, phase, *KINDS[kind])
    check_measured(await scene.cycle(["duration"]), scene)


async def test_f22_a_read_that_times_out_is_only_a_look_that_failed(rig: Make) -> None:
    """In the job: an answer that comes later than anybody waits for; the run is measured all the same."""
    scene = rig()
    slow = {"kind": "slow", "operation": "ListSteps", "seconds": 4.5, "occurrence": 1}
    from_phase(scene, "the job", slow)
    async with scene.started() as connector:
        # The servo's patience is 30 s a call; that of a check, 4 s, shows the same in less time.
        brief = assemble(scene.config(), scene.said.append, patience=Patience.BRIEF)
        await connector.live.lease.give_back()
        connector._live = brief
        answer = await scene.measure(connector, ["duration"])
    check_measured(answer, scene)


async def test_f22_a_name_that_does_not_resolve_launches_nothing(rig: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the launch: EMR's name does not resolve; a failure of the environment, and nothing is made."""
    scene = rig()
    monkeypatch.setenv("AWS_ENDPOINT_URL_EMR", "http://emr.invalid:9")
    async with scene.started() as connector:
        answer = await scene.measure(connector)
    assert (answer["status"], answer["reason"]) == ("failed", "environment/endpoint")
    assert scene.clusters() == []
    monkeypatch.delenv("AWS_ENDPOINT_URL_EMR")
    assert scene.holds() == []


@pytest.mark.parametrize("phase", ["provisioning", "the job"])
async def test_f23_credentials_that_cannot_be_renewed_stop_no_money_but_the_clusters_own_limit_does(
    rig: Make, phase: str
) -> None:
    """Credentials expire for good while the cluster starts, or while the job runs: the servo keeps watching until its
    deadline, the cluster ends by itself, and a start with new credentials puts all of it on record."""
    scene = rig(limits__provisioning="20m")
    from_phase(scene, phase, {"kind": "expired-credentials", "operation": "*:*"})
    async with scene.started() as connector:
        lost = await scene.measure(connector)
    assert lost["status"] == "failed"
    assert "expired" in scene.log.lower() or "ExpiredToken" in scene.log
    scene.shop.faults()
    (cluster,) = scene.clusters()
    times = cluster["Status"]["Timeline"]
    assert (times["EndDateTime"] - times["CreationDateTime"]).total_seconds() < 900 + 30 * 60
    # An undecided run is left for whoever asks for the same again.
    again = await scene.cycle(["duration"])
    assert again["status"] == "ok", again
    assert scene.holds() == []


async def test_f24_an_endpoint_that_is_down_for_a_while_at_teardown_is_asked_again(rig: Make) -> None:
    """At teardown: the endpoint is down for two minutes; the release is repeated until the cluster is seen ended."""
    scene = rig(FAILED)
    down = {"kind": "drop-reply", "operation": "*:*", "when": "before", "until": 120}
    scene.shop.faults({"kind": "delay", "phase": "terminating", "seconds": 60})
    scene.shop.proxy.trap("before", named("TerminateJobFlows"), lambda call: scene.shop.faults(down), drop=False)
    scene.shop.faults({"kind": "stuck", "phase": "step"})
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "configuration/job-timeout")
    assert scene.shop.struck() > 0
    assert scene.holds() == []


async def test_f24_a_release_that_nobody_can_be_asked_for_is_loud_on_record_and_done_by_the_next_start(
    rig: Make,
) -> None:
    """At teardown: the endpoint is down for longer than a release is tried; `operator/unreleased` with the command to
    run by hand, and the next start ends the cluster and verifies it."""
    scene = rig()
    down = {"kind": "drop-reply", "operation": "TerminateJobFlows", "when": "before"}
    scene.shop.faults({"kind": "stuck", "phase": "step"})
    scene.shop.proxy.trap("before", named("TerminateJobFlows"), lambda call: scene.shop.faults(down), drop=False)
    answer = await scene.cycle()
    assert (answer["status"], answer["reason"]) == ("failed", "operator/unreleased")
    (cluster,) = scene.clusters()
    assert f"aws emr terminate-clusters --region us-east-1 --cluster-ids {cluster['Id']}" in scene.log
    assert scene.records()[0]["unreleased"] is True
    assert scene.holds(spared=[cluster["Id"]]) == []
    await scene.restart()
    assert scene.holds() == []

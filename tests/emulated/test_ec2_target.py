"""EMR on EC2 over HTTP: what is asked of the service, and what its answers become."""

from __future__ import annotations

import gzip
import random
from collections.abc import Iterator
from dataclasses import replace

import pytest

from servo_emr.aws.door import Door, Patience
from servo_emr.aws.ec2 import Ec2Target
from servo_emr.domain.errors import Reason, RunError
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import Observation, RunState, StepLook, StepState, Timeline
from servo_emr.domain.spec import NodeGroup, Role, RunKey, RunSpec, Step
from servo_emr.lifecycle.guards import admit
from servo_emr.pricing.book import RateBook
from servo_emr.pricing.table import TablePrices
from tests.support.emulator import EmulatorProcess
from tests.support.samples import SPEC
from tests.support.simclock import SimClock

BUCKET = "acme-servo"


@pytest.fixture(scope="module")
def emulator() -> Iterator[EmulatorProcess]:
    """A job takes ten minutes by the model, whatever its process does."""
    with EmulatorProcess("--model", "a=600,b=0,c=0,d=0") as process:
        s3 = process.client("s3")
        s3.create_bucket(Bucket=BUCKET)
        s3.put_object(Bucket=BUCKET, Key="boot.sh", Body=b"#!/bin/bash\nexit 0\n")
        s3.put_object(Bucket=BUCKET, Key="bad.sh", Body=b"#!/bin/bash\nexit 3\n")
        yield process


@pytest.fixture
def target(emulator: EmulatorProcess, monkeypatch: pytest.MonkeyPatch) -> Ec2Target:
    for name, value in emulator.env.items():
        monkeypatch.setenv(name, value)
    return Ec2Target(Door("us-east-1", Patience.LOOK), "us-east-1", SimClock())


@pytest.fixture
def key(request: pytest.FixtureRequest) -> RunKey:
    """A workspace of its own for each test."""
    number = abs(hash(request.node.name)) % 16**8
    return RunKey(f"s3://{BUCKET}/w", f"{number:08x}", "20261120t101530-0123abcd")


def spec(*words: str, boot: str = "boot.sh", steps: int = 1) -> RunSpec:
    """A run of `steps` equal steps of these words."""
    step = Step("notebook", words or ("bash", "-c", "exit 0"), measured=True)
    cluster = replace(SPEC.cluster, log_uri=f"s3://{BUCKET}/logs")
    return replace(SPEC, steps=(step,) * steps, bootstrap=(f"s3://{BUCKET}/{boot}",), cluster=cluster)


async def look_until_over(emulator: EmulatorProcess, target: Ec2Target, handle: Handle) -> list[Observation]:
    """Looks every half minute of W until the cluster has ended."""
    looks = [await target.observe(handle)]
    while not looks[-1].state.terminal:
        assert len(looks) < 200
        emulator.advance(30)
        looks.append(await target.observe(handle, looks[-1]))
    return looks


async def test_a_run_is_seen_through_all_its_phases_and_its_times_make_sense(
    emulator: EmulatorProcess, target: Ec2Target, key: RunKey
) -> None:
    began = emulator.now()
    handle = await target.submit(spec(), key)
    assert handle.key == key
    looks = await look_until_over(emulator, target, handle)
    states = [look.state for look in looks]
    assert states == sorted(states, key=lambda state: state.order)
    assert {RunState.PROVISIONING, RunState.RUNNING, RunState.VERIFIED} <= set(states)
    last = looks[-1]
    (step,) = last.steps
    line, ran = last.timeline, step.timeline
    assert step.state is StepState.COMPLETED
    assert None not in (line.created, line.ready, line.ended, ran.ready, ran.ended)
    assert ran.ended is not None and ran.ready is not None and line.created is not None and line.ended is not None
    assert ran.ended - ran.ready == pytest.approx(600.0, rel=0.05)
    assert began <= line.created + 0.001 and line.created <= ran.ready <= ran.ended <= line.ended
    assert last.end_reason is None
    usage = await target.usage(handle)
    assert len(usage.rows) == 5
    assert all(row.timeline.created and row.timeline.ended and row.market == "ON_DEMAND" for row in usage.rows)
    book = RateBook([TablePrices()], clock=SimClock())
    cost = await book.bill(usage, await book.quote(spec()), [[(ran.ready, ran.ended)]])
    assert cost.job_usd is not None
    assert cost.usd > cost.job_usd > 0


async def test_a_look_is_one_call_while_nothing_changes(
    emulator: EmulatorProcess, target: Ec2Target, key: RunKey
) -> None:
    handle = await target.submit(spec(), key)
    last = await target.observe(handle)
    while last.state is not RunState.RUNNING:
        before = len(emulator.calls("elasticmapreduce"))
        last = await target.observe(handle, last)
        assert len(emulator.calls("elasticmapreduce")) - before == (1 if last.state is not RunState.RUNNING else 2)
        emulator.advance(20)
    for _ in range(5):
        emulator.advance(20)
        before = len(emulator.calls("elasticmapreduce"))
        last = await target.observe(handle, last)
        assert [call["operation"] for call in emulator.calls("elasticmapreduce")[before:]] == ["ListSteps"]
    await target.release(handle)
    emulator.advance(300)


async def test_a_failing_step_ends_the_cluster_and_is_told_apart(
    emulator: EmulatorProcess, target: Ec2Target, key: RunKey
) -> None:
    failing = spec("bash", "-c", "echo to-stdout; echo to-stderr >&2; exit 7", steps=2)
    handle = await target.submit(failing, key)
    last = (await look_until_over(emulator, target, handle))[-1]
    assert [step.state for step in last.steps] == [StepState.FAILED, StepState.CANCELLED]
    assert last.step_failed is last.steps[0]
    assert last.end_reason is None, "the steps tell what happened"
    assert last.steps[0].failure
    tails = {tail.name: tail for tail in await target.logs(handle, failing, last)}
    assert "to-stderr" in (tails["stderr"].text or "")
    assert "to-stdout" in (tails["stdout"].text or "")
    assert tails["stderr"].uri.startswith(f"s3://{BUCKET}/logs/{handle.cluster_id}/steps/")


async def test_a_bootstrap_action_that_fails_is_the_clusters_cause(
    emulator: EmulatorProcess, target: Ec2Target, key: RunKey
) -> None:
    handle = await target.submit(spec(boot="bad.sh"), key)
    last = (await look_until_over(emulator, target, handle))[-1]
    assert last.end_reason is Reason.BOOTSTRAP
    assert last.cause_code == "BOOTSTRAP_FAILURE"
    assert all(step.timeline.ready is None for step in last.steps)
    tails = await target.logs(handle, spec(boot="bad.sh"), last)
    assert [tail.name for tail in tails] == ["stderr", "stdout"]
    assert all("/bootstrap-actions/1/" in tail.uri and tail.text is not None for tail in tails), "its logs say why"


async def test_a_release_may_be_repeated_and_is_safe_on_the_dead_and_the_unborn(
    emulator: EmulatorProcess, target: Ec2Target, key: RunKey
) -> None:
    handle = await target.submit(spec(), key)
    for _ in range(3):
        await target.release(handle)
    assert (await target.observe(handle)).state.order >= RunState.ENDING.order
    last = (await look_until_over(emulator, target, handle))[-1]
    assert last.end_reason is Reason.INTERRUPTED
    await target.release(handle)
    await target.release(Handle("j-0000000000000", key))
    assert (await target.observe(handle)).state is RunState.VERIFIED


async def test_find_lists_our_exact_key_alive_or_dead_through_all_pages(
    emulator: EmulatorProcess, target: Ec2Target, key: RunKey
) -> None:
    emr = emulator.client("emr")
    ours = await target.submit(spec(), key)
    await target.release(ours)
    request = target.request(spec(), key)
    strangers = [f"{key.name} 2", f"x{key.name}", key.name.replace(key.workspace_id, "00000000"), f"{key.name[:-1]}"]
    for name in [*strangers, *(f"stranger {n}" for n in range(60))]:
        made = emr.run_job_flow(**{**request, "Name": name})
        emr.terminate_job_flows(JobFlowIds=[made["JobFlowId"]])
    found = await target.find(key.workspace_id)
    assert [(one.handle.cluster_id, one.handle.key.run_id) for one in found] == [(ours.cluster_id, key.run_id)]
    assert found[0].created is not None
    before = len(emulator.calls(operation="ListClusters"))
    day = 86_400.0
    for since, listed in ((found[0].created, True), (found[0].created + 2 * day, False)):
        assert (await target.find(key.workspace_id, since=since) != []) is listed
    calls = emulator.calls(operation="ListClusters")[before:]
    assert len(calls) == 3, "two pages of what is recent, and one for all that is later"
    emulator.advance(600)
    assert [one.alive for one in await target.find(key.workspace_id)] == [False]


async def test_a_cluster_that_is_not_known_is_an_error_and_not_an_end(target: Ec2Target, key: RunKey) -> None:
    with pytest.raises(RunError):
        await target.observe(Handle("j-0000000000000", key))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda s: replace(s, cluster=replace(s.cluster, release_label="emr-99.0.0")), Reason.RELEASE_LABEL),
        (
            lambda s: replace(s, groups=(s.groups[0], NodeGroup(Role.CORE, "z9.mega", 2))),
            Reason.TYPE_UNSUPPORTED,
        ),
        (lambda s: replace(s, cluster=replace(s.cluster, subnet_ids=("subnet-00000000",))), Reason.NETWORK),
    ],
    ids=["release", "type", "subnet"],
)
async def test_what_certainly_cannot_run_is_found_before_the_launch_and_refused_by_it(
    target: Ec2Target, key: RunKey, change: object, reason: Reason
) -> None:
    wrong: RunSpec = change(spec())  # type: ignore[operator]
    findings = (await target.preflight(wrong)).findings
    assert reason in {finding.reason for finding in findings if finding.certain}
    assert all(finding.remedy for finding in findings if finding.certain)
    with pytest.raises(RunError) as refused:
        await target.submit(wrong, key)
    assert refused.value.reason is reason


async def test_a_preflight_that_finds_nothing_gives_vcpus_and_subnets_and_is_remembered(
    emulator: EmulatorProcess, target: Ec2Target
) -> None:
    subnets = [subnet["SubnetId"] for subnet in emulator.client("ec2").describe_subnets()["Subnets"]][:2]
    wanted = replace(spec(), cluster=replace(spec().cluster, subnet_ids=tuple(subnets)))
    preflight = await target.preflight(wanted)
    assert [finding for finding in preflight.findings if finding.certain] == []
    assert preflight.vcpus == {"m5.xlarge": 4}
    assert set(preflight.subnet_ids) <= set(subnets)
    assert preflight.subnet_ids
    before = len(emulator.calls())
    assert await target.preflight(wanted) == preflight
    assert len(emulator.calls()) == before
    book = RateBook([TablePrices()], clock=SimClock())
    estimate = book.estimate(wanted, await book.quote(wanted), 420.0)
    assert admit(wanted, preflight, estimate) == []


async def test_a_preflight_that_may_not_ask_says_so(monkeypatch: pytest.MonkeyPatch, target: Ec2Target) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    unreachable = Ec2Target(Door("us-east-1", Patience.QUICK), "us-east-1", SimClock())
    preflight = await unreachable.preflight(spec())
    assert [(finding.reason, finding.certain) for finding in preflight.findings] == [(Reason.ENDPOINT, False)] * 2
    assert all("not checked" in finding.message for finding in preflight.findings)
    assert preflight.vcpus == {}


async def test_logs_that_are_not_there_are_named_and_never_an_error(
    emulator: EmulatorProcess, target: Ec2Target, key: RunKey
) -> None:
    handle = Handle("j-none", key)
    failed = StepLook("s-1", "notebook", StepState.FAILED, Timeline(1.0, 2.0, 3.0))
    look = Observation(RunState.VERIFIED, steps=(failed,))
    tails = await target.logs(handle, spec(), look)
    assert {tail.text for tail in tails} == {None}
    assert await target.logs(handle, replace(SPEC, cluster=replace(SPEC.cluster, log_uri=None)), look) == []
    emulator.client("s3").put_object(
        Bucket=BUCKET, Key="logs/j-none/steps/s-1/stderr.gz", Body=gzip.compress(b"x" * 100_000 + b"the end")[:-9]
    )
    (stderr,) = [tail for tail in await target.logs(handle, spec(), look) if tail.name == "stderr"]
    assert stderr.text is not None
    assert len(stderr.text) <= 17_000
    members = gzip.compress(b"first ") + gzip.compress(b"second") + b"\0" * 512
    emulator.client("s3").put_object(Bucket=BUCKET, Key="logs/j-none/steps/s-1/stdout.gz", Body=members)
    large = gzip.compress(random.Random(1).randbytes(9 << 20), compresslevel=0)
    emulator.client("s3").put_object(Bucket=BUCKET, Key="logs/j-none/steps/s-1/controller.gz", Body=large)
    texts = {tail.name: tail.text or "" for tail in await target.logs(handle, spec(), look)}
    assert texts["stdout"] == "first second", "a log that was appended to has several members"
    assert texts["controller"].endswith("[only the first 8 MiB of the log were read]")
    elsewhere = replace(SPEC, cluster=replace(SPEC.cluster, log_uri="s3://nobody-has-this/logs"))
    assert all("could not be read" in (tail.text or "") for tail in await target.logs(handle, elsewhere, look))
    never = Observation(RunState.VERIFIED, steps=(replace(failed, timeline=Timeline(1.0)),))
    assert await target.logs(handle, spec(), never) == [], "what never ran has left no logs"

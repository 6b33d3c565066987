"""Documents of faults: which are accepted, what each says of a phase, whose turn it is, and what a wrong one hears."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest

from servo_emr.emulator.faults.calls import CallFault, Slow
from servo_emr.emulator.faults.set import KINDS, Faults, WrongFault, load_faults
from servo_emr.emulator.protocol.naming import GATEWAY_CALLER, NODE_CALLER, Asked
from servo_emr.emulator.world.mishaps import (
    Delay,
    EndCluster,
    EndStep,
    IgnoreTermination,
    LoseInstances,
    Mishap,
    NoCapacity,
    Phase,
    Protect,
    SpoilLogs,
)
from servo_emr.emulator.world.records import Cluster, ErrorDetail, Instance, Reason, Timeline
from tests.support.world import launch


def cluster(name: str = "nightly") -> Cluster:
    asked = dataclasses.replace(launch(), name=name, zone="us-east-1a")
    primary = Instance("ci-1", "i-1", "ig-1", "MASTER", "m5.xlarge", "ON_DEMAND", "10.0.0.1", Timeline(0.0))
    return Cluster(
        id="j-1",
        launch=asked,
        timeline=Timeline(0.0),
        groups=[],
        fleets=[],
        protected=False,
        keep_alive=False,
        concurrency=1,
        visible=True,
        idle_timeout=None,
        tags={},
        instances=[primary],
        primary=primary,
    )


def faults(*documents: dict[str, Any], now: float = 0.0) -> Faults:
    made = Faults()
    made.replace(list(documents), now)
    return made


def call(operation: str, signed: str = "elasticmapreduce", caller: str = "me", conditional: bool = False) -> Asked:
    return Asked(signed, operation, caller, conditional)


def struck(made: Faults) -> list[int]:
    return [document["struck"] for document in made.list()]


NON_ZERO = "On the master instance (i-1), bootstrap action 1 returned a non-zero return code"
FULL_DISK = "On the master instance (i-1), insufficient disk space worker"
TOLD = Reason("VALIDATION_ERROR", "no")
PLACE = {"instance-type": "m5.xlarge", "availability-zone": "us-east-1a"}
WORDS = "A fault that was set on this emulator."


@pytest.mark.parametrize(
    ("document", "phase", "mishap"),
    [
        ({"kind": "no-capacity"}, "provisioning", NoCapacity()),
        ({"kind": "no-capacity", "role": "CORE", "market": "SPOT"}, "provisioning", NoCapacity("CORE", "SPOT")),
        ({"kind": "delay", "phase": "terminating", "seconds": 1200}, "terminating", Delay(1200)),
        ({"kind": "stuck", "phase": "step"}, "step", Delay(math.inf)),
        (
            {"kind": "bootstrap-failure"},
            "bootstrapping",
            EndCluster(
                0.0,
                Reason("BOOTSTRAP_FAILURE", NON_ZERO),
                (
                    ErrorDetail(
                        "BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE",
                        NON_ZERO,
                        {"primary-instance-id": "i-1", "bootstrap-action": "1", "return-code": "1"},
                    ),
                ),
            ),
        ),
        (
            {"kind": "bootstrap-failure", "code": "BOOTSTRAP_FAILURE_INSUFFICIENT_DISK_SPACE_WORKER", "after": 9},
            "bootstrapping",
            EndCluster(
                9,
                Reason("BOOTSTRAP_FAILURE", FULL_DISK),
                (
                    ErrorDetail(
                        "BOOTSTRAP_FAILURE_INSUFFICIENT_DISK_SPACE_WORKER", FULL_DISK, {"primary-instance-id": "i-1"}
                    ),
                ),
            ),
        ),
        (
            {
                "kind": "end-cluster",
                "phase": "provisioning",
                "code": "VALIDATION_ERROR",
                "error": "VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED",
                "message": "no",
            },
            "provisioning",
            EndCluster(0.0, TOLD, (ErrorDetail("VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED", "no", PLACE),)),
        ),
        (
            {
                "kind": "end-cluster",
                "code": "VALIDATION_ERROR",
                "error": "VALIDATION_ERROR_INVALID_SSH_KEY_NAME",
                "message": "no",
            },
            "running",
            EndCluster(0.0, TOLD, (ErrorDetail("VALIDATION_ERROR_INVALID_SSH_KEY_NAME", "no"),)),
        ),
        (
            {"kind": "end-cluster", "after": 60, "code": "ALL_STEPS_COMPLETED"},
            "running",
            EndCluster(60, Reason("ALL_STEPS_COMPLETED", WORDS), failed=False),
        ),
        (
            {"kind": "user-terminates", "phase": "step", "after": 5},
            "step",
            EndCluster(5, Reason("USER_REQUEST", "Terminated by user request"), failed=False),
        ),
        (
            {"kind": "lose-instance", "role": "CORE", "after": 300, "count": 2, "replaced": False, "interrupts": True},
            "running",
            LoseInstances(300, "CORE", 2, replaced=False, interrupts=True),
        ),
        (
            {"kind": "reclaim-spot", "role": "TASK", "phase": "step"},
            "step",
            LoseInstances(
                0.0,
                "TASK",
                market="SPOT",
                reason=Reason("INSTANCE_FAILURE", "The Spot instance was reclaimed by Amazon EC2"),
            ),
        ),
        ({"kind": "end-step", "state": "FAILED", "after": 3}, "step", EndStep(3, "FAILED", "Unknown Error.", WORDS)),
        ({"kind": "end-step", "state": "CANCELLED", "message": "m"}, "step", EndStep(None, "CANCELLED", message="m")),
        ({"kind": "protect", "phase": "bootstrapping", "after": 1}, "bootstrapping", Protect(1)),
        ({"kind": "ignore-termination"}, "terminating", IgnoreTermination()),
        ({"kind": "logs", "delay": 600, "keep": 0.5}, "logs", SpoilLogs(600, 0.5)),
        ({"kind": "logs", "keep": 0}, "logs", SpoilLogs(0.0, 0)),
    ],
)
def test_a_document_says_what_goes_wrong_in_which_phase(document: dict[str, Any], phase: str, mishap: Mishap) -> None:
    made = faults(document)
    for other in Phase:
        assert list(made.begin(other, cluster(), 0.0)) == ([mishap] if other == phase else [])
    assert struck(made) == [1]


def test_a_quota_names_the_type_that_exceeds_it() -> None:
    (mishap,) = faults({"kind": "quota"}).begin(Phase.PROVISIONING, cluster(), 0.0)
    assert isinstance(mishap, EndCluster)
    assert (mishap.after, mishap.failed, mishap.reason.code) == (60, True, "INTERNAL_ERROR")
    assert "vCPUs for instance type m5.xlarge exceeds the EC2 service quota" in str(mishap.reason.message)


def test_a_fault_of_a_phase_is_for_clusters_of_a_name_by_number_and_by_time() -> None:
    made = faults(
        {"kind": "stuck", "phase": "step", "cluster": "nightly-*", "occurrence": 2},
        {"kind": "stuck", "phase": "step", "since": 10, "until": 20},
        now=100.0,
    )

    def met(name: str, now: float) -> int:
        return len(made.begin(Phase.STEP, cluster(name), now))

    assert [met("nightly-1", 100), met("weekly", 100), met("nightly-2", 100), met("nightly-3", 100)] == [0, 0, 1, 0]
    assert [met("weekly", now) for now in (109.9, 110, 119.9, 120)] == [0, 1, 1, 0]
    assert struck(made) == [1, 2]


def test_all_that_goes_wrong_in_a_phase_is_told() -> None:
    made = faults({"kind": "protect", "after": 1}, {"kind": "user-terminates", "after": 2})
    assert [type(mishap) for mishap in made.begin(Phase.RUNNING, cluster(), 0.0)] == [Protect, EndCluster]


def test_a_fault_of_calls_is_for_operations_by_pattern_and_counts_only_those_in_its_time() -> None:
    made = faults(
        {"kind": "throttle", "operation": "Describe*", "occurrence": 2, "since": 10},
        {"kind": "throttle", "operation": "s3:*"},
        {"kind": "throttle", "operation": "*:*", "until": 50},
    )

    def meets(asked: Asked, now: float) -> bool:
        return made.strike(asked, now) is not None

    assert [meets(call("DescribeStep"), now) for now in (60, 61, 62)] == [False, True, False]
    assert [meets(call(name, "s3"), 60) for name in ("PutObject", "Unknown")] == [True, True]
    assert not meets(call("Query", "dynamodb"), 60)
    assert meets(call("Query", "dynamodb"), 49), "*:* is every service, known by name or not"
    assert struck(made) == [1, 2, 1]


def test_the_nodes_own_calls_are_left_alone_unless_they_are_meant() -> None:
    def meets(who: str, **key: str) -> bool:
        made = faults({"kind": "access-denied", "operation": "s3:GetObject", **key})
        return made.strike(call("GetObject", "s3", who), 0.0) is not None

    everybody = ("me", NODE_CALLER, GATEWAY_CALLER)
    assert [meets(who) for who in everybody] == [True, False, False]
    assert [meets(who, caller="node") for who in everybody] == [False, True, True]
    assert [meets(who, caller="any") for who in everybody] == [True, True, True]


def test_a_conflict_meets_conditional_writes_only() -> None:
    made = faults({"kind": "conflict"})
    assert made.strike(call("PutObject", "s3"), 0.0) is None
    assert made.strike(call("GetObject", "s3", conditional=True), 0.0) is None
    assert isinstance(made.strike(call("PutObject", "s3", conditional=True), 0.0), CallFault)


def test_a_slow_answer_comes_after_the_effect_unless_it_says_otherwise() -> None:
    for when, before in (("after", False), ("before", True)):
        found = faults({"kind": "slow", "operation": "RunJobFlow", "seconds": 2, "when": when}).strike(
            call("RunJobFlow"), 0.0
        )
        assert found is not None
        assert (found.before, found.blow) == (before, Slow(2))
    found = faults({"kind": "slow", "operation": "RunJobFlow", "seconds": 2}).strike(call("RunJobFlow"), 0.0)
    assert found is not None and not found.before


RUN = {"kind": "drop-reply", "operation": "RunJobFlow"}
ERROR = {"kind": "error", "operation": "RunJobFlow", "code": "A"}
ALTER = {"kind": "alter", "operation": "ListInstances", "member": "Instances.Status.Timeline.EndDateTime"}
KIND_NAMES = ", ".join(sorted(KINDS))


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("drop-reply", "fault 2: not an object with a kind but 'drop-reply'"),
        ({}, f"fault 2: kind is missing: one of {KIND_NAMES}"),
        ({"kin": "stuck"}, 'is "kin" meant for it?'),
        ({"kind": "throtle"}, f'fault 2: kind is one of {KIND_NAMES}, not "throtle" (did you mean "throttle"?)'),
        ({"kind": []}, "not []"),
        ({"kind": "drop-reply"}, "fault 2: operation is missing"),
        (RUN | {"operation": "PutObject"}, "fault 2: operation PutObject: emr has none of that name"),
        (RUN | {"operation": "RunJobFlw"}, '(did you mean "RunJobFlow"?)'),
        (RUN | {"operation": "s3:PutObjct"}, 's3 has none of that name (did you mean "PutObject"?)'),
        (RUN | {"operation": "iamm:GetRole"}, 'sts (did you mean "iam"?)'),
        (RUN | {"operation": 3}, "fault 2: operation is an operation such as RunJobFlow, s3:PutObject"),
        (RUN | {"occurrence": 0}, "fault 2: occurrence is the number of a call from now on"),
        (RUN | {"occurrence": True}, '"every", not true'),
        (RUN | {"until": 0}, "fault 2: until is seconds from now"),
        (RUN | {"until": None}, "more than 0, not null"),
        (RUN | {"since": 9, "until": 9}, "fault 2: until is later than since, which is 9, not 9"),
        (RUN | {"since": -1}, "fault 2: since is seconds from now, 0 or more, not -1"),
        (RUN | {"caller": "servo"}, 'fault 2: caller is one of any, client, node, not "servo"'),
        (RUN | {"occurence": 1}, '"occurence" is no key of this kind (did you mean "occurrence"?); it has kind, '),
        ({"kind": "throttle", "operation": "RunJobFlow", "code": "A"}, '"code" is no key of this kind'),
        ({"kind": "error", "operation": "RunJobFlow"}, "fault 2: code is missing"),
        (ERROR | {"code": "A\r\nB: c"}, "fault 2: code is an error code"),
        (ERROR | {"status": 200}, "fault 2: status is an HTTP status from 400 to 599, not 200"),
        (ERROR | {"status": 400.5}, "not 400.5"),
        (ERROR | {"when": "later"}, 'fault 2: when is one of after, before, not "later"'),
        (ERROR | {"message": 1}, "fault 2: message is a text, not 1"),
        ({"kind": "slow", "operation": "RunJobFlow"}, "fault 2: seconds is missing"),
        ({"kind": "clock-skew", "operation": "*", "seconds": 0}, "ahead, less than 0 if it is behind, not 0"),
        ({"kind": "list-lag"}, "fault 2: seconds is missing"),
        ({"kind": "list-lag", "seconds": "5"}, 'fault 2: seconds is a number of seconds, more than 0, not "5"'),
        (ALTER, "fault 2: alter takes exactly one of to, by and remove"),
        (ALTER | {"to": 1, "by": 2}, "exactly one of"),
        (ALTER | {"to": math.nan}, "fault 2: to is any JSON value"),
        (ALTER | {"remove": False}, "fault 2: remove is true, not false"),
        (ALTER | {"operation": "List*", "to": 1}, "alter is for one operation of emr, pricing, service-quotas"),
        (ALTER | {"operation": "s3:ListBuckets", "to": 1}, "not s3:ListBuckets"),
        (
            ALTER | {"member": "Instances.Status.Timeline.EndTime", "to": 1},
            'the answer of ListInstances has no EndTime there (did you mean "EndDateTime"?)',
        ),
        ({"kind": "no-capacity", "role": "PRIMARY"}, "fault 2: role is one of CORE, MASTER, TASK"),
        ({"kind": "stuck"}, "fault 2: phase is missing: one of bootstrapping, provisioning, step, terminating"),
        ({"kind": "stuck", "phase": "running"}, 'terminating, not "running"'),
        ({"kind": "stuck", "phase": "step", "cluster": 7}, "fault 2: cluster is a text, not 7"),
        ({"kind": "delay", "phase": "step", "seconds": math.inf}, "fault 2: seconds is a number of seconds"),
        ({"kind": "end-cluster", "code": "USER_REQUEST"}, "fault 2: code is one of ALL_STEPS_COMPLETED, BOOTSTRAP"),
        (
            {"kind": "end-cluster", "code": "INTERNAL_ERROR", "error": "VALIDATION_ERROR_INVALID_SSH_KEY_NAME"},
            "fault 2: error is one of INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ, ",
        ),
        (
            {"kind": "end-cluster", "code": "STEP_FAILURE", "error": "STEP_FAILURE_X"},
            'fault 2: error is not documented for STEP_FAILURE, not "STEP_FAILURE_X"',
        ),
        ({"kind": "bootstrap-failure", "code": "BOOTSTRAP_FAILURE"}, "fault 2: code is one of BOOTSTRAP_FAILURE_BA"),
        ({"kind": "lose-instance", "role": "CORE", "count": 0}, "fault 2: count is a whole number, 1 or more, not 0"),
        ({"kind": "lose-instance", "role": "CORE", "replaced": "no"}, "fault 2: replaced is true or false"),
        ({"kind": "end-step", "state": "COMPLETED"}, "fault 2: state is one of CANCELLED, FAILED, INTERRUPTED"),
        ({"kind": "logs"}, "fault 2: logs needs delay (seconds) or keep (less than 1)"),
        ({"kind": "logs", "keep": 2}, "fault 2: keep is the share of each object's bytes"),
    ],
)
def test_a_wrong_document_is_told_by_entry_key_and_value_and_changes_nothing(document: Any, words: str) -> None:
    good = {"kind": "list-lag", "seconds": 5}
    made = faults(good)
    with pytest.raises(WrongFault) as caught:
        made.replace([good, document], 0.0)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)
    assert made.list() == [good | {"struck": 0}]


@pytest.mark.parametrize("documents", [None, {}, "stuck", {"faults": []}])
def test_faults_are_a_list(documents: Any) -> None:
    with pytest.raises(WrongFault, match="the faults are a list of objects, each with a kind"):
        Faults().replace(documents, 0.0)


def test_a_file_of_faults_is_yaml_and_json_is_yaml(tmp_path: Path) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text("- kind: throttle\n  operation: Describe*\n  until: 600\n- {kind: stuck, phase: step}\n")
    documents = load_faults(path)
    assert documents == [
        {"kind": "throttle", "operation": "Describe*", "until": 600},
        {"kind": "stuck", "phase": "step"},
    ]
    path.write_text('[{"kind": "stuck", "phase": "step"}]')
    assert load_faults(path) == [{"kind": "stuck", "phase": "step"}]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "the faults are a list of objects"),
        ("- kind: stuck\n  fase: step", "fault 1: phase is missing: one of bootstrapping, provisioning, step, "),
        ("- kind: stuck\n  phase: [step", "line 2: expected ',' or ']'"),
        ("- kind: stuck\n  kind: delay", "line 2: the key kind is there twice"),
        ("- kind: alter\n  ? [a]\n  : b", "line 2: found unhashable key"),
        ("- kind: logs\n  keep: 2026-11-20", "fault 1: keep is the share of each object's bytes that is there, 0 to 1"),
        ("- !!python/object:os.system {}", "line 1: could not determine a constructor for the tag"),
    ],
)
def test_a_wrong_file_is_told_by_its_name_and_place(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "faults.yaml"
    path.write_text(text)
    with pytest.raises(WrongFault) as caught:
        load_faults(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert words in str(caught.value)


def test_a_file_that_cannot_be_read_is_told_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(WrongFault, match=r"faults\.yaml: cannot be read: No such file or directory"):
        load_faults(tmp_path / "faults.yaml")
    (tmp_path / "faults.yaml").write_bytes(b"\xff")
    with pytest.raises(WrongFault, match=r"faults\.yaml: not a text in UTF-8"):
        load_faults(tmp_path / "faults.yaml")

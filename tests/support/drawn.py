"""Strategies of hypothesis: faults in the emulator's own language, interruptions of a servo, what an optimizer asks.

Every fault ends: by the number of calls or clusters that it meets, or after minutes. What never ends is a stated
exception of the promise, and is tested for itself.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.support.hands import Interrupt

__all__ = ["FAULTS", "INTERRUPTS", "JOBS", "LAGS_S", "LIMITS", "SETTINGS", "USERDATA", "lasting"]

LAGS_S = 150
"""Listings lag less than a launch is looked for."""
_LONGEST_S = 900
_OPERATIONS = (
    "RunJobFlow DescribeCluster ListSteps ListClusters ListInstances ListInstanceGroups TerminateJobFlows "
    "SetTerminationProtection Describe* List* * s3:PutObject s3:GetObject s3:ListObjectsV2 s3:* ec2:* *:*"
).split()


def _documents(**members: Any) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(members)


def _merged(*parts: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*parts).map(lambda found: {key: value for part in found for key, value in part.items()})


_some_calls = st.one_of(
    _documents(occurrence=st.integers(1, 12)),
    _documents(since=st.integers(0, 2400)).flatmap(
        lambda start: st.integers(30, _LONGEST_S).map(lambda length: {**start, "until": start["since"] + length})
    ),
)
_some_clusters = _documents(occurrence=st.integers(1, 2))
_operation = _documents(operation=st.sampled_from(_OPERATIONS))
_when = _documents(when=st.sampled_from(("before", "after")))
_after = _documents(after=st.integers(0, 1200))


def _kind(*names: str) -> st.SearchStrategy[dict[str, Any]]:
    return _documents(kind=st.sampled_from(names))


_OF_CALLS = st.one_of(
    _merged(_kind("throttle", "server-error", "drop-reply"), _operation, _when, _some_calls),
    _merged(_kind("access-denied", "expired-credentials"), _operation, _some_calls),
    _merged(_kind("clock-skew"), _operation, _documents(seconds=st.sampled_from((-7200, 7200))), _some_calls),
    _merged(_kind("conflict"), _when, _some_calls),
    _merged(_kind("list-lag"), _documents(seconds=st.integers(10, LAGS_S))),
)
_OF_LAUNCHES = st.one_of(
    _merged(
        _kind("drop-reply", "server-error", "throttle"), st.just({"operation": "RunJobFlow", "when": "after"})
    ).flatmap(lambda fault: st.integers(1, 2).map(lambda nth: {**fault, "occurrence": nth})),
    _merged(_kind("no-capacity"), _some_clusters),
    _merged(_kind("quota"), _some_clusters),
    _merged(_kind("bootstrap-failure"), _some_clusters),
    _merged(
        _kind("stuck", "delay"), _documents(phase=st.sampled_from(("provisioning", "bootstrapping"))), _some_clusters
    ),
)
_OF_RUNS = st.one_of(
    _merged(
        _kind("end-cluster"),
        _documents(
            phase=st.sampled_from(("provisioning", "bootstrapping", "running", "step")),
            code=st.sampled_from(("INTERNAL_ERROR", "INSTANCE_FAILURE", "STEP_FAILURE", "VALIDATION_ERROR")),
        ),
        _after,
        _some_clusters,
    ),
    _merged(
        _kind("user-terminates", "protect"),
        _documents(phase=st.sampled_from(("provisioning", "bootstrapping", "running", "step"))),
        _after,
        _some_clusters,
    ),
    _merged(
        _kind("lose-instance"),
        _documents(
            phase=st.sampled_from(("running", "step")),
            role=st.sampled_from(("MASTER", "CORE")),
            replaced=st.booleans(),
            interrupts=st.booleans(),
        ),
        _after,
        _some_clusters,
    ),
    _merged(
        _kind("end-step"),
        _documents(state=st.sampled_from(("FAILED", "CANCELLED", "INTERRUPTED"))),
        _after,
        _some_clusters,
    ),
    _merged(_kind("stuck", "delay"), st.just({"phase": "step"}), _some_clusters),
    _merged(_kind("delay"), st.just({"phase": "terminating"}), _some_clusters),
    _merged(_kind("ignore-termination"), _some_clusters),
    _merged(_kind("logs"), _documents(keep=st.sampled_from((0, 0.5)), delay=st.sampled_from((0, 600)))),
)


def _whole(fault: dict[str, Any]) -> dict[str, Any]:
    """A delay says how long; nothing else does."""
    return {**fault, "seconds": 900} if fault["kind"] == "delay" else fault


FAULTS = st.one_of(_OF_CALLS, _OF_LAUNCHES, _OF_RUNS).map(_whole)


def lasting(fault: dict[str, Any]) -> float:
    """For how many seconds a fault may keep a cluster from being ended, at most."""
    if fault["kind"] in ("ignore-termination", "list-lag"):
        return 600.0
    return float(fault.get("until", 0) - fault.get("since", 0)) if "until" in fault else 300.0


INTERRUPTS = st.one_of(
    st.builds(Interrupt, st.sampled_from(("kill", "cancel", "stop")), call=st.integers(1, 45), after=st.booleans()),
    st.builds(Interrupt, st.sampled_from(("kill", "cancel", "stop")), at=st.integers(0, 2400).map(float)),
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "core.replicas": st.one_of(st.integers(1, 6), st.sampled_from((0, 7, "4", 2.5, "many", True))),
        "core.inst_type": st.sampled_from(("m5.xlarge", "c5.xlarge", "r5.24xlarge", "")),
        "primary.inst_type": st.sampled_from(("m5.xlarge", "m5.24xlarge")),
    },
).filter(bool)
LIMITS = st.one_of(
    st.none(),
    st.none(),
    st.fixed_dictionaries(
        {}, optional={"deadline_s": st.integers(30, 1800), "max_cost_usd": st.sampled_from((0.01, 0.2, 3.0))}
    ),
)
USERDATA = st.one_of(
    LIMITS, st.sampled_from(({"unknown": 1}, {"deadline_s": "soon"}, {"parameters": {"mode": "fail"}}))
)
JOBS = st.sampled_from(
    ("succeeds", "succeeds", "succeeds", "leaves nothing", "leaves another's", "fails", "breaks its result")
)

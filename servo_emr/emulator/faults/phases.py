"""The kinds of fault that clusters meet: which cluster in which phase of its life, and what goes wrong. Documents only.

A life asks for them and applies them; how it does is not known here, and calls are not either.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from servo_emr.emulator.faults.document import MESSAGE, Keys, Window
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
from servo_emr.emulator.world.records import Cluster, ErrorDetail, Reason

__all__ = ["ERROR_CODES", "LOSS_CODES", "PHASE_KINDS", "REASON_CODES", "PhaseFault"]

REASON_CODES = (
    "ALL_STEPS_COMPLETED",
    "BOOTSTRAP_FAILURE",
    "INSTANCE_FAILURE",
    "INSTANCE_FLEET_TIMEOUT",
    "INTERNAL_ERROR",
    "STEP_FAILURE",
    "VALIDATION_ERROR",
)
"""Codes of a cluster's StateChangeReason; USER_REQUEST is the kind user-terminates."""

ERROR_CODES = (
    "BOOTSTRAP_FAILURE_BA_DOWNLOAD_FAILED_PRIMARY",
    "BOOTSTRAP_FAILURE_FILE_NOT_FOUND_PRIMARY",
    "BOOTSTRAP_FAILURE_HIVE_METASTORE_CONNECTION_ERROR_PRIMARY",
    "BOOTSTRAP_FAILURE_HIVE_METASTORE_CONNECTION_ERROR_WORKER",
    "BOOTSTRAP_FAILURE_INSUFFICIENT_DISK_SPACE_PRIMARY",
    "BOOTSTRAP_FAILURE_INSUFFICIENT_DISK_SPACE_WORKER",
    "BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE",
    "INTERNAL_ERROR_EC2_INSUFFICIENT_CAPACITY_AZ",
    "INTERNAL_ERROR_SPOT_NO_CAPACITY_PRIMARY",
    "INTERNAL_ERROR_SPOT_PRICE_INCREASE_PRIMARY",
    "VALIDATION_ERROR_INSTANCE_TYPE_NOT_SUPPORTED",
    "VALIDATION_ERROR_INVALID_SSH_KEY_NAME",
    "VALIDATION_ERROR_SECURITY_GROUP_NOT_FROM_ONE_VPC",
    "VALIDATION_ERROR_SUBNET_NOT_FROM_ONE_VPC",
)
"""Every code of ErrorDetails that AWS documents. Each begins with the reason's code that it comes with."""

LOSS_CODES = {
    "BOOTSTRAP_FAILURE": "The instance failed its bootstrap actions",
    "INSTANCE_FAILURE": "The instance was lost",
    "INTERNAL_ERROR": "The instance was lost by an internal error",
    "VALIDATION_ERROR": "The instance could not be launched",
}
"""Codes of an instance's StateChangeReason, each with its message; CLUSTER_TERMINATED is no loss."""

_ROLES = ("CORE", "MASTER", "TASK")
_LONG = (Phase.PROVISIONING, Phase.BOOTSTRAPPING, Phase.STEP, Phase.TERMINATING)  # the phases that can last longer
_LIVING = (Phase.PROVISIONING, Phase.BOOTSTRAPPING, Phase.RUNNING, Phase.STEP)
_UP = (Phase.RUNNING, Phase.STEP)
_NON_ZERO = "BOOTSTRAP_FAILURE_PRIMARY_WITH_NON_ZERO_CODE"
_QUOTA = (
    "The request to create the EMR cluster or add EC2 instances to it failed. The number of vCPUs for instance type "
    "{type} exceeds the EC2 service quota for that type. Request a service quota increase for your AWS account or "
    "choose a different instance type and retry the request."
)
_RECLAIMED = Reason("INSTANCE_FAILURE", "The Spot instance was reclaimed by Amazon EC2")


@dataclass(frozen=True)
class PhaseFault:
    """What goes wrong in a phase of the clusters whose name fits the pattern."""

    phase: Phase
    cluster: str
    window: Window
    mishap: Callable[[Cluster], Mishap]

    def mean(self, phase: Phase, cluster: Cluster) -> bool:
        """Whether it is one of those beginnings that are counted."""
        return phase is self.phase and fnmatchcase(cluster.launch.name, self.cluster)


def _fault(keys: Keys, phase: Phase, mishap: Callable[[Cluster], Mishap]) -> PhaseFault:
    """With the keys that every kind about clusters has."""
    cluster = keys.text("cluster", "*")
    return PhaseFault(phase, cluster, keys.window(f"a beginning of the phase {phase}"), mishap)


def _phase(keys: Keys, options: Collection[Phase], default: Phase | None = None) -> Phase:
    names = [str(phase) for phase in options]
    return Phase(keys.choice("phase", names) if default is None else keys.choice("phase", names, str(default)))


def _role(keys: Keys) -> str:
    return str(keys.choice("role", _ROLES))


def _no_capacity(keys: Keys) -> PhaseFault:
    phase = _phase(keys, (Phase.PROVISIONING, Phase.RUNNING), Phase.PROVISIONING)
    mishap = NoCapacity(keys.choice("role", _ROLES, None), keys.choice("market", ("ON_DEMAND", "SPOT"), None))
    return _fault(keys, phase, lambda cluster: mishap)


def _delay(keys: Keys) -> PhaseFault:
    phase, mishap = _phase(keys, _LONG), Delay(keys.seconds("seconds"))
    return _fault(keys, phase, lambda cluster: mishap)


def _stuck(keys: Keys) -> PhaseFault:
    return _fault(keys, _phase(keys, _LONG), lambda cluster: Delay(math.inf))


def _end_cluster(keys: Keys) -> PhaseFault:
    phase, after = _phase(keys, _LIVING, Phase.RUNNING), keys.delay("after", 0.0)
    code = keys.choice("code", REASON_CODES)
    errors = [name for name in ERROR_CODES if name.startswith(f"{code}_")]
    if errors:
        error = keys.choice("error", errors, None)
    else:
        error = keys.take("error", f"not documented for {code}", lambda value: False, None)
    message = keys.text("message", MESSAGE)

    def end(cluster: Cluster) -> Mishap:
        details = () if error is None else (_detail(error, message, cluster),)
        return EndCluster(after, Reason(code, message), details, failed=code != "ALL_STEPS_COMPLETED")

    return _fault(keys, phase, end)


def _bootstrap_failure(keys: Keys) -> PhaseFault:
    after = keys.delay("after", 0.0)
    error = keys.choice("code", [name for name in ERROR_CODES if name.startswith("BOOTSTRAP_FAILURE_")], _NON_ZERO)
    message = keys.text("message", None)

    def end(cluster: Cluster) -> Mishap:
        words = message or f"On the master instance ({_primary(cluster)}), {_failing(error)}"
        return EndCluster(after, Reason("BOOTSTRAP_FAILURE", words), (_detail(error, words, cluster),))

    return _fault(keys, Phase.BOOTSTRAPPING, end)


def _quota(keys: Keys) -> PhaseFault:
    after = keys.delay("after", 60.0)

    def end(cluster: Cluster) -> Mishap:
        return EndCluster(after, Reason("INTERNAL_ERROR", _QUOTA.format(type=_worker_type(cluster))))

    return _fault(keys, Phase.PROVISIONING, end)


def _user_terminates(keys: Keys) -> PhaseFault:
    phase, after = _phase(keys, _LIVING, Phase.RUNNING), keys.delay("after", 0.0)
    mishap = EndCluster(after, Reason("USER_REQUEST", "Terminated by user request"), failed=False)
    return _fault(keys, phase, lambda cluster: mishap)


def _lose_instance(keys: Keys) -> PhaseFault:
    code = keys.choice("code", LOSS_CODES, "INSTANCE_FAILURE")
    return _lose(keys, None, Reason(code, LOSS_CODES[code]))


def _reclaim_spot(keys: Keys) -> PhaseFault:
    return _lose(keys, "SPOT", _RECLAIMED)


def _lose(keys: Keys, market: str | None, reason: Reason) -> PhaseFault:
    phase = _phase(keys, _UP, Phase.RUNNING)
    mishap = LoseInstances(
        role=_role(keys),
        after=keys.delay("after", 0.0),
        count=keys.count("count", 1),
        replaced=keys.flag("replaced", True),
        interrupts=keys.flag("interrupts", False),
        market=market,
        reason=reason,
    )
    return _fault(keys, phase, lambda cluster: mishap)


def _end_step(keys: Keys) -> PhaseFault:
    mishap = EndStep(
        state=keys.choice("state", ("CANCELLED", "FAILED", "INTERRUPTED")),
        after=keys.delay("after", None),
        reason=keys.text("reason", "Unknown Error."),
        message=keys.text("message", MESSAGE),
    )
    return _fault(keys, Phase.STEP, lambda cluster: mishap)


def _protect(keys: Keys) -> PhaseFault:
    phase, mishap = _phase(keys, _LIVING, Phase.RUNNING), Protect(keys.delay("after", 0.0))
    return _fault(keys, phase, lambda cluster: mishap)


def _ignore_termination(keys: Keys) -> PhaseFault:
    return _fault(keys, Phase.TERMINATING, lambda cluster: IgnoreTermination())


def _logs(keys: Keys) -> PhaseFault:
    mishap = SpoilLogs(
        delay=keys.delay("delay", 0.0),
        keep=keys.number("keep", "the share of each object's bytes that is there, 0 to 1", lambda v: 0 <= v <= 1, 1.0),
    )
    if mishap == SpoilLogs():
        raise keys.fault("logs needs delay (seconds) or keep (less than 1): as it is, it does nothing")
    return _fault(keys, Phase.LOGS, lambda cluster: mishap)


def _detail(code: str, message: str, cluster: Cluster) -> ErrorDetail:
    """With the data that AWS documents for the family of codes, as far as it is known before."""
    if code.startswith("BOOTSTRAP_FAILURE"):
        action = {"bootstrap-action": "1", "return-code": "1"} if code == _NON_ZERO else {}
        return ErrorDetail(code, message, {"primary-instance-id": _primary(cluster), **action})
    if "CAPACITY" in code or "INSTANCE_TYPE" in code or "PRICE" in code:
        place = {"instance-type": _worker_type(cluster), "availability-zone": cluster.launch.zone or ""}
        return ErrorDetail(code, message, place)
    return ErrorDetail(code, message)


def _failing(error: str) -> str:
    if error == _NON_ZERO:
        return "bootstrap action 1 returned a non-zero return code"
    return error.removeprefix("BOOTSTRAP_FAILURE_").replace("_", " ").lower()


def _primary(cluster: Cluster) -> str:
    return cluster.primary.ec2_id if cluster.primary else ""


def _worker_type(cluster: Cluster) -> str:
    """The type of a core node, or of the primary where there is none."""
    types = {group.role: group.instance_type for group in cluster.launch.groups}
    types |= {fleet.role: fleet.types[0].instance_type for fleet in cluster.launch.fleets}
    return types.get("CORE", types["MASTER"])


PHASE_KINDS: Mapping[str, Callable[[Keys], PhaseFault]] = {
    "bootstrap-failure": _bootstrap_failure,
    "delay": _delay,
    "end-cluster": _end_cluster,
    "end-step": _end_step,
    "ignore-termination": _ignore_termination,
    "logs": _logs,
    "lose-instance": _lose_instance,
    "no-capacity": _no_capacity,
    "protect": _protect,
    "quota": _quota,
    "reclaim-spot": _reclaim_spot,
    "stuck": _stuck,
    "user-terminates": _user_terminates,
}

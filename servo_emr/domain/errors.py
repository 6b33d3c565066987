"""The error tree, split by who must act, each with its reason from the closed list of the wire contract.

    ServoEmrError
    +-- RunError                      a run, an adjust or a command did not succeed; carries a Reason
    |   +-- ConfigurationError        this configuration will never do: choose another
    |   +-- EnvironmentFailure        AWS or the network: may pass by itself
    |   +-- JobError                  the notebook or its step
    |   +-- OperatorError             a person must set something right
    |   +-- Censored                  the trial's own limits ended it
    |   +-- Aborted                   this servo was told to stop
    |   +-- OurDefect                 a bug of ours
    +-- LaunchUnclear                 a launch may or may not have taken effect: look before anything else
    +-- Conflict                      a conditional write found somebody had been there first
    +-- TooLarge                      an object is larger than what its reader takes: none of it was read
    +-- UsageError                    wrong usage or configuration of a command (exit status 2)

What leaves the customer's account is decided here too: `RunError.public` holds nothing that came from the
notebook, a log, a URI or an AWS message; `str(error)` may, and stays in log, record and terminal.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Any, ClassVar

__all__ = [
    "Aborted",
    "Censored",
    "ConfigurationError",
    "Conflict",
    "EnvironmentFailure",
    "JobError",
    "LaunchUnclear",
    "OperatorError",
    "OurDefect",
    "Reason",
    "RunError",
    "ServoEmrError",
    "TooLarge",
    "UsageError",
    "Verdict",
    "failure",
]


class Verdict(enum.StrEnum):
    """How a run ended, in one word; BEHAVIOUR's table of verdicts."""

    SUCCEEDED = "succeeded"
    CONFIGURATION = "configuration"
    ENVIRONMENT = "environment"
    JOB = "job"
    OPERATOR = "operator"
    INTERNAL = "internal"
    CENSORED = "censored"
    ABORTED = "aborted"


class Reason(enum.StrEnum):
    """The closed list of reasons that go over the wire."""

    SUCCESS = "success"

    UNKNOWN_SETTING = "configuration/unknown-setting"
    OUT_OF_BOUNDS = "configuration/out-of-bounds"
    LIMITS = "configuration/limits"
    TYPE_UNSUPPORTED = "configuration/type-unsupported"
    OUT_OF_MEMORY = "configuration/out-of-memory"
    JOB_TIMEOUT = "configuration/job-timeout"
    COST_CEILING = "configuration/cost-ceiling"

    CAPACITY = "environment/capacity"
    QUOTA = "environment/quota"
    SPOT = "environment/spot"
    BOOTSTRAP = "environment/bootstrap"
    THROTTLED = "environment/throttled"
    ENDPOINT = "environment/endpoint"
    SERVICE_INTERNAL = "environment/internal"
    INSTANCE_LOST = "environment/instance-lost"
    INTERRUPTED = "environment/interrupted"

    CELL_ERROR = "job/cell-error"
    STEP_FAILED = "job/step-failed"
    NO_RESULT = "job/no-result"
    BAD_METRIC = "job/bad-metric"

    CREDENTIALS = "operator/credentials"
    ROLE = "operator/role"
    NETWORK = "operator/network"
    RELEASE_LABEL = "operator/release-label"
    BUCKET = "operator/bucket"
    NOTEBOOK = "operator/notebook"
    PRICE = "operator/price"
    USERDATA = "operator/userdata"
    LEASE = "operator/lease"
    BUDGET = "operator/budget"
    BREAKER = "operator/breaker"
    UNRELEASED = "operator/unreleased"

    BUG = "internal/bug"
    DEADLINE = "deadline"
    MAX_COST = "max-cost"
    SHUTDOWN = "shutdown"

    @property
    def verdict(self) -> Verdict:
        """The verdict that this reason belongs to."""
        return _VERDICTS[self]


_SINGLES = {
    Reason.SUCCESS: Verdict.SUCCEEDED,
    Reason.DEADLINE: Verdict.CENSORED,
    Reason.MAX_COST: Verdict.CENSORED,
    Reason.SHUTDOWN: Verdict.ABORTED,
}
_VERDICTS = {reason: _SINGLES.get(reason) or Verdict(reason.partition("/")[0]) for reason in Reason}


class ServoEmrError(Exception):
    """Anything that this package raises on purpose."""


class UsageError(ServoEmrError):
    """The command line or servo.yaml is wrong: nothing was tried. The message names place, value and remedy."""


class LaunchUnclear(ServoEmrError):
    """The launch call ended without an answer that says whether a cluster was made.

    reason is what it is called when no cluster appears.
    """

    def __init__(self, message: str, reason: Reason = Reason.ENDPOINT) -> None:
        super().__init__(message)
        self.reason = reason


class Conflict(ServoEmrError):
    """A conditional write found another version than the one that it was to replace."""


class TooLarge(ServoEmrError):
    """An object has `size` bytes, more than the `limit` that its reader takes: none of it was read."""

    def __init__(self, what: str, size: int, limit: int) -> None:
        super().__init__(f"{what} has {size} bytes, more than {limit}")
        self.size = size
        self.limit = limit


class RunError(ServoEmrError):
    """A failure with its reason.

    Attributes:
        reason: from the closed list.
        remedy: what to do next, one sentence; empty when nothing can be advised.
        public: what may leave the account: facts of ours only (names of ours, counts, indices).
        details: the evidence for record and log, JSON values only (traceback, log tail, URIs, AWS's own words).
    """

    verdict: ClassVar[Verdict]

    def __init__(
        self,
        message: str,
        reason: Reason,
        *,
        remedy: str = "",
        public: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        if reason.verdict is not self.verdict:
            raise ValueError(f"{type(self).__name__} cannot carry the reason {reason}")
        super().__init__(message)
        self.message = message
        self.reason = reason
        self.remedy = remedy
        self.public = public
        self.details: dict[str, Any] = dict(details or {})

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class ConfigurationError(RunError):
    """This configuration cannot run, now or later: it is rejected, never to be tried again."""

    verdict = Verdict.CONFIGURATION


class EnvironmentFailure(RunError):
    """AWS, the network or another person's action ended it; the configuration is not to blame."""

    verdict = Verdict.ENVIRONMENT


class JobError(RunError):
    """The notebook, its step or what it reports is at fault."""

    verdict = Verdict.JOB


class OperatorError(RunError):
    """Somebody must set something right: credentials, roles, network, names, prices, limits."""

    verdict = Verdict.OPERATOR


class Censored(RunError):
    """The trial's own limits ended the run: its figures are lower bounds."""

    verdict = Verdict.CENSORED


class Aborted(RunError):
    """This servo was told to stop while the run was under way."""

    verdict = Verdict.ABORTED


class OurDefect(RunError):
    """A bug of this package, with the traceback in the details."""

    verdict = Verdict.INTERNAL


_BY_VERDICT: dict[Verdict, type[RunError]] = {
    cls.verdict: cls
    for cls in (ConfigurationError, EnvironmentFailure, JobError, OperatorError, Censored, Aborted, OurDefect)
}


def failure(
    reason: Reason,
    message: str,
    *,
    remedy: str = "",
    public: str = "",
    details: Mapping[str, Any] | None = None,
) -> RunError:
    """The error of the class that `reason` belongs to."""
    return _BY_VERDICT[reason.verdict](message, reason, remedy=remedy, public=public, details=details)

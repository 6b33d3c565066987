"""What the policy needs of the world: few verbs each, with the promises that every implementation keeps.

All `async` verbs are called from one event loop and return to it; blocking work is done off the loop by the
implementation. Nothing but `RunError`, `LaunchUnclear` and `Conflict` (domain.errors) leaves a port, whatever the
service, or somebody in its place, answers. A ValueError is the caller's own mistake: a name that can be no key.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from servo_emr.domain.errors import Reason, RunError
from servo_emr.domain.money import Cost, Estimate, Prices, Quote, SpotPoint
from servo_emr.domain.run import JobEvidence, Observation, RunRecord, Usage
from servo_emr.domain.spark import NodeSize
from servo_emr.domain.spec import RunKey, RunSpec

__all__ = [
    "Clock",
    "Document",
    "Evidence",
    "Finding",
    "Found",
    "Handle",
    "LaunchTarget",
    "LogTail",
    "Package",
    "Packer",
    "Preflight",
    "PriceBook",
    "PriceSource",
    "SpotSource",
    "Workspace",
]


@dataclass(frozen=True)
class Handle:
    """One cluster of ours."""

    cluster_id: str
    key: RunKey


@dataclass(frozen=True)
class Found:
    """A cluster that carries our key, alive or dead."""

    handle: Handle
    alive: bool
    created: float | None


@dataclass(frozen=True)
class Finding:
    """One thing that a preflight noticed. `certain` findings mean that the run cannot work, the others are warnings.

    public is what may leave the account: names of ours only.
    """

    reason: Reason
    message: str
    certain: bool
    remedy: str = ""
    public: str = "AWS says that it cannot run"


@dataclass(frozen=True)
class Preflight:
    """What read-only calls say of a spec: findings, the vCPUs of each type where the service told them, and those of
    the spec's subnets in whose zones every type is offered, neighbours in different zones where they can be (all of
    them as they are where that could not be asked). sizes has the memory and architecture of the types too."""

    findings: tuple[Finding, ...] = ()
    vcpus: Mapping[str, int] = field(default_factory=dict)
    subnet_ids: tuple[str, ...] = ()
    sizes: Mapping[str, NodeSize] = field(default_factory=dict)


@dataclass(frozen=True)
class LogTail:
    """The end of one log. `uri` is set also when the object is not there (yet): then `text` is None."""

    name: str
    uri: str
    text: str | None


class LaunchTarget(Protocol):
    """One flavour of EMR. Waiting, backoff and deadlines belong to `lifecycle`, never here."""

    def request(self, spec: RunSpec, key: RunKey, attempt: int = 1) -> dict[str, Any]:
        """The exact API request that `submit` would send. Pure: no I/O, equal arguments give equal requests.

        attempt, counted from 1, says where it goes: see `domain.attempt.subnet_of`.
        """
        ...

    async def preflight(self, spec: RunSpec) -> Preflight:
        """Read-only calls. What may not be asked becomes a finding that says so, never an error or silence."""
        ...

    async def submit(self, spec: RunSpec, key: RunKey, attempt: int = 1) -> Handle:
        """Makes one call, once. The caller must see it through: cancelling the awaiting task does not undo it.

        Raises:
            RunError: refused: nothing was made.
            LaunchUnclear: a cluster may exist: ask `find` before anything else.
        """
        ...

    async def find(self, workspace_id: str, alive_only: bool = False, since: float | None = None) -> list[Found]:
        """All clusters whose name holds the workspace's key, exactly, oldest first; every page is read.

        alive_only leaves out those that have ended. With `since` those may be left out that were made before it
        (seconds since the epoch, our clock; what the service's clock may differ by is allowed for). Both cost fewer
        pages. An empty list is the service's own word that there is none, never the lack of an answer.
        """
        ...

    async def observe(self, handle: Handle, last: Observation | None = None, steps: bool = True) -> Observation:
        """Looks once and never waits; one call where one is enough, and each is sent once: who looks looks again.
        `last` is the look before this one. Without `steps` the cluster alone is asked about."""
        ...

    async def confirmed(self, handle: Handle) -> bool:
        """Whether the cluster carries our workspace's tag besides the key in its name."""
        ...

    async def usage(self, handle: Handle) -> Usage:
        """Every instance row that the cluster ever had; complete only once it has ended."""
        ...

    async def logs(self, handle: Handle, spec: RunSpec, look: Observation) -> list[LogTail]:
        """The ends of the logs that explain a failure, as far as they have arrived: those of the step that failed, or
        of the bootstrap action. None when nothing has run that could have written any. Never raises."""
        ...

    async def release(self, handle: Handle) -> bool:
        """Asks for the cluster's end. May be repeated; safe on a cluster that has ended or never was.

        Termination protection that somebody switched on is switched off: the cluster carries our key. Returns whether
        it had to be.
        """
        ...


@dataclass(frozen=True)
class Document:
    """A JSON document of the workspace with the version that a conditional write compares."""

    body: dict[str, Any]
    version: str


class Workspace(Protocol):
    """Documents and artefacts under one prefix; nothing outside it is ever written or deleted.

    Every write replaces a whole object: a reader sees the old or the new, never half.
    """

    uri: str

    @property
    def emulated(self) -> bool:
        """Whether what has answered so far says of itself that it is an emulator, not AWS."""
        ...

    async def identity(self) -> str:
        """The workspace's random id, made once by the first who asks, the same for everybody afterwards."""
        ...

    async def document(self, name: str) -> Document | None:
        """The document of that name, or None."""
        ...

    async def write(self, name: str, body: Mapping[str, Any], expected: str | None) -> str:
        """Writes a document if its version is still `expected` (None: if there is none) and returns the new version.

        Raises:
            Conflict: somebody was there first.
        """
        ...

    async def save(self, record: RunRecord, expected: str | None) -> str:
        """Writes a run's record under the same condition as `write`."""
        ...

    async def record(self, run_id: str) -> tuple[RunRecord, str] | None:
        """A run's record with its version, or None."""
        ...

    def records(
        self, since: float | None = None, unreadable: Callable[[RunError], None] | None = None
    ) -> AsyncIterator[RunRecord]:
        """The records of all runs, newest first; with `since` only those created on that UTC day or later.

        unreadable is told of a record that cannot be read, which is then left out; without it that is an error.
        """
        ...

    async def bundle(self) -> None:
        """Puts records that had to be read one by one where the next reader finds them together, once they are many.

        Only a servo does it: whoever just looks writes nothing.

        Raises:
            RunError: they cannot be put there; each is where it was.
        """
        ...

    async def put(self, run_id: str, name: str, body: bytes) -> None:
        """Writes an artefact of a run."""
        ...

    async def get(self, run_id: str, name: str, limit: int | None = None) -> bytes | None:
        """Reads an artefact of a run, or None.

        Raises:
            TooLarge: it has more than `limit` bytes; none of it was read.
        """
        ...

    async def read(self, uri: str) -> bytes:
        """Reads an object that the user named (an s3:// URI, inside the workspace or not)."""
        ...


class PriceSource(Protocol):
    """Somewhere list prices come from."""

    async def prices(self, region: str, inst_types: Sequence[str], kinds: Sequence[str]) -> Prices:
        """Those of the instance types and kinds of EBS volume that this source knows. Never raises: a source that
        cannot be asked knows nothing, and its note says why."""
        ...


class SpotSource(Protocol):
    """Where spot prices come from."""

    async def history(
        self, region: str, inst_types: Sequence[str], start: float, end: float, zone: str | None = None
    ) -> Mapping[tuple[str, str], Sequence[SpotPoint]]:
        """(instance type, zone) -> prices from `start` to `end`, oldest first, the one in force at `start` included.

        Raises:
            RunError: it cannot be asked.
        """
        ...


class PriceBook(Protocol):
    """Usage into dollars. An unknown price is an error that says which source was asked, never 0."""

    async def quote(self, spec: RunSpec) -> Quote:
        """The prices for a run of a spec.

        Raises:
            OperatorError: operator/price.
        """
        ...

    def estimate(self, spec: RunSpec, quote: Quote, provisioning_s: float) -> Estimate:
        """What a run would cost. Pure; `provisioning_s` is what is expected from the launch to the first step, and the
        spec holds what is expected of the job."""
        ...

    async def bill(self, usage: Usage, quote: Quote, repeats: Sequence[Sequence[tuple[float, float]]]) -> Cost:
        """What an ended run did cost; `repeats` are the intervals of the measured steps of each repeat.

        Asks for what the quote lacks: spot prices while the instances ran, a type that took another's place.

        Raises:
            OperatorError: operator/price, also for a row whose times make no sense.
        """
        ...


@dataclass(frozen=True)
class Package:
    """What is uploaded for one run: file name -> bytes, and the notebook's SHA-256 (hexadecimal)."""

    files: Mapping[str, bytes]
    notebook_sha256: str


class Packer(Protocol):
    """Makes a job into the files that its run needs."""

    async def pack(self, spec: RunSpec, key: RunKey) -> Package:
        """Reads the notebook, checks it, and returns everything to upload.

        Raises:
            OperatorError: operator/notebook: it is missing, is none, or does not know a parameter.
        """
        ...


class Evidence(Protocol):
    """What a finished run shows: notebook, result."""

    async def collect(self, run_id: str, spec: RunSpec, wanted: Sequence[str]) -> JobEvidence:
        """Reads the executed notebook and result.json back. A result of another run is no result."""
        ...


class Clock(Protocol):
    """Time for the policy. Simulated clocks implement it too; nobody else waits or asks for the time."""

    def now(self) -> float:
        """Seconds since the epoch."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Returns when `seconds` of this clock have passed."""
        ...

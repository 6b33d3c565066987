"""Adjusting: spends nothing. Values are coerced, bounded, checked against AWS and the limits, then staged.

The staged document is what the next measurement runs, in this process or, after a restart, in another.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from servo_emr.domain.errors import Conflict, OperatorError, Reason, RunError
from servo_emr.domain.money import Estimate, Quote
from servo_emr.domain.ports import Clock, LaunchTarget, Preflight, PriceBook, Workspace
from servo_emr.domain.run import RunRecord
from servo_emr.domain.schemas import stamped
from servo_emr.domain.settings import Space, Value
from servo_emr.domain.spark import sized
from servo_emr.domain.spec import RunSpec
from servo_emr.domain.trial import with_userdata
from servo_emr.lifecycle.figures import expected_job, expected_provisioning
from servo_emr.lifecycle.guards import admit, possible
from servo_emr.lifecycle.past import read_past

__all__ = ["Appraisal", "Stage", "Staged"]

DOCUMENT = "staged"


@dataclass(frozen=True)
class Staged:
    """The values that the next measurement runs, by selector, and what had to be said about them."""

    values: Mapping[str, Value]
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Appraisal:
    """A spec before its launch: what AWS says of it, what it would cost, what is likely to go wrong."""

    preflight: Preflight
    quote: Quote
    estimate: Estimate
    warnings: tuple[str, ...]
    refusal: RunError | None

    def launchable(self, spec: RunSpec) -> RunSpec:
        """The spec in those of its subnets that will do, with Spark's executors sized where that is asked for: what a
        launch asks for, and what `plan` shows."""
        fitted = sized(spec, self.preflight.sizes) if self.refusal is None else spec
        return replace(fitted, cluster=replace(fitted.cluster, subnet_ids=self.preflight.subnet_ids))


class Stage:
    """Adjust's policy.

    Args:
        target, workspace, book, clock: the ports.
        space: the settings and their bounds.
        base: the spec that the settings are applied to.
    """

    def __init__(
        self, target: LaunchTarget, workspace: Workspace, book: PriceBook, clock: Clock, space: Space, base: RunSpec
    ) -> None:
        self._target = target
        self._workspace = workspace
        self._book = book
        self._clock = clock
        self._space = space
        self._base = base

    @property
    def region(self) -> str:
        """Where everything is asked and launched."""
        return self._base.region

    def spec(self, values: Mapping[str, Value], userdata: object = None) -> RunSpec:
        """What those values would run; every value is coerced and bounded once more.

        Args:
            userdata: what a trial asks for beyond its settings; references to settings in it are filled too.

        Raises:
            RunError: a value or the userdata is not allowed.
        """
        return self._space.apply(with_userdata(self._base, userdata), values)

    async def current(self) -> Staged:
        """The staged values as far as servo.yaml still allows them, else the configured ones.

        Raises:
            RunError: the workspace cannot be read.
        """
        document = await self._workspace.document(DOCUMENT)
        return self._legal({} if document is None else document.body.get("values", {}))

    def _legal(self, staged: object) -> Staged:
        if not isinstance(staged, dict):
            return Staged(self._space.configured, ("staged.json holds no values: the configured ones are used",))
        values, warnings = self._space.legal(staged)
        return Staged(values, tuple(warnings))

    async def appraise(self, spec: RunSpec, history: Sequence[RunRecord] | None = None) -> Appraisal:
        """Asks AWS and the price book about a spec; launches and writes nothing.

        Args:
            history: the runs before, newest first, for what is to be expected; None: they are read.
        """
        preflight = await self._target.preflight(spec)
        try:
            quote = await self._book.quote(spec)
        except RunError:
            possible(preflight)  # that it cannot run at all says more than that its price is not known
            raise
        past, unread = (history, ()) if history is not None else await self._history()
        expected = replace(spec, job=expected_job(spec, past))
        estimate = self._book.estimate(expected, quote, expected_provisioning(spec, past))
        try:
            warnings = admit(spec, preflight, estimate)
        except RunError as error:
            return Appraisal(preflight, quote, estimate, (), error)
        return Appraisal(preflight, quote, estimate, (*warnings, *quote.notes, *unread), None)

    async def _history(self) -> tuple[Sequence[RunRecord], tuple[str, ...]]:
        """The runs before, and what has to be said when they cannot be read: an estimate can do without."""
        try:
            return (await read_past(self._workspace, self._clock.now())).records, ()
        except RunError as error:
            return (), (f"the runs before cannot be read, emr.job.expected_duration is used: {error.message}",)

    async def adjust(
        self, adjustments: Iterable[tuple[str, object]], warn: Callable[[str], None] = lambda text: None
    ) -> Staged:
        """Makes the adjustments (selector, value) on the staged values; returns the values that will run.

        Raises:
            RunError: a value is not allowed, or the cluster certainly cannot run: nothing was staged.
        """
        wanted = list(adjustments)
        for _ in range(5):
            document = await self._workspace.document(DOCUMENT)
            before = self._legal({} if document is None else document.body.get("values", {}))
            values = self._space.changed(before.values, wanted)
            appraisal = await self.appraise(self.spec(values))
            if appraisal.refusal is not None:
                raise appraisal.refusal
            body = stamped(DOCUMENT, values=values, at=self._clock.now())
            try:
                await self._workspace.write(DOCUMENT, body, None if document is None else document.version)
            except Conflict as conflict:
                warn(f"{conflict}: the adjustment is made again on what is there now")
                continue
            return Staged(values, before.warnings + appraisal.warnings)
        raise OperatorError(
            f"{self._workspace.uri}/{DOCUMENT}.json keeps being changed by somebody else.",
            Reason.LEASE,
            remedy="Let only one servo drive a workspace.",
            public="another servo drives this workspace",
        )

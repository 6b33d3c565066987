"""The circuit breaker: after much money or many failures without a measurement, nothing is launched until told.

Its state is not stored but read off the records, so that it cannot disagree with them; the workspace's breaker.json
holds only when a person last said `resume`.
"""

from __future__ import annotations

from dataclasses import dataclass

from servo_emr.domain.errors import Conflict, OperatorError, Reason, Verdict
from servo_emr.domain.ports import Clock, Workspace
from servo_emr.domain.schemas import stamped
from servo_emr.lifecycle.guards import spent
from servo_emr.lifecycle.past import Past, read_past

__all__ = ["Standing", "closed", "open_because", "resume", "resumed_at", "standing"]

DOCUMENT = "breaker"
ENVIRONMENT_FAILURES = 5
"""So many environment failures in a row open the breaker."""


@dataclass(frozen=True)
class Standing:
    """What has happened since the last measurement that succeeded, or since a person said `resume`.

    runs without a measurement; environment failures in a row, the newest run backwards; USD spent on those runs.
    """

    runs: int = 0
    environment_failures: int = 0
    usd: float = 0.0

    def open_because(self, unproductive_spend: float | None) -> str | None:
        """Why the breaker is open, or None when it is closed."""
        if self.environment_failures >= ENVIRONMENT_FAILURES:
            return f"{self.environment_failures} runs in a row were ended by the environment"
        if unproductive_spend is not None and self.usd >= unproductive_spend:
            counted = "1 run" if self.runs == 1 else f"{self.runs} runs in a row"
            return (
                f"{counted} cost {self.usd:.4f} USD without a measurement, "
                f"emr.limits.unproductive_spend is {unproductive_spend:.4f}"
            )
        return None


def standing(past: Past, resumed_at: float) -> Standing:
    """Counts the newest records, as far back as the last success or the last `resume`."""
    runs, failures, usd, unbroken = 0, 0, 0.0, True
    for record in past.records:
        if record.verdict is Verdict.SUCCEEDED or record.created_at <= resumed_at:
            break
        if not record.decided or (record.verdict is not Verdict.ENVIRONMENT and not record.had_cluster):
            continue  # refused before a launch, by this breaker among others: neither a failure nor the end of a row
        runs += 1
        usd += spent(record)
        if record.verdict is Verdict.ABORTED:
            continue  # a servo that was stopped tells nothing of the environment
        unbroken = unbroken and record.verdict is Verdict.ENVIRONMENT
        failures += unbroken
    return Standing(runs, failures, usd)


async def resumed_at(workspace: Workspace) -> float:
    """When a person last said `resume`; 0 for never."""
    document = await workspace.document(DOCUMENT)
    at = document.body.get("resumed_at") if document is not None else None
    return float(at) if isinstance(at, (int, float)) else 0.0


async def open_because(workspace: Workspace, clock: Clock, unproductive_spend: float | None) -> str | None:
    """Why the breaker is open now, or None when it is closed."""
    past = await read_past(workspace, clock.now())
    return standing(past, await resumed_at(workspace)).open_because(unproductive_spend)


async def closed(workspace: Workspace, past: Past, unproductive_spend: float | None) -> None:
    """Returns when something may be launched.

    Raises:
        OperatorError: operator/breaker.
    """
    why = standing(past, await resumed_at(workspace)).open_because(unproductive_spend)
    if why is not None:
        raise OperatorError(
            f"The breaker is open: {why}.",
            Reason.BREAKER,
            remedy="Look at `servo-emr runs`, mend the cause, then say `servo-emr resume`.",
            public="the breaker is open",
        )


async def resume(workspace: Workspace, clock: Clock) -> Standing:
    """Closes the breaker; returns what is forgiven.

    Raises:
        Conflict: somebody else did so at the same moment.
    """
    for _ in range(3):
        now = clock.now()
        before = standing(await read_past(workspace, now), await resumed_at(workspace))
        document = await workspace.document(DOCUMENT)
        body = stamped(DOCUMENT, resumed_at=now)
        try:
            await workspace.write(DOCUMENT, body, None if document is None else document.version)
        except Conflict:
            continue  # another resume: what it forgave is counted anew
        return before
    raise Conflict(f"{workspace.uri}/{DOCUMENT}.json keeps being changed by somebody else")

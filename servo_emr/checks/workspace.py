"""What the workspace has to be: writable under conditions, driven by nobody else, with a closed breaker."""

from __future__ import annotations

import secrets

from servo_emr.checks.result import Checked, failed, not_asked, passed, refused, warned
from servo_emr.domain.account import Account
from servo_emr.domain.errors import Conflict, Reason, RunError
from servo_emr.domain.ports import Clock, LaunchTarget, Workspace
from servo_emr.domain.schemas import stamped
from servo_emr.domain.spec import RunSpec
from servo_emr.lifecycle import breaker
from servo_emr.lifecycle.guards import within_budget
from servo_emr.lifecycle.lease import Lease
from servo_emr.lifecycle.past import read_past

__all__ = ["clusters", "lease_free", "logs", "may_launch", "round_trip"]

DOCUMENT = "check"


async def round_trip(workspace: Workspace, clock: Clock) -> Checked:
    """Whether conditional writes do what every promise of the workspace rests on.

    Writes check.json and rewrites it: once over the version that was read, once over the version that this gave; then
    a write that expects no document, and one that expects the old version, must be refused.
    """
    name = "workspace"
    try:
        before = await workspace.document(DOCUMENT)
        version = await workspace.write(DOCUMENT, _body(clock), None if before is None else before.version)
        newer = await workspace.write(DOCUMENT, _body(clock), version)
        for expected in (None, version):
            try:
                await workspace.write(DOCUMENT, _body(clock), expected)
            except Conflict:
                continue
            return failed(
                name,
                Reason.BUCKET,
                f"{workspace.uri}: a write that had to be refused took effect: conditions are not kept",
                "Use a bucket of Amazon S3: conditional writes (If-Match, If-None-Match) are needed.",
            )
        after = await workspace.document(DOCUMENT)
    except Conflict:
        return passed(name, f"{workspace.uri}: another check wrote at the same moment, and this one was refused")
    except RunError as error:
        return refused(name, error)
    if after is None or after.version != newer:
        return passed(name, f"{workspace.uri}: another check wrote at the same moment")
    return passed(name, f"{workspace.uri} can be read and written under conditions (check.json)")


def _body(clock: Clock) -> dict[str, object]:
    # Never twice the same: two equal bodies would be one version.
    return stamped(DOCUMENT, checked_at=clock.now(), nonce=secrets.token_hex(4))


async def logs(account: Account, spec: RunSpec) -> Checked:
    """Whether EMR has somewhere to put its logs."""
    name, uri = "log URI", spec.cluster.log_uri
    if uri is None:
        return warned(name, "emr.cluster.log_uri is not set: a failed run leaves no logs", "Set it in servo.yaml.")
    try:
        await account.reachable(uri)
    except RunError as error:
        return refused(name, error) if error.reason is Reason.BUCKET else not_asked(name, error)
    return passed(name, f"the bucket of {uri} exists")


async def lease_free(lease: Lease) -> Checked:
    """Whether nobody drives the workspace."""
    name = "lease"
    try:
        driven = not lease.held and await lease.driven()
    except RunError as error:
        return not_asked(name, error)
    if driven:
        return failed(
            name,
            Reason.LEASE,
            "another process drives this workspace (lease.json says which)",
            "If that is the servo you are looking after, all is well. Otherwise stop it, or use another workspace.",
        )
    return passed(name, "nobody drives this workspace" if not lease.held else "this process drives the workspace")


async def may_launch(workspace: Workspace, clock: Clock, spec: RunSpec) -> list[Checked]:
    """Whether the breaker is closed and the day's budget is not used up."""
    try:
        past = await read_past(workspace, clock.now())
        resumed = await breaker.resumed_at(workspace)
    except RunError as error:
        return [not_asked("breaker", error), not_asked("budget", error)]
    why = breaker.standing(past, resumed).open_because(spec.limits.unproductive_spend)
    closed = (
        passed("breaker", "it is closed")
        if why is None
        else failed(
            "breaker",
            Reason.BREAKER,
            f"it is open: {why}",
            "Look at `servo-emr runs`, mend the cause, then say `servo-emr resume`.",
        )
    )
    try:
        within_budget(past.of_last_day(), spec)
    except RunError as error:
        return [closed, refused("budget", error)]
    limit = spec.limits.spend_per_day
    shown = "no emr.limits.spend_per_day is set" if limit is None else f"below {limit:.4f} USD in the last 24 hours"
    return [closed, passed("budget", shown)]


async def clusters(target: LaunchTarget, workspace: Workspace) -> Checked:
    """Whether clusters can be listed, and whether any of this workspace is alive."""
    name = "clusters"
    try:
        known = await workspace.document("workspace")
        workspace_id = "" if known is None else str(known.body.get("id", ""))
        alive = await target.find(workspace_id, alive_only=True)
    except RunError as error:
        return not_asked(name, error)
    if alive:
        shown = ", ".join(f"{found.handle.cluster_id} of run {found.handle.key.run_id}" for found in alive)
        return warned(name, f"alive: {shown}", "`servo-emr sweep` tells which of them should not be.")
    return passed(name, "none of this workspace is alive")

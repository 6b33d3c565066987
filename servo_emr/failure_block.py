"""What a person reads of a failure, everywhere the same: in log, record page and terminal. Pure: a record into text.

Verdict, reason, message, what to do; the failing cell and the ends of the logs; where everything is; dollars; what was
cleaned up. Knows nothing of who asked, and decides nothing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from servo_emr.domain.errors import Reason, RunError, Verdict
from servo_emr.domain.ports import Handle
from servo_emr.domain.run import RunRecord, RunState
from servo_emr.domain.spec import RunKey, of_repeat
from servo_emr.lifecycle.guards import spent
from servo_emr.lifecycle.release import command_by_hand
from servo_emr.remedies import next_step

__all__ = ["console_of", "failure_block", "failure_of", "launches", "visible"]

_ANSI = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TRACEBACK_LINES = 60
_TAIL_LINES = 20
_LINE = 400
"""Characters of a line of somebody else's that are shown; the whole is in the record or in the log."""


def visible(text: str) -> str:
    """Somebody else's text without what a terminal would obey: colours are left out, other control characters are
    written out. What was to overwrite its line, as the bar of a progress does, stands on one of its own.
    """
    plain = _ANSI.sub("", text.replace("\r\n", "\n").replace("\r", "\n"))
    return _CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", plain)


def failure_of(record: RunRecord) -> str | None:
    """The block of a run that is over; None for a success and for a run that is under way."""
    if record.verdict in (None, Verdict.SUCCEEDED):
        return None
    return _block(Reason(record.reason or Reason.BUG), record.message, record.remedy, record.details, record)


def failure_block(error: RunError, record: RunRecord | None = None) -> str:
    """The block of a failure; `record` is the run's, None when there was none."""
    details = error.details if record is None else {**record.details, **error.details}
    return _block(error.reason, error.message, error.remedy, details, record)


def console_of(record: RunRecord) -> str | None:
    """The page of a run's cluster in AWS's console; None without a cluster, and for one of an emulator."""
    region = str(record.spec.get("region", ""))
    if record.cluster_id is None or record.emulated:
        return None
    return f"https://{region}.console.aws.amazon.com/emr/home?region={region}#/clusterDetails/{record.cluster_id}"


def launches(record: RunRecord) -> list[str]:
    """The launches that were given up before the last one, a line each."""
    return [
        f"{one.number}: {one.cluster_id or 'refused'} in {one.subnet_id or 'a subnet of EMR'}, {one.reason}, "
        f"{one.usd:.4f} USD{'' if one.billed else ', no bill'}"
        for one in record.attempts
    ]


def _block(reason: Reason, message: str, remedy: str, details: Mapping[str, Any], record: RunRecord | None) -> str:
    lines = [f"{_verdict(reason)}: {reason}", *_fact("What happened", message or "no message was left")]
    lines += _fact("What to do", remedy or next_step(reason))
    if record is not None:
        lines += _fact("Run", record.run_id)
        lines += _fact("Launches", "\n".join(launches(record)))
        lines += _cause(record, reason)
    lines += _fact("AWS said", _aws(details))
    lines += _step(details)
    lines += _cell(details)
    if record is not None:
        lines += _places(record, details)
        lines += _fact("Dollars", _dollars(record, reason))
        lines += _fact("Cleaned up", _cleaned(record, reason))
    else:
        lines += _fact("Dollars", "none: nothing was launched")
    return visible("\n".join([*lines, *_tails(details)]))


def _verdict(reason: Reason) -> str:
    # "failed" is what the optimizer hears; a person wants to know who has to act.
    words = {
        Verdict.CONFIGURATION: "REJECTED, these settings cannot do it",
        Verdict.ENVIRONMENT: "FAILED, AWS or somebody else ended it",
        Verdict.JOB: "FAILED, the job is at fault",
        Verdict.OPERATOR: "FAILED, somebody has to set something right",
        Verdict.INTERNAL: "FAILED, a defect of servo_emr",
        Verdict.CENSORED: "STOPPED at the trial's own limit",
        Verdict.ABORTED: "STOPPED with the servo",
    }
    return words[reason.verdict]


def _fact(name: str, text: object) -> list[str]:
    """A name and its text, further lines below the first; nothing for no text."""
    if not text:
        return []
    first, *rest = str(text).splitlines()
    return [f"  {name:<16}{first}", *(f"  {'':<16}{line}" for line in rest)]


def _quoted(text: str, most: int) -> list[str]:
    """The last lines of somebody else's text, without what colours a terminal, set apart from ours."""
    lines = visible(text).strip("\n").split("\n")
    left_out = len(lines) - most
    note = [f"    | [{left_out} lines before these]"] if left_out > 0 else []
    shown = [line if len(line) <= _LINE else f"{line[:_LINE]} [...]" for line in lines[-most:]]
    return [*note, *(f"    | {line}".rstrip() for line in shown)]


def _cause(record: RunRecord, reason: Reason) -> list[str]:
    """EMR's own words, each once."""
    code = record.cause.get("code", "")
    told = [_pair(code, record.cause.get("message", ""))]
    if code == "USER_REQUEST" and reason is not Reason.INTERRUPTED:
        told[0] += " (that was this servo)"
    told += [
        _pair(error.get("ErrorCode", ""), error.get("ErrorMessage", "")) for error in record.cause.get("errors", ())
    ]
    for step in record.steps:
        words = [step.failure[key] for key in ("Reason", "Message", "LogFile") if step.failure.get(key)]
        told += [f"step {step.name} {step.state}: {' '.join(words)}"] if words else []
    return _fact("EMR said", "\n".join(dict.fromkeys(text for text in told if text)))


def _pair(code: object, message: object) -> str:
    return f"{code}: {message}".strip(": ")


def _aws(details: Mapping[str, Any]) -> str:
    said = details.get("aws") or {}
    status = f" (status {said['status']})" if said.get("status") else ""
    return f"{said['operation']}: {said['code']}: {said['message']}{status}" if said else ""


def _step(details: Mapping[str, Any]) -> list[str]:
    """Which step of which stage failed, where the job has several."""
    step = details.get("failed_step") or {}
    return _fact("Failed step", f"{step['stage']}: {step['name']} (step {step['number']})") if step else []


def _cell(details: Mapping[str, Any]) -> list[str]:
    """The failing cell, or our own traceback."""
    cell: Mapping[str, Any] = details.get("cell_error") or details
    lines = []
    if cell.get("ename"):
        where = "unknown" if cell.get("cell_index") is None else f"number {cell['cell_index']}"
        lines = _fact("Failing cell", f"{where}: {cell['ename']}: {cell.get('evalue', '')}".rstrip(": "))
    traceback = cell.get("traceback") or details.get("traceback")
    if not traceback:
        return lines
    text = traceback if isinstance(traceback, str) else "\n".join(map(str, traceback))
    return [*lines, *([] if lines else _fact("Traceback", "of servo_emr")), *_quoted(text, _TRACEBACK_LINES)]


def _places(record: RunRecord, details: Mapping[str, Any]) -> list[str]:
    """Cluster, console, logs and notebook: what there is of them."""
    if record.cluster_id is None:
        return []
    lines = _fact("Cluster", "\n".join(filter(None, (record.cluster_id, console_of(record)))))
    logs = record.urls.get("logs")
    lines += _fact("Logs", f"{logs.rstrip('/')}/{record.cluster_id}/" if logs else "none: no emr.cluster.log_uri")
    started = [step for step in record.steps if step.timeline.ready is not None]
    if started and "notebook" in record.urls:
        uri = of_repeat(record.urls["notebook"], int(details.get("repeat", 1)))
        absent = "result" in details and "cell_seconds" not in details
        lines += _fact("Notebook", f"{uri} (it is not there)" if absent else uri)
    return lines


def _unclear(record: RunRecord, reason: Reason) -> bool:
    """Whether a launch was tried, and nobody knows for certain that it made no cluster."""
    return (
        record.cluster_id is None and record.launched_at is not None and reason in (Reason.ENDPOINT, Reason.THROTTLED)
    )


def _dollars(record: RunRecord, reason: Reason) -> str:
    if _unclear(record, reason) and record.attempts:
        return f"{spent(record):.4f} USD for the launches above; no cluster of the last one was found"
    if _unclear(record, reason):
        return "none that is known of: no cluster of this run was found"
    if not record.had_cluster:
        return "none: nothing was launched"
    if record.cluster_id is None:
        return f"{spent(record):.4f} USD for the launches above"
    if not record.cost:
        return f"{spent(record):.4f} USD, a running total: there is no bill"
    parts = {"EC2": "ec2_usd", "EMR fee": "fee_usd", "EBS": "ebs_usd"}
    split = ", ".join(f"{name} {record.cost[key]:.4f}" for name, key in parts.items() if key in record.cost)
    before = f", the launches above {record.earlier_usd:.4f}" if record.attempts else ""
    return f"{spent(record):.4f} USD billed ({split}{before})"


def _cleaned(record: RunRecord, reason: Reason) -> str:
    if _unclear(record, reason):
        which = "the last launch" if record.attempts else "this run"
        return f"no cluster of {which} was found; `servo-emr sweep` looks once more"
    if record.cluster_id is None:
        return "every cluster is seen ended" if record.dead else "nothing to clean up: no cluster was made"
    key = RunKey("", record.workspace_id, record.run_id)
    by_hand = command_by_hand(Handle(record.cluster_id, key), str(record.spec.get("region", "")))
    if record.unreleased:
        return f"NOT VERIFIED: the cluster may be alive and cost money. End it by hand:\n{by_hand}"
    if record.state is RunState.VERIFIED:
        rows = record.details.get("instances") or ()
        instances = f", with all its instances ({len(rows)})" if rows else ""
        return f"{record.cluster_id} is seen ended{instances}; nothing of it is left running"
    if record.state is RunState.ENDING:
        return f"{record.cluster_id} is seen ending; the servo's next start verifies its end, or `servo-emr sweep`"
    return f"the cluster's end is not on record ({record.state}); `servo-emr sweep` tells whether it is alive"


def _tails(details: Mapping[str, Any]) -> list[str]:
    lines: list[str] = []
    for log in details.get("logs") or ():
        if log.get("text") is None:
            lines += _fact(str(log["name"]), f"not there (yet): {log['uri']}")
        elif log["text"].strip():
            lines += [*_fact(str(log["name"]), f"the end of {log['uri']}"), *_quoted(log["text"], _TAIL_LINES)]
        else:
            lines += _fact(str(log["name"]), f"empty: {log['uri']}")
    if str(details.get("output", "")).strip():
        lines += [*_fact("Printed", "by the job, the end"), *_quoted(str(details["output"]), _TAIL_LINES)]
    return lines

"""The logs of bootstrap actions and steps: where in S3 they are, and what EMR's part of them, the controller log, says.

Real EMR writes its own words there; only the lines about a step's end are known to us, and these are written alike.
Who runs a step is not known here.
"""

from __future__ import annotations

import gzip
import shlex
import sys
from collections.abc import Mapping
from datetime import UTC, datetime

from servo_emr.emulator.storage.s3 import Objects
from servo_emr.emulator.world.records import Cluster, Instance, Step

__all__ = ["KEPT", "Logs", "step_began", "step_ended"]

# What is kept of one output, in bytes before compression: its end.
KEPT = 16 * 1024 * 1024

# On a cluster this is what Hadoop's MapReduce says of a step; nothing here runs on that.
_SYSLOG = {"syslog": b""}


class Logs:
    """Puts log objects below a cluster's log URI. Without one, nothing is put."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects

    def error_log(self, cluster: Cluster, step: Step) -> str | None:
        """The URI of a step's standard error; None without a log URI."""
        if cluster.launch.log_uri is None:
            return None
        return f"{cluster.launch.log_uri.rstrip('/')}/{cluster.id}/steps/{step.id}/stderr.gz"

    def put_step(self, cluster: Cluster, step: Step, files: Mapping[str, bytes], keep: float) -> None:
        """`files` by name, a syslog added; of each object only the share `keep` of its bytes, 0: it is not put."""
        self._put(cluster, f"steps/{step.id}", {**files, **_SYSLOG}, keep)

    def put_bootstrap(
        self, cluster: Cluster, index: int, instance: Instance, files: Mapping[str, bytes], keep: float
    ) -> None:
        """The same for a bootstrap action on an instance."""
        self._put(cluster, f"node/{instance.ec2_id}/bootstrap-actions/{index + 1}", files, keep)

    def _put(self, cluster: Cluster, place: str, files: Mapping[str, bytes], keep: float) -> None:
        uri = cluster.launch.log_uri
        if uri is None or keep <= 0:
            return
        bucket, _, prefix = uri.partition("://")[2].partition("/")
        for name, text in files.items():
            key = "/".join(part for part in (prefix.strip("/"), cluster.id, place, f"{name}.gz") if part)
            body = gzip.compress(text, compresslevel=1, mtime=0)
            if not self._objects.put(bucket, key, body[: int(len(body) * keep)] if keep < 1 else body):
                print(f"no logs for {cluster.id}: there is no bucket {bucket!r}", file=sys.stderr, flush=True)
                return


def step_began(cluster: Cluster, step: Step) -> str:
    """The beginning of a step's controller log."""
    when = _stamp(step.timeline.began)
    return (
        f"{when} INFO Emulated step {step.ordinal + 1} of cluster {cluster.id}: {step.id}\n"
        f"{when} INFO startExec '{shlex.join((step.request.jar, *step.request.args))}'\n"
    )


def step_ended(step: Step, outcome: str, exit_status: int | None) -> str:
    """The end of a step's controller log; `outcome` says how its process ended."""
    when = _stamp(step.timeline.ended)
    began, ended = step.timeline.began, step.timeline.ended
    took = f"took {round(ended - began)} seconds" if began is not None and ended is not None else "did not end"
    lines = [f"{when} INFO Process of the step: {outcome}"]
    if step.state == "COMPLETED":
        lines.append(f"{when} INFO Step succeeded with exitCode 0 and {took}")
    elif step.state == "FAILED":
        if step.failure is not None:
            lines.append(f"{when} WARN {step.failure.message}")
        lines.append(f"{when} WARN Step failed with exitCode {exit_status or -1} and {took}")
    else:
        lines.append(f"{when} WARN Step is {step.state} and {took}")
    return "".join(f"{line}\n" for line in lines)


def _stamp(moment: float | None) -> str:
    """A point on W as EMR writes it."""
    if moment is None:
        return "-"
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")

"""EMR on EC2 behind `LaunchTarget`: its requests and its answers.

One transient cluster per run: all steps inside RunJobFlow, no idle policy (a notebook that uses no YARN application
would count as idle), no managed scaling (it would change the cluster under the measurement). What the nodes of a
cluster really were is read back from their rows: those of fleets may be of other types and markets than asked for.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from servo_emr.aws.door import Door, Refusal, understood
from servo_emr.aws.ec2_model import (
    ALIVE,
    CLUSTER_STATES,
    end_reason,
    failed_bootstrap,
    instance_row,
    refusal_reason,
    step_look,
    times,
)
from servo_emr.aws.ec2_preflight import Ec2Preflight
from servo_emr.aws.ec2_request import WORKSPACE_TAG, run_job_flow
from servo_emr.aws.gzipped import DAMAGED, pieces
from servo_emr.aws.uri import split_uri
from servo_emr.domain.cluster import RootVolume
from servo_emr.domain.errors import ConfigurationError, LaunchUnclear, OperatorError, Reason, RunError, failure
from servo_emr.domain.ports import Clock, Found, Handle, LogTail, Preflight
from servo_emr.domain.run import Observation, RunState, StepLook, Usage
from servo_emr.domain.spec import RunKey, RunSpec
from servo_emr.domain.volumes import root_volume

__all__ = ["Ec2Target"]

_INVALID = ("ValidationException", "InvalidRequestException")
_INTERNAL = ("InternalServerException", "InternalServerError")
_NO_SUCH_CLUSTER = ("does not exist", "is not valid")
_DAY_S = 86_400.0
"""Far more than what our clock and EMR's can differ by."""
_LOG_TAIL = 16_384
_LOG_LIMIT = 8 * 1024 * 1024
_UNPACKED = 1024 * 1024 * 1024
"""Bytes that a log is unpacked to at most: what repeats itself packs a thousand to one."""


class Ec2Target:
    """EMR on EC2.

    Args:
        door: to EMR, EC2 and S3 of one region.
        region: that region.
        clock: for the age of what is remembered of the region's offers.
    """

    def __init__(self, door: Door, region: str, clock: Clock) -> None:
        self._door = door
        self._region = region
        self._preflight = Ec2Preflight(door, clock)
        self._unprotected: set[str] = set()

    def request(self, spec: RunSpec, key: RunKey, attempt: int = 1) -> dict[str, Any]:
        return run_job_flow(spec, key, attempt)

    async def preflight(self, spec: RunSpec) -> Preflight:
        return await self._preflight.check(spec)

    async def submit(self, spec: RunSpec, key: RunKey, attempt: int = 1) -> Handle:
        try:
            expected = (*_INVALID, *_INTERNAL)
            request = self.request(spec, key, attempt)
            answer = await self._door.call_once("emr", "RunJobFlow", expected=expected, **request)
        except Refusal as refusal:
            if refusal.code in _INTERNAL:
                # EMR failed over it, whatever the HTTP status: nobody knows how far it came.
                raise LaunchUnclear(f"emr:RunJobFlow: {refusal}") from refusal
            raise _refused(refusal) from refusal
        if not answer.get("JobFlowId"):
            raise LaunchUnclear("emr:RunJobFlow: the answer names no cluster")
        return Handle(str(answer["JobFlowId"]), key)

    async def find(self, workspace_id: str, alive_only: bool = False, since: float | None = None) -> list[Found]:
        found = []
        which: dict[str, Any] = {"ClusterStates": list(ALIVE)} if alive_only else {}
        if since is not None:
            which["CreatedAfter"] = datetime.fromtimestamp(since - _DAY_S, UTC)
        async for summary in self._door.pages("emr", "ListClusters", "Clusters", **which):
            with understood("emr:ListClusters"):
                key = RunKey.parse(summary.get("Name", ""), "", workspace_id)
                if key is not None:
                    status = summary["Status"]
                    created = times(status.get("Timeline", {}), "ReadyDateTime").created
                    # A state that we do not know is no proof of an end.
                    alive = CLUSTER_STATES.get(status["State"]) is not RunState.VERIFIED
                    found.append(Found(Handle(summary["Id"], key), alive, created))
        return sorted(found, key=lambda cluster: cluster.created or 0.0)

    async def confirmed(self, handle: Handle) -> bool:
        answer = await self._door.call("emr", "DescribeCluster", ClusterId=handle.cluster_id)
        with understood("emr:DescribeCluster"):
            cluster = answer["Cluster"]
            tags = {tag["Key"]: tag.get("Value") for tag in cluster.get("Tags", ())}
            return bool(cluster["Id"] == handle.cluster_id and tags.get(WORKSPACE_TAG) == handle.key.workspace_id)

    async def observe(self, handle: Handle, last: Observation | None = None, steps: bool = True) -> Observation:
        if not steps:
            return await self._cluster(handle, last or Observation(RunState.PROVISIONING))
        if last is not None and last.state is RunState.RUNNING and not last.steps_ended:
            look = replace(last, steps=await self._steps(handle))
            return look if not look.steps_ended else await self._cluster(handle, look)
        look = await self._cluster(handle, last or Observation(RunState.PROVISIONING))
        if look.state.order >= RunState.RUNNING.order and not look.steps_ended:
            look = replace(look, steps=await self._steps(handle))
        return look

    async def _cluster(self, handle: Handle, last: Observation) -> Observation:
        answer = await self._door.look("emr", "DescribeCluster", ClusterId=handle.cluster_id)
        with understood("emr:DescribeCluster"):
            cluster = answer["Cluster"]
            status = cluster["Status"]
            change = status.get("StateChangeReason", {})
            code, message = str(change.get("Code", "")), str(change.get("Message", ""))
            errors = tuple(dict(error) for error in status.get("ErrorDetails", ()))
            return Observation(
                state=CLUSTER_STATES[status["State"]],
                timeline=times(status.get("Timeline", {}), "ReadyDateTime"),
                steps=last.steps,
                cause_code=code,
                cause_message=message,
                errors=errors,
                end_reason=end_reason(code, message, errors) if status["State"] not in ("RUNNING", "WAITING") else None,
            )

    async def _steps(self, handle: Handle) -> tuple[StepLook, ...]:
        """All steps, oldest first (the service lists the newest first)."""
        with understood("emr:ListSteps"):
            pages = self._door.pages("emr", "ListSteps", "Steps", by=self._door.look, ClusterId=handle.cluster_id)
            return tuple(reversed([step_look(step) async for step in pages]))

    async def usage(self, handle: Handle) -> Usage:
        with understood("emr:ListInstances"):
            cluster = (await self._door.call("emr", "DescribeCluster", ClusterId=handle.cluster_id))["Cluster"]
            fleets = cluster.get("InstanceCollectionType") == "INSTANCE_FLEET"
            groups = (
                self._door.pages("emr", "ListInstanceFleets", "InstanceFleets", ClusterId=handle.cluster_id)
                if fleets
                else self._door.pages("emr", "ListInstanceGroups", "InstanceGroups", ClusterId=handle.cluster_id)
            )
            known = {group["Id"]: group async for group in groups}
            pages = self._door.pages("emr", "ListInstances", "Instances", ClusterId=handle.cluster_id)
            rows = tuple([instance_row(row, known) async for row in pages])
            asked = (cluster.get(f"EbsRootVolume{what}") for what in ("Size", "Iops", "Throughput"))
            root = root_volume(cluster["ReleaseLabel"], RootVolume(*asked))
            zone = cluster.get("Ec2InstanceAttributes", {}).get("Ec2AvailabilityZone")
        return Usage(self._region, rows, root, zone)

    async def logs(self, handle: Handle, spec: RunSpec, look: Observation) -> list[LogTail]:
        folder = f"{(spec.cluster.log_uri or '').rstrip('/')}/{handle.cluster_id}"
        names: tuple[str, ...]
        failed = look.step_failed
        if not spec.cluster.log_uri:
            return []
        if failed is not None and failed.timeline.ready is not None:
            names, folder = ("stderr", "stdout", "controller"), f"{folder}/steps/{failed.step_id}"
        elif (action := failed_bootstrap(look.errors)) is not None:
            names, folder = ("stderr", "stdout"), f"{folder}/node/{action[0]}/bootstrap-actions/{action[1]}"
        else:
            return []
        return [await self._tail(name, f"{folder}/{name}.gz") for name in names]

    async def _tail(self, name: str, uri: str) -> LogTail:
        bucket, key = split_uri(uri)
        try:
            answer = await self._door.call(
                "s3",
                "GetObject",
                expected=("NoSuchKey", "404", "InvalidRange"),
                Bucket=bucket,
                Key=key,
                Range=f"bytes=0-{_LOG_LIMIT}",
            )
            with understood("s3:GetObject"):
                body: bytes = answer["Body"]
        except Refusal:
            return LogTail(name, uri, None)
        except RunError as error:
            return LogTail(name, uri, f"[the log could not be read: {error.message}]")
        text = await asyncio.to_thread(gunzip_tail, body[:_LOG_LIMIT], _LOG_TAIL)
        if len(body) > _LOG_LIMIT:  # a gzip body has no middle to begin in: its end is out of reach
            text += f"\n[only the first {_LOG_LIMIT >> 20} MiB of the log were read]"
        return LogTail(name, uri, text)

    async def release(self, handle: Handle) -> bool:
        try:
            await self._door.call("emr", "TerminateJobFlows", expected=_INVALID, JobFlowIds=[handle.cluster_id])
        except Refusal as refusal:
            unknown = any(phrase in refusal.message for phrase in _NO_SUCH_CLUSTER)
            if unknown or refusal.code == "InvalidRequestException":
                return False  # nothing to end
            # Protected: by somebody who has since been forgotten, or has not; the cluster carries our key.
            ids = [handle.cluster_id]
            await self._door.call("emr", "SetTerminationProtection", JobFlowIds=ids, TerminationProtected=False)
            self._unprotected.add(handle.cluster_id)
            # Refused again it is an error like any other: the caller asks again.
            await self._door.call("emr", "TerminateJobFlows", JobFlowIds=ids)
        return handle.cluster_id in self._unprotected


def gunzip_tail(body: bytes, size: int) -> str:
    """The last `size` bytes of a gzip body as text, all its members; a cut or damaged body gives what can be
    read of it and a remark, and one of more than a gibibyte the end of the first."""
    tail, unpacked = b"", 0
    try:
        for piece in pieces(body):
            tail, unpacked = (tail + piece)[-size:], unpacked + len(piece)
            if unpacked >= _UNPACKED:
                return f"{tail.decode(errors='replace')}\n[only the first {_UNPACKED >> 20} MiB were unpacked]"
    except EOFError:
        return f"{tail.decode(errors='replace')}\n[the log is cut off]"
    except DAMAGED as error:
        return f"{tail.decode(errors='replace')}\n[the log is damaged: {error}]"
    return tail.decode(errors="replace")


def _refused(refusal: Refusal) -> RunError:
    """What a refusal of RunJobFlow at once means."""
    text = f"EMR refused the cluster: {refusal.message}"
    reason = refusal_reason(refusal.message) or Reason.BUG
    details = {"aws": {"operation": "emr:RunJobFlow", "code": refusal.code, "message": refusal.message}}
    if reason is Reason.TYPE_UNSUPPORTED:
        return ConfigurationError(text, reason, public="EMR does not support the instance type", details=details)
    if reason.verdict is OperatorError.verdict:
        remedy = "Correct emr.cluster in servo.yaml, or make what it names."
        return OperatorError(text, reason, remedy=remedy, public="EMR refused the cluster", details=details)
    return failure(reason, text, public="EMR refused the cluster", details=details)

"""EMR's operations on the world: one function each, from a checked request document to an answer document.

The list of what the emulator can do is `OPERATIONS`. Runs under the driver's lock; knows no HTTP.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.utils import parse_to_aware_datetime

from servo_emr.emulator import answers
from servo_emr.emulator.errors import invalid_request, no_such_cluster, validation
from servo_emr.emulator.launch import STEP_LIMIT, check_idle_timeout, parse_launch, parse_steps, parse_tags
from servo_emr.emulator.pages import page
from servo_emr.emulator.records import Cluster, Step
from servo_emr.emulator.region import Regions
from servo_emr.emulator.world import World

__all__ = ["OPERATIONS", "Call"]

_TERMINATE_LIMIT = 10
_STEP_IDS_LIMIT = 10
# How many types AWS puts on a page is not documented; 659 types make two pages.
_TYPES_PAGE = 500
_SHUTTING_DOWN = "A job flow that is shutting down, terminated, or finished may not be modified."
_NO_JOB_FLOW = "Specified job flow ID does not exist."

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call: who is asked, where, and what; `hidden` clusters are not seen by it, though they are there."""

    world: World
    regions: Regions
    region: str
    document: Document
    hidden: Callable[[Cluster], bool]

    def sees(self, cluster: Cluster) -> bool:
        return cluster.launch.region == self.region and not self.hidden(cluster)

    def cluster(self, cluster_id: str) -> Cluster:
        """A cluster of this call's region. Raises AwsError."""
        cluster = self.world.cluster(cluster_id)
        if cluster is None or not self.sees(cluster):
            raise no_such_cluster(cluster_id)
        return cluster

    def job_flow(self, cluster_id: str) -> Cluster:
        """As `cluster`, for the operations of the older half of the API, whose error is another."""
        cluster = self.world.cluster(cluster_id)
        if cluster is None or not self.sees(cluster):
            raise validation(_NO_JOB_FLOW)
        return cluster


def run_job_flow(call: Call) -> Document:
    cluster = call.world.launch(parse_launch(call.document, call.region, call.regions))
    return {"JobFlowId": cluster.id, "ClusterArn": answers.arn_of(cluster)}


def describe_cluster(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    return {"Cluster": answers.describe_cluster(cluster, call.world.now)}


def list_clusters(call: Call) -> Document:
    after, before = _moment(call.document, "CreatedAfter"), _moment(call.document, "CreatedBefore")
    states = call.document.get("ClusterStates")
    clusters = list(reversed(call.world.clusters))
    chosen, marker = page(
        clusters,
        call.document.get("Marker"),
        lambda cluster: cluster.id,
        keep=lambda cluster: (
            call.sees(cluster)
            and (after is None or cluster.timeline.created >= after)
            and (before is None or cluster.timeline.created <= before)
            and (not states or cluster.state in states)
        ),
    )
    return {
        "Clusters": [answers.summarise_cluster(cluster, call.world.now) for cluster in chosen],
        "Marker": marker,
    }


def terminate_job_flows(call: Call) -> Document:
    ids = call.document["JobFlowIds"]
    if len(ids) > _TERMINATE_LIMIT:
        raise validation(f"At most {_TERMINATE_LIMIT} job flows can be terminated in one call, not {len(ids)}.")
    clusters = [call.job_flow(cluster_id) for cluster_id in ids]
    if any(cluster.protected and cluster.alive for cluster in clusters):
        raise validation("Could not shut down one or more job flows since they are termination protected.")
    for cluster in clusters:
        call.world.terminate(cluster)
    return {}


def set_termination_protection(call: Call) -> Document:
    clusters = [_modifiable(call.job_flow(cluster_id)) for cluster_id in call.document["JobFlowIds"]]
    for cluster in clusters:
        cluster.protected = call.document["TerminationProtected"]
    return {}


def put_auto_termination_policy(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    seconds = check_idle_timeout(call.document.get("AutoTerminationPolicy", {}))
    if not cluster.alive:
        raise invalid_request(f"Cluster {cluster.id} is not active.")
    call.world.set_idle_timeout(cluster, seconds)
    return {}


def add_tags(call: Call) -> Document:
    cluster = _taggable(call)
    cluster.tags.update(parse_tags([*_tag_documents(cluster), *call.document["Tags"]]))
    return {}


def remove_tags(call: Call) -> Document:
    cluster = _taggable(call)
    for key in call.document["TagKeys"]:
        cluster.tags.pop(key, None)
    return {}


def add_job_flow_steps(call: Call) -> Document:
    if "ExecutionRoleArn" in call.document:
        raise validation("This emulator does not model AddJobFlowSteps: ExecutionRoleArn. Leave it out, or run on AWS.")
    cluster = _modifiable(call.job_flow(call.document["JobFlowId"]))
    requests = parse_steps(call.document["Steps"])
    active = sum(1 for step in cluster.steps if not step.over)
    if len(requests) + active > STEP_LIMIT:
        raise validation("Maximum number of active steps (PENDING, RUNNING or CANCEL_PENDING) for cluster exceeded.")
    return {"StepIds": [step.id for step in call.world.add_steps(cluster, requests)]}


def list_steps(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    states, ids = call.document.get("StepStates"), call.document.get("StepIds")
    if ids and states:
        raise invalid_request("Cannot specify both StepIds and StepStates.")
    if ids and len(ids) > _STEP_IDS_LIMIT:
        raise invalid_request(f"At most {_STEP_IDS_LIMIT} step ids, not {len(ids)}.")
    if ids:
        for step_id in ids:
            _step_of(cluster, step_id)
    chosen, marker = page(
        list(reversed(cluster.steps)),
        call.document.get("Marker"),
        lambda step: step.id,
        keep=lambda step: (not states or step.state in states) and (not ids or step.id in ids),
    )
    return {"Steps": [answers.describe_step(step) for step in chosen], "Marker": marker}


def describe_step(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    return {"Step": answers.describe_step(_step_of(cluster, call.document["StepId"]))}


def cancel_steps(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    infos = []
    for step_id in call.document["StepIds"]:
        step = cluster.step(step_id)
        if step is None:
            info = {"Status": "FAILED", "Reason": f"Step {step_id} does not exist."}
        elif step.state not in {"PENDING", "RUNNING"}:
            info = {"Status": "FAILED", "Reason": f"Step is {step.state}, not PENDING or RUNNING."}
        elif step.state == "RUNNING" and _version(cluster.launch.release_label) < (5, 28):
            info = {"Status": "FAILED", "Reason": "Running steps are cancelled from release emr-5.28.0 on."}
        else:
            call.world.cancel_step(cluster, step)
            info = {"Status": "SUBMITTED", "Reason": ""}
        infos.append({"StepId": step_id, **info})
    return {"CancelStepsInfoList": infos}


def list_instances(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    if "InstanceFleetId" in call.document or "InstanceFleetType" in call.document:
        raise invalid_request("Instance fleets and instance groups are mutually exclusive: this cluster has groups.")
    roles, states = call.document.get("InstanceGroupTypes"), call.document.get("InstanceStates")
    group = call.document.get("InstanceGroupId")
    if group is not None and group not in {known.id for known in cluster.groups}:
        raise invalid_request(f"Instance group id '{group}' is not valid.")
    chosen, marker = page(
        cluster.instances,
        call.document.get("Marker"),
        lambda instance: instance.id,
        keep=lambda instance: (
            (not roles or instance.role in roles)
            and (not states or instance.state in states)
            and (group is None or instance.collection_id == group)
        ),
    )
    region = cluster.launch.region
    return {"Instances": [answers.describe_instance(instance, region) for instance in chosen], "Marker": marker}


def list_instance_groups(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    chosen, marker = page(cluster.groups, call.document.get("Marker"), lambda group: group.id)
    return {
        "InstanceGroups": [answers.describe_group(group, cluster.instances) for group in chosen],
        "Marker": marker,
    }


def list_bootstrap_actions(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    # An action has no id and a cluster at most 16 of them: one page holds all, and there is no marker to be given back.
    if "Marker" in call.document:
        raise invalid_request(f"Marker '{call.document['Marker']}' is not valid.")
    actions = cluster.launch.bootstraps
    return {
        "BootstrapActions": [
            {"Name": action.name, "ScriptPath": action.path, "Args": list(action.args)} for action in actions
        ]
    }


def list_supported_instance_types(call: Call) -> Document:
    release = call.document["ReleaseLabel"]
    if release not in call.regions.releases(call.region):
        raise invalid_request(f"The supplied release label is invalid: {release}.")
    types = call.regions.types(call.region, release)
    chosen, marker = page(types, call.document.get("Marker"), lambda entry: str(entry["Type"]), size=_TYPES_PAGE)
    return {"SupportedInstanceTypes": list(chosen), "Marker": marker}


def list_release_labels(call: Call) -> Document:
    filters = call.document.get("Filters", {})
    if "Application" in filters:
        raise invalid_request("This emulator does not model ListReleaseLabels: Filters.Application.")
    found = [name for name in call.regions.releases(call.region) if name.startswith(filters.get("Prefix", ""))]
    size = call.document.get("MaxResults", 100)
    chosen, marker = page(found, call.document.get("NextToken"), str, size=size)
    return {"ReleaseLabels": list(chosen), "NextToken": marker}


OPERATIONS: Mapping[str, Callable[[Call], Document]] = {
    "AddJobFlowSteps": add_job_flow_steps,
    "AddTags": add_tags,
    "CancelSteps": cancel_steps,
    "DescribeCluster": describe_cluster,
    "DescribeStep": describe_step,
    "ListBootstrapActions": list_bootstrap_actions,
    "ListClusters": list_clusters,
    "ListInstanceGroups": list_instance_groups,
    "ListInstances": list_instances,
    "ListReleaseLabels": list_release_labels,
    "ListSteps": list_steps,
    "ListSupportedInstanceTypes": list_supported_instance_types,
    "PutAutoTerminationPolicy": put_auto_termination_policy,
    "RemoveTags": remove_tags,
    "RunJobFlow": run_job_flow,
    "SetTerminationProtection": set_termination_protection,
    "TerminateJobFlows": terminate_job_flows,
}


def _modifiable(cluster: Cluster) -> Cluster:
    if not cluster.alive:
        raise validation(_SHUTTING_DOWN)
    return cluster


def _taggable(call: Call) -> Cluster:
    if "ClusterId" in call.document:
        raise validation("This emulator does not model tags of resources other than clusters: leave ClusterId out.")
    cluster = call.cluster(call.document["ResourceId"])
    if not cluster.alive:
        raise invalid_request("Tags cannot be modified on terminated clusters.")
    return cluster


def _tag_documents(cluster: Cluster) -> list[Document]:
    return [{"Key": key, "Value": value} for key, value in cluster.tags.items()]


def _step_of(cluster: Cluster, step_id: str) -> Step:
    step = cluster.step(step_id)
    if step is None:
        raise invalid_request(f"Step id '{step_id}' is not valid.")
    return step


def _moment(document: Document, member: str) -> float | None:
    """A timestamp as epoch seconds, whichever form the client chose."""
    value = document.get(member)
    return None if value is None else parse_to_aware_datetime(value).timestamp()


def _version(release: str) -> tuple[int, ...]:
    """emr-5.28.0 -> (5, 28, 0); of a label without plain numbers, what can be read."""
    parts = release.removeprefix("emr-").removeprefix("spark-").split("-")[0].split(".")
    return tuple(int(part) for part in parts if part.isdigit())

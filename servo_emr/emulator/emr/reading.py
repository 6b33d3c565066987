"""EMR's operations that change nothing: one function each, from a checked request to an answer document."""

from __future__ import annotations

from botocore.utils import parse_to_aware_datetime

from servo_emr.emulator.emr import answers, node_answers
from servo_emr.emulator.emr.pages import page
from servo_emr.emulator.emr.request import Call, Document
from servo_emr.emulator.protocol.errors import AwsError, invalid_request
from servo_emr.emulator.world.records import Cluster, Step

__all__ = [
    "describe_cluster",
    "describe_release_label",
    "describe_step",
    "get_auto_termination_policy",
    "list_bootstrap_actions",
    "list_clusters",
    "list_instance_fleets",
    "list_instance_groups",
    "list_instances",
    "list_release_labels",
    "list_steps",
    "list_supported_instance_types",
]

_STEP_IDS_LIMIT = 10
# How many types AWS puts on a page is not documented; 659 types make two pages.
_TYPES_PAGE = 500
_INSTANCES_LIMIT = 2000
_ENDED_INSTANCES_LISTED = 30 * 86_400.0  # seconds


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


def get_auto_termination_policy(call: Call) -> Document:
    seconds = call.cluster(call.document["ClusterId"]).idle_timeout
    return {"AutoTerminationPolicy": None if seconds is None else {"IdleTimeout": seconds}}


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


def list_instances(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    states = call.document.get("InstanceStates")
    roles, collection = _wanted_instances(call, cluster)
    since = call.world.now - _ENDED_INSTANCES_LISTED
    chosen, marker = page(
        cluster.instances[-_INSTANCES_LIMIT:],
        call.document.get("Marker"),
        lambda instance: instance.id,
        keep=lambda instance: (
            (not roles or instance.role in roles)
            and (not states or instance.state in states)
            and (collection is None or instance.collection_id == collection)
            and (instance.timeline.ended is None or instance.timeline.ended >= since)
        ),
    )
    return {"Instances": [node_answers.describe_instance(instance, cluster) for instance in chosen], "Marker": marker}


def list_instance_groups(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    if cluster.fleets:
        raise _other_collections("fleets", "groups", "ListInstanceGroups", "ListInstanceFleets")
    chosen, marker = page(cluster.groups, call.document.get("Marker"), lambda group: group.id)
    groups = [node_answers.describe_group(group, cluster.instances) for group in chosen]
    return {"InstanceGroups": groups, "Marker": marker}


def list_instance_fleets(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    if not cluster.fleets:
        raise _other_collections("groups", "fleets", "ListInstanceFleets", "ListInstanceGroups")
    chosen, marker = page(cluster.fleets, call.document.get("Marker"), lambda fleet: fleet.id)
    return {"InstanceFleets": [node_answers.describe_fleet(fleet) for fleet in chosen], "Marker": marker}


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
    types = call.regions.types(call.region, _release(call, call.document["ReleaseLabel"]))
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


def describe_release_label(call: Call) -> Document:
    # Which versions of which applications AWS put into a release is not in any list that the emulator has.
    label = call.document.get("ReleaseLabel")
    return {"ReleaseLabel": _release(call, label if label is not None else call.regions.releases(call.region)[0])}


def _wanted_instances(call: Call, cluster: Cluster) -> tuple[list[str] | None, str | None]:
    """(roles, id of the group or fleet) of a ListInstances."""
    document = call.document
    by_fleet = [name for name in ("InstanceFleetId", "InstanceFleetType") if name in document]
    by_group = [name for name in ("InstanceGroupId", "InstanceGroupTypes") if name in document]
    if (by_fleet and not cluster.fleets) or (by_group and cluster.fleets):
        raise invalid_request(
            "Instance fleets and instance groups are mutually exclusive. The EMR cluster specified in the request uses "
            f"instance {'fleets' if cluster.fleets else 'groups'}: {' and '.join(by_fleet + by_group)} cannot be used."
        )
    fleet, group = document.get("InstanceFleetId"), document.get("InstanceGroupId")
    if fleet is not None and fleet not in {known.id for known in cluster.fleets}:
        raise invalid_request(f"Instance fleet id '{fleet}' is not valid.")
    if group is not None and group not in {known.id for known in cluster.groups}:
        raise invalid_request(f"Instance group id '{group}' is not valid.")
    role = document.get("InstanceFleetType")
    return document.get("InstanceGroupTypes") if role is None else [role], fleet or group


def _other_collections(has: str, lacks: str, asked: str, other: str) -> AwsError:
    return invalid_request(
        f"Instance {has} and instance {lacks} are mutually exclusive. The EMR cluster specified in the request uses "
        f"instance {has}. The {asked} operation does not support clusters that use instance {has}. Use the {other} "
        "operation instead.",
        detail=f"API_DOES_NOT_SUPPORT_INSTANCE_{has.upper().removesuffix('S')}_CLUSTERS",
    )


def _release(call: Call, label: str) -> str:
    if label not in call.regions.releases(call.region):
        raise invalid_request(f"The supplied release label is invalid: {label}.")
    return label


def _step_of(cluster: Cluster, step_id: str) -> Step:
    step = cluster.step(step_id)
    if step is None:
        raise invalid_request(f"Step id '{step_id}' is not valid.")
    return step


def _moment(document: Document, member: str) -> float | None:
    """A timestamp as epoch seconds, whichever form the client chose."""
    value = document.get(member)
    return None if value is None else parse_to_aware_datetime(value).timestamp()

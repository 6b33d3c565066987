"""EMR's operations that make, change and end clusters: one function each, from a checked request to an answer.

Steps and the attributes of clusters; their groups and fleets are `resizing`'s.
"""

from __future__ import annotations

from dataclasses import replace

from servo_emr.emulator.emr import answers
from servo_emr.emulator.emr.launch import check_concurrency, check_idle_timeout, parse_launch, parse_tags
from servo_emr.emulator.emr.launch_steps import STEP_LIMIT, check_actions, parse_steps
from servo_emr.emulator.emr.refusals import not_modelled
from servo_emr.emulator.emr.releases import version
from servo_emr.emulator.emr.request import Call, Document, modifiable
from servo_emr.emulator.protocol.errors import invalid_request, validation
from servo_emr.emulator.world.records import Cluster

__all__ = [
    "add_job_flow_steps",
    "add_tags",
    "cancel_steps",
    "modify_cluster",
    "put_auto_termination_policy",
    "remove_auto_termination_policy",
    "remove_tags",
    "run_job_flow",
    "set_keep_job_flow_alive_when_no_steps",
    "set_termination_protection",
    "set_unhealthy_node_replacement",
    "set_visible_to_all_users",
    "terminate_job_flows",
]

_TERMINATE_LIMIT = 10


def run_job_flow(call: Call) -> Document:
    cluster = call.world.launch(parse_launch(call.document, call.region, call.regions))
    return {"JobFlowId": cluster.id, "ClusterArn": answers.arn_of(cluster)}


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


def modify_cluster(call: Call) -> Document:
    if call.document.get("ExtendedSupport"):
        raise not_modelled("ModifyCluster: ExtendedSupport")
    cluster = call.active()
    level = call.document.get("StepConcurrencyLevel")
    if level is not None:
        call.world.set_concurrency(cluster, check_concurrency(level))
    return {"StepConcurrencyLevel": cluster.concurrency}


def set_termination_protection(call: Call) -> Document:
    for cluster in call.job_flows():
        cluster.protected = call.document["TerminationProtected"]
    return {}


def set_keep_job_flow_alive_when_no_steps(call: Call) -> Document:
    for cluster in call.job_flows():
        call.world.set_keep_alive(cluster, call.document["KeepJobFlowAliveWhenNoSteps"])
    return {}


def set_visible_to_all_users(call: Call) -> Document:
    for cluster in call.job_flows():
        cluster.visible = call.document["VisibleToAllUsers"]
    return {}


def set_unhealthy_node_replacement(call: Call) -> Document:
    # Nothing but what DescribeCluster gives back: no node becomes unhealthy here without dying.
    wanted = {"UnhealthyNodeReplacement": call.document["UnhealthyNodeReplacement"]}
    for cluster in call.job_flows():
        cluster.launch = replace(cluster.launch, attributes={**cluster.launch.attributes, **wanted})
    return {}


def put_auto_termination_policy(call: Call) -> Document:
    cluster = call.active()
    policy = call.document.get("AutoTerminationPolicy", {})
    call.world.set_idle_timeout(cluster, check_idle_timeout(policy, cluster.launch.release_label))
    return {}


def remove_auto_termination_policy(call: Call) -> Document:
    call.world.set_idle_timeout(call.active(), None)
    return {}


def add_tags(call: Call) -> Document:
    cluster = _taggable(call)
    documents = [{"Key": key, "Value": value} for key, value in cluster.tags.items()]
    cluster.tags.update(parse_tags([*documents, *call.document["Tags"]]))
    return {}


def remove_tags(call: Call) -> Document:
    cluster = _taggable(call)
    for key in call.document["TagKeys"]:
        cluster.tags.pop(key, None)
    return {}


def add_job_flow_steps(call: Call) -> Document:
    if "ExecutionRoleArn" in call.document:
        raise not_modelled("AddJobFlowSteps: ExecutionRoleArn")
    cluster = modifiable(call.job_flow(call.document["JobFlowId"]))
    requests = parse_steps(call.document["Steps"])
    check_actions(requests, cluster.concurrency)
    active = sum(1 for step in cluster.steps if not step.over)
    if len(requests) + active > STEP_LIMIT:
        raise validation(
            "Maximum number of active steps(State = 'Running', 'Pending' or 'Cancel_Pending') for cluster exceeded."
        )
    return {"StepIds": [step.id for step in call.world.add_steps(cluster, requests)]}


def cancel_steps(call: Call) -> Document:
    cluster = call.cluster(call.document["ClusterId"])
    force = call.document.get("StepCancellationOption", "SEND_INTERRUPT") == "TERMINATE_PROCESS"
    if len(call.document["StepIds"]) > STEP_LIMIT:
        raise invalid_request(f"At most {STEP_LIMIT} steps can be cancelled in one call.")
    infos = []
    for step_id in call.document["StepIds"]:
        step = cluster.step(step_id)
        if step is None:
            info = {"Status": "FAILED", "Reason": f"Step {step_id} does not exist."}
        elif step.state not in {"PENDING", "RUNNING"}:
            info = {"Status": "FAILED", "Reason": f"Step is {step.state}, not PENDING or RUNNING."}
        elif step.state == "RUNNING" and version(cluster.launch.release_label) < (5, 28):
            info = {"Status": "FAILED", "Reason": "Running steps are cancelled from release emr-5.28.0 on."}
        else:
            call.world.cancel_step(cluster, step, force=force)
            info = {"Status": "SUBMITTED", "Reason": ""}
        infos.append({"StepId": step_id, **info})
    return {"CancelStepsInfoList": infos}


def _taggable(call: Call) -> Cluster:
    if "ClusterId" in call.document:
        raise not_modelled("tags of resources other than clusters, which ClusterId is for")
    cluster = call.cluster(call.document["ResourceId"])
    if not cluster.alive:
        raise invalid_request("Tags cannot be modified on terminated clusters.")
    return cluster

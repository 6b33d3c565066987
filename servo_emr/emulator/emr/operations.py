"""The list of what the emulated EMR can do: operation by operation, the function that does it.

A function takes a `Call` of a checked shape and gives an answer document; it runs under the driver's lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from servo_emr.emulator.emr import changing, reading, resizing
from servo_emr.emulator.emr.request import Call, Document

__all__ = ["OPERATIONS"]

OPERATIONS: Mapping[str, Callable[[Call], Document]] = {
    "AddInstanceFleet": resizing.add_instance_fleet,
    "AddInstanceGroups": resizing.add_instance_groups,
    "AddJobFlowSteps": changing.add_job_flow_steps,
    "AddTags": changing.add_tags,
    "CancelSteps": changing.cancel_steps,
    "DescribeCluster": reading.describe_cluster,
    "DescribeReleaseLabel": reading.describe_release_label,
    "DescribeStep": reading.describe_step,
    "GetAutoTerminationPolicy": reading.get_auto_termination_policy,
    "ListBootstrapActions": reading.list_bootstrap_actions,
    "ListClusters": reading.list_clusters,
    "ListInstanceFleets": reading.list_instance_fleets,
    "ListInstanceGroups": reading.list_instance_groups,
    "ListInstances": reading.list_instances,
    "ListReleaseLabels": reading.list_release_labels,
    "ListSteps": reading.list_steps,
    "ListSupportedInstanceTypes": reading.list_supported_instance_types,
    "ModifyCluster": changing.modify_cluster,
    "ModifyInstanceFleet": resizing.modify_instance_fleet,
    "ModifyInstanceGroups": resizing.modify_instance_groups,
    "PutAutoTerminationPolicy": changing.put_auto_termination_policy,
    "RemoveAutoTerminationPolicy": changing.remove_auto_termination_policy,
    "RemoveTags": changing.remove_tags,
    "RunJobFlow": changing.run_job_flow,
    "SetKeepJobFlowAliveWhenNoSteps": changing.set_keep_job_flow_alive_when_no_steps,
    "SetTerminationProtection": changing.set_termination_protection,
    "SetUnhealthyNodeReplacement": changing.set_unhealthy_node_replacement,
    "SetVisibleToAllUsers": changing.set_visible_to_all_users,
    "TerminateJobFlows": changing.terminate_job_flows,
}

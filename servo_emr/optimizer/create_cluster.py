"""Settings as a command of the AWS CLI, as far as they alone say what a cluster is. Knows the groups of EMR on EC2.

Whoever knows more of the cluster gives the optimizer another `Command`.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping

from servo_emr.optimizer.trial import Value

__all__ = ["STEP_NOTE", "Command", "create_cluster"]

Command = Callable[[Mapping[str, Value]], tuple[str, str] | None]
"""Settings -> the command of a cluster that has them, and what is to be said beside it; None when they are not a
cluster's."""

_GROUPS = {"primary": "MASTER", "core": "CORE", "task": "TASK"}
STEP_NOTE = "Add the job's step with --steps: a cluster that has none ends as soon as it is up."
"""What is said beside a command that ends its cluster after the last step."""


def create_cluster(settings: Mapping[str, Value]) -> tuple[str, str] | None:
    """`aws emr create-cluster` with types and numbers of nodes; RELEASE_LABEL stands where somebody has to write his
    own."""
    groups = []
    for component, role in _GROUPS.items():
        inst_type = settings.get(f"{component}.inst_type")
        count = settings.get(f"{component}.replicas", 1 if component == "primary" else None)
        if inst_type is None or count is None or not float(count):
            continue
        groups.append(f"InstanceGroupType={role},InstanceType={inst_type},InstanceCount={int(float(count))}")
    if not groups:
        return None
    words = ["aws", "emr", "create-cluster", "--release-label", "RELEASE_LABEL", "--use-default-roles"]
    return shlex.join([*words, "--auto-terminate", "--instance-groups", *groups]), STEP_NOTE

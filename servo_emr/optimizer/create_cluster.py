"""Settings as a command of the AWS CLI: the same cluster, by hand. Knows the groups of EMR on EC2, and no prices."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

from servo_emr.optimizer.trial import Value

__all__ = ["STEP_NOTE", "create_cluster"]

_GROUPS = {"primary": "MASTER", "core": "CORE", "task": "TASK"}
STEP_NOTE = "Add the job's step with --steps: a cluster that has none ends as soon as it is up."
"""What is said beside the command, which ends its cluster after the last step."""
_UNKNOWN = ("--release-label", "RELEASE_LABEL", "--use-default-roles")


def create_cluster(
    settings: Mapping[str, Value], words: Sequence[str] = (), bids: Mapping[str, str] | None = None
) -> str | None:
    """`aws emr create-cluster` for some settings; None when they are not those of instance groups.

    Args:
        words: what the settings do not say: release label, applications, roles and so on, as the CLI takes them.
            Without them RELEASE_LABEL stands where somebody has to write his own.
        bids: BidPrice by component, of those on spot.
    """
    groups = []
    for component, role in _GROUPS.items():
        inst_type = settings.get(f"{component}.inst_type")
        count = settings.get(f"{component}.replicas", 1 if component == "primary" else None)
        if inst_type is None or count is None or not float(count):
            continue
        bid = f",BidPrice={bids[component]}" if bids and component in bids else ""
        groups.append(f"InstanceGroupType={role},InstanceType={inst_type},InstanceCount={int(float(count))}{bid}")
    if not groups:
        return None
    return shlex.join(
        ["aws", "emr", "create-cluster", *(words or _UNKNOWN), "--auto-terminate", "--instance-groups", *groups]
    )

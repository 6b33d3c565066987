"""The nodes of a run's record: of instance groups as many as were asked for, of fleets as many as there were. Pure.

What is asked of a fleet are units of capacity, of which one node may be several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from servo_emr.domain.run import RunRecord

__all__ = ["cluster", "node_count"]


def node_count(record: RunRecord, group: Mapping[str, Any]) -> int:
    """How many nodes a group of the record's spec has. Of a fleet without rows on record: if all are of its type."""
    asked, fleet = int(group["count"]), group.get("fleet")
    if fleet is None:
        return asked
    rows = [row for row in record.details.get("instances") or () if row.get("role") == group["role"]]
    made = [row for row in rows if (row.get("timeline") or {}).get("created") is not None]
    if made:
        return len(made)
    weights = {one["inst_type"]: int(one.get("weight") or 1) for one in fleet.get("types") or ()}
    return -(-asked // weights.get(group["inst_type"], 1))


def cluster(record: RunRecord) -> str:
    """The nodes in a few words: "m5.xlarge + 4 x c5.xlarge"."""
    groups = [group for group in record.spec.get("groups", ()) if group["count"]]
    return " + ".join(
        group["inst_type"] if group["role"] == "primary" else f"{node_count(record, group)} x {group['inst_type']}"
        for group in groups
    )

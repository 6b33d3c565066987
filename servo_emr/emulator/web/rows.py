"""What the world has recorded of clusters, instances and steps, as the admin routes show it: all of it, at exact times.

Not EMR's answers, which round times, hide rows and forget: this is what they can be checked against. All times are W
in epoch seconds; null is what has not happened.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from servo_emr.emulator.world.records import Cluster, Instance, Volume

__all__ = ["cluster_row", "instance_rows", "step_rows"]


def cluster_row(cluster: Cluster) -> dict[str, Any]:
    return {
        "id": cluster.id,
        "name": cluster.launch.name,
        "region": cluster.launch.region,
        "zone": cluster.launch.zone,
        "state": cluster.state,
        "reason": cluster.reason.code,
        "instances_alive": sum(1 for instance in cluster.instances if instance.state != "TERMINATED"),
        "instances": len(cluster.instances),
        "steps": [{"id": step.id, "name": step.request.name, "state": step.state} for step in cluster.steps],
        "created": cluster.timeline.created,
        "ready": cluster.timeline.began,
        "ended": cluster.timeline.ended,
    }


def instance_rows(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Every instance that the cluster has ever had, in the order of their creation."""
    volumes = _volumes(cluster)
    for instance in cluster.instances:
        yield {
            "cluster": cluster.id,
            "id": instance.id,
            "ec2_id": instance.ec2_id,
            "collection": instance.collection_id,
            "role": instance.role,
            "type": instance.instance_type,
            "market": instance.market,
            "region": cluster.launch.region,
            "zone": cluster.launch.zone,
            "state": instance.state,
            "reason": instance.reason.code,
            "volumes": _volume_rows(instance, volumes.get((instance.collection_id, instance.instance_type), ())),
            "created": instance.timeline.created,
            "ready": instance.timeline.began,
            "ended": instance.timeline.ended,
        }


def step_rows(cluster: Cluster) -> Iterator[dict[str, Any]]:
    """Oldest first."""
    for step in cluster.steps:
        yield {
            "cluster": cluster.id,
            "id": step.id,
            "name": step.request.name,
            "state": step.state,
            "created": step.timeline.created,
            "started": step.timeline.began,
            "ended": step.timeline.ended,
        }


def _volumes(cluster: Cluster) -> Mapping[tuple[str, str], tuple[Volume, ...]]:
    """What is asked for each instance, by its group or fleet and its type."""
    asked = {(group.id, group.request.instance_type): group.request.volumes for group in cluster.groups}
    for fleet in cluster.fleets:
        asked |= {(fleet.id, kind.instance_type): kind.volumes for kind in fleet.request.types}
    return asked


def _volume_rows(instance: Instance, asked: tuple[Volume, ...]) -> list[dict[str, Any]]:
    """The root volume, of which only the id is recorded, and those asked for."""
    root, *others = instance.volume_ids or ("",)
    rows: list[dict[str, Any]] = [{"id": root, "root": True}] if root else []
    for volume_id, volume in zip(others, asked, strict=True):
        rows.append({"id": volume_id, "root": False, "kind": volume.kind, "gib": volume.gib})
    return rows

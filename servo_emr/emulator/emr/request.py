"""One request to EMR as its operations see it: who is asked, where, what, and which clusters are there for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from servo_emr.emulator.protocol.errors import invalid_request, no_such_cluster, validation
from servo_emr.emulator.region import Regions
from servo_emr.emulator.world.records import Cluster
from servo_emr.emulator.world.world import World

__all__ = ["Call", "Document", "modifiable"]

_SHUTTING_DOWN = "A job flow that is shutting down, terminated, or finished may not be modified."
_NO_JOB_FLOW = "Specified job flow ID does not exist."

Document = Mapping[str, Any]


@dataclass(frozen=True)
class Call:
    """One call of the right shape; `hidden` clusters are not seen by it, though they are there."""

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

    def job_flows(self) -> list[Cluster]:
        """The clusters that JobFlowIds names, each of which may be modified. Raises AwsError."""
        return [modifiable(self.job_flow(cluster_id)) for cluster_id in self.document["JobFlowIds"]]

    def active(self) -> Cluster:
        """The cluster that ClusterId names, which has not begun to end. Raises AwsError."""
        cluster = self.cluster(self.document["ClusterId"])
        if not cluster.alive:
            raise invalid_request(f"Cluster {cluster.id} is not active.")
        return cluster


def modifiable(cluster: Cluster) -> Cluster:
    """The cluster, unless it is ending. Raises AwsError."""
    if not cluster.alive:
        raise validation(_SHUTTING_DOWN)
    return cluster

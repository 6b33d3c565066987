"""`emr.cluster`: what all nodes have in common, and the sections of their roles."""

from __future__ import annotations

import difflib
from typing import Any

import pydantic

from servo_emr.domain.cluster import BootstrapAction, ClusterSpec, RootVolume, SecurityGroups
from servo_emr.sections.base import S3_OBJECT, S3_URI, ReleaseLabel, Section, word
from servo_emr.sections.nodes import AMI, ConfigurationSection, NodesSection, check_auto, configurations, once

__all__ = ["ClusterSection"]

_GROUP = r"^sg-[0-9a-z]+$(?!\n)"
_ROLES = ("primary", "core", "task")
_MOST_ACTIONS = 15
"""EMR takes 16 bootstrap actions, and one is ours."""
_APPLICATIONS = (
    "AmazonCloudWatchAgent", "Delta", "Flink", "Ganglia", "HBase", "HCatalog", "Hadoop", "Hive", "Hudi", "Hue",
    "Iceberg", "JupyterEnterpriseGateway", "JupyterHub", "Livy", "MXNet", "Mahout", "Oozie", "Phoenix", "Pig",
    "Presto", "Spark", "Sqoop", "TensorFlow", "Tez", "Trino", "Zeppelin", "ZooKeeper",
)  # fmt: skip


class BootstrapActionSection(Section):
    """A script that runs on every node before anything is installed; ours, on the primary node, runs last."""

    name: pydantic.constr(min_length=1, max_length=256) = pydantic.Field(  # type: ignore[valid-type]
        ..., description="Its name, for people."
    )
    path: str = pydantic.Field(..., description="s3:// URI of the script.", regex=S3_OBJECT)
    args: list[str] = pydantic.Field([], description="Its arguments; no shell sees them.")


class SecurityGroupsSection(Section):
    """Security groups by id; without them EMR's own are used."""

    primary: pydantic.constr(regex=_GROUP) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="Managed by EMR, of the primary node."
    )
    core_and_task: pydantic.constr(regex=_GROUP) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="Managed by EMR, of the other nodes."
    )
    service_access: pydantic.constr(regex=_GROUP) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="For EMR's access in private subnets."
    )
    additional_primary: list[pydantic.constr(regex=_GROUP)] = pydantic.Field(  # type: ignore[valid-type]
        [], description="Yours, of the primary node."
    )
    additional_core_and_task: list[pydantic.constr(regex=_GROUP)] = pydantic.Field(  # type: ignore[valid-type]
        [], description="Yours, of the other nodes."
    )


class RootVolumeSection(Section):
    """The root volume of every node."""

    size: pydantic.conint(strict=True, ge=10, le=2048) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="None: what the release gives.", unit="GiB"
    )
    iops: pydantic.conint(strict=True, ge=3000, le=16000) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="Of gp3, from emr-6.15.0 on.", unit="IOPS"
    )
    throughput: pydantic.conint(strict=True, ge=125, le=1000) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="Of gp3, from emr-6.15.0 on.", unit="MiB/s"
    )


class ClusterSection(Section):
    """The cluster, as far as it does not change from trial to trial."""

    _harmful = {
        "managed_scaling": "managed scaling changes the number of nodes under the measurement, and what is measured "
        "would be of no one cluster; take it out, and let core.replicas and task.replicas be adjusted",
        "auto_scaling": "automatic scaling changes the number of nodes under the measurement; take it out, and let "
        "core.replicas and task.replicas be adjusted",
        "auto_termination": "every cluster ends with its last step; an idle limit would end a notebook that uses no "
        "YARN application; take it out",
        "termination_protected": "no cluster may outlive its run; take it out",
        "keep_alive": "no cluster may outlive its run; take it out",
    }

    release_label: ReleaseLabel = pydantic.Field(..., description="The EMR release, such as emr-7.1.0.")
    applications: list[str] = pydantic.Field(
        ["Spark"],
        description="Applications that EMR installs. With Spark the notebook runs under spark-submit; without, "
        "under plain Python.",
    )
    configurations: list[ConfigurationSection] = pydantic.Field(
        [], description="Properties of applications. Keep secrets out: the request is on record."
    )
    bootstrap_actions: list[BootstrapActionSection] = pydantic.Field(
        [],
        description="Scripts that run on every node, at most 15, before ours, which makes the notebook's "
        "environment on the primary node. The nodes' role must be able to read them.",
        max_items=_MOST_ACTIONS,
    )
    subnet_ids: list[pydantic.constr(regex=r"^subnet-[0-9a-z]+$")] = pydantic.Field(  # type: ignore[valid-type]
        [],
        description="A cluster is launched in one of those in whose zones all its types are offered, and in the "
        "next one when it is launched again; for instance fleets EMR chooses among all of those. "
        "None: the account's default.",
    )
    key_pair: pydantic.constr(min_length=1, max_length=256) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="The EC2 key pair that opens the nodes."
    )
    service_role: str = pydantic.Field("EMR_DefaultRole", description="EMR's service role.", min_length=1)
    instance_profile: str = pydantic.Field(
        "EMR_EC2_DefaultRole", description="Instance profile of the nodes.", min_length=1
    )
    security_groups: SecurityGroupsSection = pydantic.Field(
        default_factory=SecurityGroupsSection, description="Security groups of the nodes."
    )
    security_configuration: str | None = pydantic.Field(
        None, description="Name of a security configuration.", min_length=1
    )
    log_uri: str | None = pydantic.Field(
        None,
        description="S3 prefix of EMR's logs. Without it a failed step's logs are lost with the cluster.",
        regex=S3_URI,
    )
    log_kms_key: str | None = pydantic.Field(
        None, description="KMS key that encrypts the logs: its id or ARN.", min_length=1
    )
    ami_id: pydantic.constr(regex=AMI) | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="The image of all nodes; none: the release's."
    )
    os_release_label: str | None = pydantic.Field(
        None, description="Amazon Linux release, such as 2.0.20230727.0.", regex=r"^[\w.-]+$"
    )
    repo_upgrade_on_boot: word("security", "none") | None = pydantic.Field(  # type: ignore[valid-type]
        None, description="With an ami_id of its own: what is upgraded when a node starts."
    )
    root_volume: RootVolumeSection = pydantic.Field(
        default_factory=RootVolumeSection, description="The root volume of every node."
    )
    step_concurrency: pydantic.conint(strict=True, ge=1, le=256) = pydantic.Field(  # type: ignore[valid-type]
        1,
        description="Steps that may run at once. Above 1 the servo ends the cluster when it sees that a step has "
        "failed, which EMR does not; and `job.repeats` must be 1.",
        unit="steps",
    )
    unhealthy_node_replacement: bool | None = pydantic.Field(
        None,
        description="Whether EMR replaces core nodes that it finds unhealthy; a replaced node makes a run "
        "`disturbed`. None: EMR's own choice.",
    )
    spark: word("auto", "as-configured") = pydantic.Field(  # type: ignore[valid-type]
        "as-configured", description="`auto`: executors are sized for the workers' type and number of each run."
    )
    tags: dict[str, str] = pydantic.Field(
        {}, description="Tags of the cluster and its instances, beside ours (`servo-emr:run`, `servo-emr:workspace`)."
    )
    primary: NodesSection = pydantic.Field(default_factory=NodesSection, description="The primary node.")
    core: NodesSection = pydantic.Field(default_factory=NodesSection, description="The core nodes.")
    task: NodesSection = pydantic.Field(default_factory=NodesSection, description="The task nodes.")

    @pydantic.validator("tags")
    def _tags(cls, value: dict[str, str]) -> dict[str, str]:
        for key, item in value.items():
            if not 0 < len(key) <= 128 or len(item) > 256 or key.lower().startswith(("aws:", "servo-emr:")):
                raise ValueError(f"'{key}': at most 128 characters for a key, 256 for a value, no aws: or servo-emr:")
        return value

    @pydantic.validator("configurations")
    def _once(cls, value: list[ConfigurationSection]) -> list[ConfigurationSection]:
        return once(value)

    @pydantic.validator("applications")
    def _spelled(cls, value: list[str]) -> list[str]:
        known = {name.lower(): name for name in _APPLICATIONS}
        for name in value:
            # EMR adds applications: one that is like none of them is left to EMR.
            near = difflib.get_close_matches(name.lower(), known, 1, cutoff=0.8)
            if name.lower() not in known and near:
                raise ValueError(f"'{name}' is no application of EMR; did you mean '{known[near[0]]}'?")
        return value

    @pydantic.root_validator(skip_on_failure=True)
    def _together(cls, values: dict[str, Any]) -> dict[str, Any]:
        release = tuple(int(part) for part in values["release_label"][4:].split("."))
        root = values["root_volume"]
        if release < (6, 15, 0) and (root.iops is not None or root.throughput is not None):
            raise ValueError("root_volume: iops and throughput are of gp3 root volumes, from emr-6.15.0 on")
        if values.get("repo_upgrade_on_boot") and not values.get("ami_id"):
            raise ValueError("repo_upgrade_on_boot is for images of your own: set ami_id beside it, or take it out")
        if values["spark"] == "auto":
            for one in (values["configurations"], *(values[role].configurations for role in _ROLES)):
                check_auto(one)
        if values.get("log_kms_key") and not values.get("log_uri"):
            raise ValueError("log_kms_key encrypts what log_uri names: set log_uri beside it, or take it out")
        return values

    @property
    def properties(self) -> list[dict[str, Any]]:
        """All configurations, the roles' own among them, as mappings."""
        own = (getattr(self, role).configurations for role in _ROLES)
        return [one.dict() for listed in (self.configurations, *own) for one in listed]

    def to_domain(self) -> ClusterSpec:
        """The cluster as the domain has it."""
        security, upgrade = self.security_groups, self.repo_upgrade_on_boot
        return ClusterSpec(
            release_label=self.release_label,
            applications=tuple(self.applications),
            subnet_ids=tuple(self.subnet_ids),
            service_role=self.service_role,
            instance_profile=self.instance_profile,
            log_uri=self.log_uri,
            tags=tuple(sorted(self.tags.items())),
            configurations=configurations(self.configurations),
            bootstrap_actions=tuple(
                BootstrapAction(one.name, one.path, tuple(one.args)) for one in self.bootstrap_actions
            ),
            key_pair=self.key_pair,
            security_groups=SecurityGroups(
                security.primary,
                security.core_and_task,
                security.service_access,
                tuple(security.additional_primary),
                tuple(security.additional_core_and_task),
            ),
            security_configuration=self.security_configuration,
            ami_id=self.ami_id,
            os_release_label=self.os_release_label,
            repo_upgrade_on_boot=None if upgrade is None else upgrade.upper(),
            root_volume=RootVolume(self.root_volume.size, self.root_volume.iops, self.root_volume.throughput),
            step_concurrency=self.step_concurrency,
            log_kms_key=self.log_kms_key,
            unhealthy_node_replacement=self.unhealthy_node_replacement,
            spark_auto=self.spark == "auto",
        )

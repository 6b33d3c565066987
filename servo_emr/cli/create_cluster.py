"""The cluster of a run as a command of the AWS CLI: the servo's own request, without what is of a run alone.

That is its steps, the bootstrap action before them, its name and its tags: with `servo-emr:workspace` on it a cluster
that somebody made by hand would be ended by the next `servo-emr sweep`.
"""

from __future__ import annotations

import functools
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional

from servo_emr.aws.ec2_request import run_job_flow
from servo_emr.cli.settings_file import load
from servo_emr.config import EMRConfiguration
from servo_emr.domain.errors import ConfigurationError, UsageError
from servo_emr.domain.settings import Value
from servo_emr.domain.spec import RunKey
from servo_emr.optimizer import create_cluster as alone

__all__ = ["command_for", "create_cluster"]

_AUTO_NOTE = " `spark: auto` sizes Spark's executors at every launch; this command leaves them to EMR."
_ALONE_NOTE = " The command has types and numbers of nodes alone: {}"
_NO_RUN = RunKey("s3://workspace/prefix", "workspace-id", "00000000t000000-00000000")
_WORDS = {
    "ReleaseLabel": "--release-label",
    "ServiceRole": "--service-role",
    "LogUri": "--log-uri",
    "LogEncryptionKmsKeyId": "--log-encryption-kms-key-id",
    "SecurityConfiguration": "--security-configuration",
    "CustomAmiId": "--custom-ami-id",
    "OSReleaseLabel": "--os-release-label",
    "RepoUpgradeOnBoot": "--repo-upgrade-on-boot",
    "EbsRootVolumeSize": "--ebs-root-volume-size",
    "EbsRootVolumeIops": "--ebs-root-volume-iops",
    "EbsRootVolumeThroughput": "--ebs-root-volume-throughput",
    "StepConcurrencyLevel": "--step-concurrency-level",
}
_ATTRIBUTES = {
    "Ec2KeyName": "KeyName",
    "Ec2SubnetId": "SubnetId",
    "Ec2SubnetIds": "SubnetIds",
    "EmrManagedMasterSecurityGroup": "EmrManagedMasterSecurityGroup",
    "EmrManagedSlaveSecurityGroup": "EmrManagedSlaveSecurityGroup",
    "ServiceAccessSecurityGroup": "ServiceAccessSecurityGroup",
    "AdditionalMasterSecurityGroups": "AdditionalMasterSecurityGroups",
    "AdditionalSlaveSecurityGroups": "AdditionalSlaveSecurityGroups",
}
"""Members of Instances as `--ec2-attributes` calls them."""
_PLAIN = re.compile(r"[\w.:/@+-]+")
"""What the CLI's short form takes without quotes of its own."""


def command_for(path: Path, emr: Mapping[str, Any]) -> alone.Command:
    """What makes a command of the settings that the optimizer recommends: with all that servo.yaml says of a cluster
    or, where that is not valid or does not allow them, with the settings alone, which the note beside it says.

    Args:
        emr: the section of the file at `path`. It is validated when a first command is asked for.
    """

    @functools.cache
    def config() -> EMRConfiguration | UsageError:
        try:
            return load(path, dict(emr))
        except UsageError as error:
            return error

    def command(settings: Mapping[str, Value]) -> Optional[tuple[str, str]]:
        found = config()
        try:
            if isinstance(found, UsageError):
                raise found
            auto = _AUTO_NOTE if found.cluster.spark == "auto" else ""
            return create_cluster(found, settings), alone.STEP_NOTE + auto
        except (UsageError, ConfigurationError) as error:
            words = alone.create_cluster(settings)
            return words and (words[0], words[1] + _ALONE_NOTE.format(error))

    return command


def create_cluster(config: EMRConfiguration, settings: Mapping[str, Value]) -> str:
    """`aws emr create-cluster` with the settings in their places.

    Raises:
        ConfigurationError: a value that servo.yaml does not allow.
    """
    spec = config.space.apply(config.to_spec(), settings)
    request = run_job_flow(replace(spec, bootstrap=()), _NO_RUN)
    instances, tags = request["Instances"], dict(spec.cluster.tags)
    actions = [{"Name": one["Name"], **one["ScriptBootstrapAction"]} for one in request["BootstrapActions"]]
    attributes = {name: instances[member] for member, name in _ATTRIBUTES.items() if member in instances}
    words = ["aws", "emr", "create-cluster", "--region", spec.region]
    for member, option in _WORDS.items():
        words += [option, str(request[member])] if member in request else []
    words += _option("--applications", request["Applications"])
    words += _option("--ec2-attributes", {"InstanceProfile": request["JobFlowRole"], **attributes})
    words += _option("--bootstrap-actions", actions)
    words += ["--configurations", json.dumps(request["Configurations"])] if "Configurations" in request else []
    words += ["--tags", *(f"{name}={value}" for name, value in tags.items())] if tags else []
    if "UnhealthyNodeReplacement" in instances:
        words.append(f"--{'' if instances['UnhealthyNodeReplacement'] else 'no-'}unhealthy-node-replacement")
    words.append("--auto-terminate")
    words += _option("--instance-groups", [_group(group) for group in instances.get("InstanceGroups", ())])
    words += _option("--instance-fleets", instances.get("InstanceFleets", ()))
    return shlex.join(words)


def _group(group: Mapping[str, Any]) -> dict[str, Any]:
    """A group as the CLI has it: a bid is what makes it spot."""
    bid = {"BidPrice": group.get("BidPrice", "OnDemandPrice")} if group["Market"] == "SPOT" else {}
    own = {"InstanceGroupType": group["InstanceRole"]}
    told = {name: group[name] for name in ("InstanceType", "InstanceCount")}
    more = {name: group[name] for name in ("EbsConfiguration", "CustomAmiId", "Configurations") if name in group}
    return {**own, **told, **bid, **more}


def _option(name: str, value: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> list[str]:
    """An option of the CLI: in its short form where that can say it, else as JSON; nothing where there is nothing."""
    if not value:
        return []
    items = [value] if isinstance(value, Mapping) else value
    if all(_PLAIN.fullmatch(str(part)) for item in items for part in item.values()):
        return [name, *(",".join(f"{key}={part}" for key, part in item.items()) for item in items)]
    return [name, json.dumps(value)]

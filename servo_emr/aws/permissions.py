"""Which IAM actions the operations need that this package calls at AWS, and on what they are needed.

A table and what is read out of it; the only other place that must change when a call is added. Knows neither a
configuration nor the form of a policy. Names and scopes are those of AWS's Service Authorization Reference; no policy
made from them has been tried on AWS.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["NODES", "OPERATIONS", "Grant", "Scope", "actions_of"]


class Scope(enum.StrEnum):
    """What an action is granted on; the value names the statement."""

    ANYTHING = "Look"
    """Everything: AWS grants the action on nothing narrower."""
    PRICE_LIST = "PriceList"
    """Everything, when AWS's price list is asked at all."""
    SPOT_PRICES = "SpotPrices"
    """Everything, when there are spot nodes."""
    IMAGES = "LookAtImages"
    """Everything, when a configuration names images of its own."""
    LAUNCH = "LaunchWithOurTag"
    """A new cluster that carries our tag."""
    TAG = "TagAtLaunch"
    """Any cluster: at a launch it has no tags yet that a condition could ask for."""
    CLUSTERS = "LookAtClusters"
    """Any cluster: right after a launch its tags may not be there yet."""
    OWN_CLUSTERS = "EndOurClusters"
    """Clusters that carry our tag."""
    PASS_TO_EMR = "PassServiceRole"
    PASS_TO_EC2 = "PassNodeRole"
    SERVICE_ROLE = "LookAtServiceRole"
    INSTANCE_PROFILE = "LookAtInstanceProfile"
    READ = "Read"
    """Objects of the workspace, the job's programs, EMR's logs."""
    WRITE = "Write"
    """Objects of the workspace."""
    KEYS = "TellMissingFromDenied"
    """The keys of what is read, and of the wheels. S3 says that a key does not exist only to who may list it, and
    "denied" to others."""
    RUN_FILES = "ReadRuns"
    RUN_RESULTS = "WriteResults"
    RUN_KEYS = "ListRuns"
    WHEELS = "ReadWheels"
    WHEEL_KEYS = "ListWheels"
    BOOTSTRAP = "ReadBootstrapActions"
    STEPS = "ReadWhatStepsRead"
    """Jars and files of applications that Spark fetches, and what preparation restores."""
    STEP_KEYS = "ListWhatStepsRead"
    RESTORES = "ReadTagsOfWhatIsRestored"
    """Of an object of more than 8 MiB the AWS CLI copies the tags itself, and fails where it may not read them."""
    RESTORED = "WriteRestored"
    LOGS = "WriteLogs"


@dataclass(frozen=True)
class Grant:
    """An IAM action and what it is needed on."""

    action: str
    scope: Scope


def _emr(operation: str, scope: Scope) -> Grant:
    return Grant(f"elasticmapreduce:{operation}", scope)


OPERATIONS: Mapping[tuple[str, str], tuple[Grant, ...]] = {
    ("emr", "RunJobFlow"): (
        _emr("RunJobFlow", Scope.LAUNCH),
        _emr("AddTags", Scope.TAG),
        Grant("iam:PassRole", Scope.PASS_TO_EMR),
        Grant("iam:PassRole", Scope.PASS_TO_EC2),
    ),
    ("emr", "ListClusters"): (_emr("ListClusters", Scope.ANYTHING),),
    ("emr", "ListSupportedInstanceTypes"): (_emr("ListSupportedInstanceTypes", Scope.ANYTHING),),
    ("emr", "DescribeCluster"): (_emr("DescribeCluster", Scope.CLUSTERS),),
    ("emr", "ListSteps"): (_emr("ListSteps", Scope.CLUSTERS),),
    ("emr", "ListInstanceGroups"): (_emr("ListInstanceGroups", Scope.CLUSTERS),),
    ("emr", "ListInstanceFleets"): (_emr("ListInstanceFleets", Scope.CLUSTERS),),
    ("emr", "ListInstances"): (_emr("ListInstances", Scope.CLUSTERS),),
    ("emr", "TerminateJobFlows"): (_emr("TerminateJobFlows", Scope.OWN_CLUSTERS),),
    ("emr", "SetTerminationProtection"): (_emr("SetTerminationProtection", Scope.OWN_CLUSTERS),),
    ("ec2", "DescribeImages"): (Grant("ec2:DescribeImages", Scope.IMAGES),),
    ("ec2", "DescribeSubnets"): (Grant("ec2:DescribeSubnets", Scope.ANYTHING),),
    ("ec2", "DescribeInstanceTypeOfferings"): (Grant("ec2:DescribeInstanceTypeOfferings", Scope.ANYTHING),),
    ("ec2", "DescribeSpotPriceHistory"): (Grant("ec2:DescribeSpotPriceHistory", Scope.SPOT_PRICES),),
    ("iam", "GetRole"): (Grant("iam:GetRole", Scope.SERVICE_ROLE),),
    ("iam", "GetInstanceProfile"): (Grant("iam:GetInstanceProfile", Scope.INSTANCE_PROFILE),),
    ("pricing", "GetProducts"): (Grant("pricing:GetProducts", Scope.PRICE_LIST),),
    ("service-quotas", "GetServiceQuota"): (Grant("servicequotas:GetServiceQuota", Scope.ANYTHING),),
    ("sts", "GetCallerIdentity"): (),  # whoever has credentials may ask whose they are
    ("s3", "GetObject"): (Grant("s3:GetObject", Scope.READ), Grant("s3:ListBucket", Scope.KEYS)),
    ("s3", "PutObject"): (Grant("s3:PutObject", Scope.WRITE),),
    ("s3", "ListObjectsV2"): (Grant("s3:ListBucket", Scope.KEYS),),
}
"""Every call of the servo, as the code names it -> what it needs."""

NODES: tuple[Grant, ...] = (
    Grant("s3:GetObject", Scope.RUN_FILES),
    Grant("s3:ListBucket", Scope.RUN_KEYS),
    Grant("s3:PutObject", Scope.RUN_RESULTS),
    Grant("s3:GetObject", Scope.WHEELS),
    Grant("s3:ListBucket", Scope.WHEEL_KEYS),
    Grant("s3:GetObject", Scope.BOOTSTRAP),
    Grant("s3:GetObject", Scope.STEPS),
    Grant("s3:ListBucket", Scope.STEP_KEYS),
    Grant("s3:GetObjectTagging", Scope.RESTORES),
    Grant("s3:PutObject", Scope.RESTORED),
    Grant("s3:PutObjectTagging", Scope.RESTORED),
    Grant("s3:PutObject", Scope.LOGS),
)
"""What bootstrap action, step and log shipping need on the cluster; what the user's notebook needs is the user's."""


def actions_of(service: str, operation: str) -> tuple[str, ...]:
    """The IAM actions that an operation may be refused for lack of, the operation's own first."""
    needed = tuple(dict.fromkeys(grant.action for grant in OPERATIONS.get((service, operation), ())))
    return needed or (f"{service}:{operation}",)

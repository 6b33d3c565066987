"""IAM policy documents for a configuration: the least that the servo, and what it starts on the nodes, can do with.

Pure: asks nobody. What is needed is known by `permissions`; kept here is how resources and conditions are written.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from servo_emr.aws.ec2_request import WORKSPACE_TAG
from servo_emr.aws.permissions import NODES, OPERATIONS, Grant, Scope
from servo_emr.aws.uri import split_uri
from servo_emr.domain.spec import INPUTS

__all__ = ["Facts", "nodes_policy", "servo_policy"]

_Place = tuple[tuple[str, ...], Mapping[str, Mapping[str, list[str]]]]
"""Resources and conditions of a statement; without resources there is none."""

_RESULTS = ("*/output*.ipynb", "*/output*.txt", "*/progress*.json", "*/result*.json", "*/metrics*.json")
"""What runners and jobs write of a run, wherever in its folder."""
_EVERYTHING: _Place = (("*",), {})


@dataclass(frozen=True)
class Facts:
    """What a policy depends on.

    Attributes:
        workspace: s3://bucket/prefix.
        service_role, instance_profile: names or ARNs.
        node_role: the role in the instance profile, name or ARN; None: named like the profile.
        programs: the s3:// URIs of the notebooks and programs that the servo copies; local ones are not among them.
        log_uri, wheels: s3:// prefixes; None where the configuration has none.
        bootstrap: the s3:// URIs of the configuration's own bootstrap actions.
        reads: the s3:// URIs, and prefixes with a slash at their ends, that steps read on the nodes.
        restores: whether preparation copies into the run's folder.
        live_prices: whether AWS's price list is asked.
        spot: whether there are spot nodes.
        images: whether the configuration names images of its own.
        account: the account's number; "*": whichever the identity belongs to.
        workspace_id: the id in workspace.json; "*": clusters of every workspace.
    """

    region: str
    workspace: str
    service_role: str
    instance_profile: str
    node_role: str | None = None
    programs: tuple[str, ...] = ()
    log_uri: str | None = None
    wheels: str | None = None
    bootstrap: tuple[str, ...] = ()
    reads: tuple[str, ...] = ()
    restores: bool = False
    live_prices: bool = True
    spot: bool = False
    images: bool = False
    account: str = "*"
    workspace_id: str = "*"

    @property
    def partition(self) -> str:
        """The part of AWS that the region belongs to, as ARNs name it."""
        special = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
        return next((name for prefix, name in special.items() if self.region.startswith(prefix)), "aws")

    def role(self, name: str, kind: str = "role") -> str:
        """The ARN of a role, or of another kind of IAM's resources."""
        return name if name.startswith("arn:") else f"arn:{self.partition}:iam::{self.account}:{kind}/{name}"

    def objects(self, uri: str, *below: str) -> tuple[str, ...]:
        """The ARNs of the object at an s3:// URI, or of those below it that patterns fit."""
        bucket, key = split_uri(uri)
        prefix = _literal(key.rstrip("/")) if below else _literal(key)
        keys = [f"{prefix}/{pattern}".lstrip("/") for pattern in below] or [prefix]
        return tuple(f"arn:{self.partition}:s3:::{bucket}/{key}" for key in keys)


def servo_policy(facts: Facts) -> dict[str, Any]:
    """The policy of the servo's own identity, as a document."""
    return _document(facts, (grant for grants in OPERATIONS.values() for grant in grants))


def nodes_policy(facts: Facts) -> dict[str, Any]:
    """The policy of the role in the instance profile, as a document: our part of it alone."""
    return _document(facts, NODES)


def _document(facts: Facts, grants: Iterable[Grant]) -> dict[str, Any]:
    actions: dict[Scope, set[str]] = {}
    for grant in grants:
        actions.setdefault(grant.scope, set()).add(grant.action)
    statements = []
    for scope in Scope:
        places = [place for place in _places(scope, facts) if scope in actions and place[0]]
        for number, (resources, condition) in enumerate(places, 1):
            statements.append(
                {
                    "Sid": f"{scope}{number if len(places) > 1 else ''}",
                    "Effect": "Allow",
                    "Action": sorted(actions[scope]),
                    "Resource": list(resources),
                    **({"Condition": condition} if condition else {}),
                }
            )
    return {"Version": "2012-10-17", "Statement": statements}


def _places(scope: Scope, facts: Facts) -> list[_Place]:
    """Where the actions of a scope are granted: a statement each."""
    match scope:
        case Scope.ANYTHING:
            return [_EVERYTHING]
        case Scope.PRICE_LIST:
            return [_EVERYTHING] if facts.live_prices else []
        case Scope.IMAGES:
            return [_EVERYTHING] if facts.images else []
        case Scope.SPOT_PRICES:
            return [_EVERYTHING] if facts.spot else []
        case Scope.LAUNCH | Scope.TAG | Scope.CLUSTERS | Scope.OWN_CLUSTERS:
            return [_clusters(scope, facts)]
        case Scope.PASS_TO_EMR | Scope.PASS_TO_EC2 | Scope.SERVICE_ROLE | Scope.INSTANCE_PROFILE:
            return [_identity(scope, facts)]
        case Scope.KEYS | Scope.RUN_KEYS | Scope.WHEEL_KEYS | Scope.STEP_KEYS:
            return _listings(_listed(scope, facts), facts)
        case _:
            return [(tuple(sorted(set(_objects(scope, facts)))), {})]


def _clusters(scope: Scope, facts: Facts) -> _Place:
    clusters = (f"arn:{facts.partition}:elasticmapreduce:{facts.region}:{facts.account}:cluster/*",)
    if scope is Scope.LAUNCH:
        return ("*",), {"StringLike": {f"elasticmapreduce:RequestTag/{WORKSPACE_TAG}": [facts.workspace_id]}}
    if scope is Scope.OWN_CLUSTERS:
        return clusters, {"StringLike": {f"elasticmapreduce:ResourceTag/{WORKSPACE_TAG}": [facts.workspace_id]}}
    return clusters, {}


def _identity(scope: Scope, facts: Facts) -> _Place:
    if scope is Scope.SERVICE_ROLE:
        return (facts.role(facts.service_role),), {}
    if scope is Scope.INSTANCE_PROFILE:
        return (facts.role(facts.instance_profile, "instance-profile"),), {}
    if scope is Scope.PASS_TO_EMR:
        role, service = facts.service_role, "elasticmapreduce.amazonaws.com*"
    else:
        # Some partitions have a suffix of their own.
        role, service = facts.node_role or facts.instance_profile.rpartition("/")[2], "ec2.amazonaws.com*"
    return (facts.role(role),), {"StringLike": {"iam:PassedToService": [service]}}


def _objects(scope: Scope, facts: Facts) -> tuple[str, ...]:
    runs = f"{facts.workspace.rstrip('/')}/runs"
    whole = facts.objects(facts.workspace, "*")
    logs = facts.objects(facts.log_uri, "*") if facts.log_uri else ()
    found = {
        Scope.READ: _outside(whole, (*(arn for uri in facts.programs for arn in facts.objects(uri)), *logs)),
        Scope.WRITE: whole,
        Scope.RUN_FILES: facts.objects(runs, "*"),
        Scope.RUN_RESULTS: facts.objects(runs, *_RESULTS),
        Scope.WHEELS: facts.objects(facts.wheels, "*") if facts.wheels else (),
        Scope.BOOTSTRAP: tuple(arn for uri in facts.bootstrap for arn in facts.objects(uri)),
        Scope.STEPS: tuple(
            arn for uri in facts.reads for arn in facts.objects(uri, *(["*"] if uri.endswith("/") else []))
        ),
        Scope.RESTORES: tuple(arn for uri in facts.reads if uri.endswith("/") for arn in facts.objects(uri, "*")),
        Scope.RESTORED: facts.objects(runs, f"*/{INPUTS}/*") if facts.restores else (),
        Scope.LOGS: logs,
    }
    return found[scope]


def _outside(whole: tuple[str, ...], further: Iterable[str]) -> tuple[str, ...]:
    """`whole`, a pattern that ends in *, and what of `further` it does not fit already."""
    return (*whole, *(arn for arn in further if not arn.startswith(whole[0][:-1])))


def _listed(scope: Scope, facts: Facts) -> list[tuple[str, list[str]]]:
    """Buckets, and the prefixes in them that may be asked for."""
    if scope is Scope.RUN_KEYS:
        return [_below(f"{facts.workspace.rstrip('/')}/runs")]
    if scope is Scope.WHEEL_KEYS:
        return [_below(facts.wheels)] if facts.wheels else []
    if scope is Scope.STEP_KEYS:
        return [_below(uri) for uri in facts.reads if uri.endswith("/")]
    listed = [_below(facts.workspace)]
    for uri in facts.programs:
        bucket, key = split_uri(uri)
        listed.append((bucket, [_literal(key)]))
    return [*listed, *(_below(prefix) for prefix in (facts.log_uri, facts.wheels) if prefix)]


def _below(uri: str) -> tuple[str, list[str]]:
    bucket, key = split_uri(uri)
    prefix = _literal(key.rstrip("/"))
    return bucket, [prefix, f"{prefix}/*"] if prefix else ["*"]


def _listings(listed: Iterable[tuple[str, list[str]]], facts: Facts) -> list[_Place]:
    """A statement for each bucket. A key that is asked for counts as a prefix, when S3 tells missing from denied."""
    prefixes: dict[str, list[str]] = {}
    for bucket, patterns in listed:
        prefixes.setdefault(bucket, []).extend(patterns)
    return [
        (
            (f"arn:{facts.partition}:s3:::{bucket}",),
            {} if "*" in found else {"StringLike": {"s3:prefix": _least(found)}},
        )
        for bucket, found in prefixes.items()
    ]


def _least(patterns: list[str]) -> list[str]:
    """Those that no other one fits already."""
    wide = [pattern[:-1] for pattern in patterns if pattern.endswith("/*")]
    return sorted({one for one in patterns if not any(one != f"{w}*" and one.startswith(w) for w in wide)})


def _literal(text: str) -> str:
    """A text in which IAM is to see no wildcard and no variable."""
    return "".join(f"${{{letter}}}" if letter in "$*?" else letter for letter in text)

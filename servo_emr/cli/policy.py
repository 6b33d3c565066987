"""`servo-emr policy`: the least-privilege policies of a configuration, as IAM takes them. Asks AWS nothing."""

from __future__ import annotations

import enum
from typing import Optional

import typer

from servo_emr.aws.policy import Facts, nodes_policy, servo_policy
from servo_emr.cli.output import OUTPUT, Output, emit_json, note
from servo_emr.cli.settings_file import file_of, load
from servo_emr.config import EMRConfiguration
from servo_emr.domain.errors import UsageError
from servo_emr.domain.spec import Kind

__all__ = ["policy"]

_UNTRIED = "Made from AWS's documentation; no policy of servo_emr's has been tried on AWS (docs/security.md)."


class Whose(enum.StrEnum):
    """Who a policy is for."""

    SERVO = "servo"
    NODES = "nodes"


_TITLES = {
    Whose.SERVO: "For the identity that the servo runs as:",
    Whose.NODES: "For the role in the instance profile, beside what the job itself needs:",
}


def policy(
    context: typer.Context,
    whose: Optional[Whose] = typer.Argument(None, metavar="[servo|nodes]", help="Whose policy; without it, both."),
    account: str = typer.Option("*", help="The account's number; without it, whichever the identity belongs to."),
    node_role: Optional[str] = typer.Option(
        None, "--node-role", help="The role in the instance profile; without it, the one of the profile's name."
    ),
    workspace_id: str = typer.Option(
        "*", "--workspace-id", help="The id in workspace.json: no cluster of another workspace may be ended then."
    ),
    output: Output = OUTPUT,
) -> None:
    """Print the least-privilege IAM policies for the configuration: the servo's own, and its part of the nodes'."""
    if account != "*" and not (len(account) == 12 and account.isdecimal()):
        raise UsageError(f"--account {account}: an account has twelve digits")
    known = facts(load(file_of(context.obj)), account, node_role, workspace_id)
    documents = {Whose.SERVO: servo_policy(known), Whose.NODES: nodes_policy(known)}
    note(_UNTRIED)
    if whose is not None:
        note(_TITLES[whose])
        emit_json(documents[whose])
    elif output is Output.JSON:
        emit_json({str(name): document for name, document in documents.items()})
    else:
        for name, document in documents.items():
            typer.echo(f"\n{_TITLES[name]}\n")
            emit_json(document)


def facts(config: EMRConfiguration, account: str, node_role: str | None, workspace_id: str) -> Facts:
    """What of a configuration its policies depend on."""
    spec = config.to_spec()
    sources = (spec.job.notebook, *(step.source or "" for step in spec.steps))
    return Facts(
        region=config.region,
        workspace=config.workspace,
        service_role=config.cluster.service_role,
        instance_profile=config.cluster.instance_profile,
        node_role=node_role,
        programs=tuple(dict.fromkeys(uri for uri in sources if "://" in uri)),
        log_uri=config.cluster.log_uri,
        wheels=config.job.wheels,
        bootstrap=tuple(action.path for action in spec.cluster.bootstrap_actions),
        reads=tuple(dict.fromkeys(uri for step in spec.steps for uri in step.reads)),
        restores=any(step.kind is Kind.RESTORE for step in spec.steps),
        live_prices=config.prices.live,
        spot=config.may_be_on_spot,
        images=config.has_images,
        account=account,
        workspace_id=workspace_id,
    )

"""The steps of RunJobFlow and AddJobFlowSteps -> `StepRequest`s. How a jar runs is not known here, only which may."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from servo_emr.emulator.emr.refusals import not_modelled, refuse_others
from servo_emr.emulator.protocol.errors import validation
from servo_emr.emulator.world.records import StepRequest

__all__ = ["STEP_LIMIT", "check_actions", "parse_steps"]

STEP_LIMIT = 256
_STEP_CHARACTERS = 10_240
_COMMAND_RUNNER = "command-runner.jar"
# Under its bare name, or where each region's copy of it lies.
_SCRIPT_RUNNER = re.compile(r"(s3://([a-z0-9-]+\.)?elasticmapreduce/libs/script-runner/)?script-runner\.jar")


def parse_steps(documents: Sequence[Mapping[str, Any]]) -> tuple[StepRequest, ...]:
    """The steps that are asked for. Raises AwsError."""
    if len(documents) > STEP_LIMIT:
        raise validation(f"Maximum number of steps ({STEP_LIMIT}) for a job flow exceeded: {len(documents)}.")
    return tuple(_step(document, index) for index, document in enumerate(documents, start=1))


def check_actions(requests: Sequence[StepRequest], concurrency: int) -> None:
    """Raises AwsError for an ActionOnFailure that a cluster running several steps at once does not take."""
    for index, request in enumerate(requests, start=1):
        if concurrency > 1 and request.action_on_failure != "CONTINUE":
            raise validation(
                f"Step {index}: the ActionOnFailure {request.action_on_failure} is not valid while the step "
                f"concurrency level of the cluster is greater than 1. Use CONTINUE."
            )


def _step(document: Mapping[str, Any], index: int) -> StepRequest:
    refuse_others(document, ("Name", "ActionOnFailure", "HadoopJarStep"), f"step {index}")
    jar_step = document["HadoopJarStep"]
    refuse_others(jar_step, ("Jar", "Args"), f"step {index}: HadoopJarStep")
    jar, args = jar_step["Jar"], tuple(jar_step.get("Args", ()))
    if jar == _COMMAND_RUNNER:
        if not args:
            raise validation(f"Step {index}: {_COMMAND_RUNNER} needs Args, the command to run.")
    elif _SCRIPT_RUNNER.fullmatch(jar):
        if not args or not args[0].startswith(("s3://", "s3n://", "s3a://")):
            raise validation(f"Step {index}: script-runner.jar needs Args, the first being a script in S3.")
    else:
        raise not_modelled(f"step {index}: the jar {jar!r}, only {_COMMAND_RUNNER!r} and 'script-runner.jar'")
    if len(jar) + sum(len(arg) for arg in args) > _STEP_CHARACTERS:
        raise validation(f"Step {index}: the strings of its HadoopJarStep exceed {_STEP_CHARACTERS} characters.")
    if any("\0" in arg for arg in args):
        raise validation(f"Step {index}: an argument holds a NUL character.")
    return StepRequest(document["Name"], jar, args, document.get("ActionOnFailure", "CONTINUE"))

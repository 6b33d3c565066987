"""Ending a cluster on EC2, protected or not, against the door's own promises."""

from __future__ import annotations

from typing import Any

import pytest

from servo_emr.aws.door import Refusal
from servo_emr.aws.ec2 import Ec2Target
from servo_emr.domain.errors import Reason, RunError, failure
from servo_emr.domain.ports import Handle
from tests.support.samples import KEY
from tests.support.simclock import SimClock

HANDLE = Handle("j-1", KEY)


class Answers:
    """The door's `call`: refuses with the codes that it is given, one a call, in the way that the door does."""

    def __init__(self, *codes: str | None) -> None:
        self.codes = list(codes)
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def call(self, service: str, operation: str, *, expected: Any = (), **params: Any) -> dict[str, Any]:
        self.calls.append((operation, params))
        code = self.codes.pop(0) if self.codes else None
        if code is None:
            return {}
        if code in expected:
            raise Refusal(code, "Could not shut down one or more job flows since they are termination protected.")
        raise failure(Reason.BUG, f"emr:{operation}: {code}.")


def target(answers: Any) -> Ec2Target:
    return Ec2Target(answers, "us-east-1", SimClock())


async def test_a_cluster_is_ended_by_one_call_that_names_it_alone() -> None:
    answers = Answers()
    assert await target(answers).release(HANDLE) is False
    assert answers.calls == [("TerminateJobFlows", {"JobFlowIds": ["j-1"]})]


async def test_protection_is_switched_off_for_a_cluster_that_carries_our_key_and_the_call_is_made_again() -> None:
    answers = Answers("ValidationException")
    assert await target(answers).release(HANDLE) is True
    assert answers.calls == [
        ("TerminateJobFlows", {"JobFlowIds": ["j-1"]}),
        ("SetTerminationProtection", {"JobFlowIds": ["j-1"], "TerminationProtected": False}),
        ("TerminateJobFlows", {"JobFlowIds": ["j-1"]}),
    ]


@pytest.mark.parametrize(
    "codes",
    [
        ("AccessDeniedException",),
        ("ValidationException", "AccessDeniedException"),
        ("ValidationException", None, "ValidationException"),
    ],
    ids=["at first", "as it is switched off", "refused again, for what was switched off is seen late"],
)
async def test_a_refusal_is_an_error_of_ours_so_that_the_release_is_repeated(codes: tuple[str | None, ...]) -> None:
    answers = Answers(*codes)
    with pytest.raises(RunError):
        await target(answers).release(HANDLE)
    await target(answers).release(HANDLE)
    assert answers.calls[-1][0] == "TerminateJobFlows"


async def test_a_cluster_that_never_was_needs_no_end() -> None:
    answers = Answers("InvalidRequestException")
    await target(answers).release(HANDLE)
    assert len(answers.calls) == 1

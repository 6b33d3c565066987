"""All checks of a configuration, asked at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from servo_emr.checks import account, launching, workspace
from servo_emr.checks.range import groups
from servo_emr.checks.result import Checked, Outcome, refused
from servo_emr.domain.ports import Preflight
from servo_emr.lifecycle.course import defect
from servo_emr.wiring import Live

__all__ = ["PATIENCE_S", "check_all"]

PATIENCE_S = 9.0
"""Real seconds for one check: somebody waits at a prompt, and a service that is silent must not hide the others."""


async def check_all(live: Live, patience_s: float = PATIENCE_S) -> tuple[Checked, ...]:
    """Asks everything at once; the answers in a fixed order. Raises nothing: a defect of a check is its answer.

    Args:
        live: assembled with `keeps_prices` False, so that check.json is all that is written.
    """
    spec = live.stage.spec(live.space.configured)
    allowed, cluster, limits = groups(live.space, spec), spec.cluster, spec.limits
    names = list(dict.fromkeys(name for group in allowed for name in group.types))
    asked = asyncio.create_task(launching.asked_types(live.target, spec, names))

    async def surveyed() -> dict[str, Preflight]:
        return await asyncio.shield(asked)

    async def release() -> Checked:
        return launching.release(spec, await surveyed())

    async def types() -> Checked:
        return launching.types(spec, allowed, await surveyed())

    async def quota() -> list[Checked]:
        return await account.vcpu_quota(live.account, allowed, launching.vcpus(await surveyed()), limits)

    questions: list[tuple[str, Awaitable[Checked | list[Checked]]]] = [
        ("credentials", account.identity(live.account)),
        ("service role", account.service_role(live.account, cluster)),
        ("instance profile", account.instance_profile(live.account, cluster)),
        ("workspace", workspace.round_trip(live.workspace, live.clock)),
        ("notebook", launching.notebook(live.packer, spec)),
        ("release label", release()),
        ("instance types", types()),
        ("subnets", account.addresses(live.account, cluster, allowed, limits)),
        ("vCPU quota", quota()),
        ("prices", launching.prices(live.book, spec, names)),
        ("log URI", workspace.logs(live.account, spec)),
        ("lease", workspace.lease_free(live.lease)),
        ("breaker", workspace.may_launch(live.workspace, live.clock, spec)),
        ("clusters", workspace.clusters(live.target, live.workspace)),
    ]
    try:
        answers = await asyncio.gather(*(_answer(name, question, patience_s) for name, question in questions))
    finally:
        asked.cancel()
    return tuple(result for answer in answers for result in answer)


async def _answer(name: str, question: Awaitable[Checked | list[Checked]], patience_s: float) -> Sequence[Checked]:
    try:
        async with asyncio.timeout(patience_s):
            answer = await question
    except TimeoutError:
        return [
            Checked(name, Outcome.NOT_CHECKED, f"no answer in {patience_s:g} s", "Check network, proxy and region.")
        ]
    except Exception as bug:  # noqa: BLE001 - one check's defect must not hide what the others found
        return [refused(name, defect(bug))]
    return answer if isinstance(answer, list) else [answer]

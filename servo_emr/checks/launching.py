"""What a launch needs beyond the account: the release, every type that may be tried, their prices, the notebook."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping

from servo_emr.checks.range import Group, on_one
from servo_emr.checks.result import Checked, Outcome, failed, not_asked, passed, refused, warned
from servo_emr.domain.errors import Reason, RunError
from servo_emr.domain.ports import Finding, LaunchTarget, Packer, Preflight, PriceBook
from servo_emr.domain.spec import RunKey, RunSpec

__all__ = ["asked_types", "notebook", "prices", "release", "types", "vcpus"]

NO_RUN = RunKey("s3://workspace", "workspace-id", "00000000t000000-00000000")
"""Stands for a run that there will never be."""


async def asked_types(target: LaunchTarget, spec: RunSpec, inst_types: Iterable[str]) -> dict[str, Preflight]:
    """What AWS says of each type by itself. One after another: each answer is remembered for those that follow."""
    return {name: await target.preflight(on_one(spec, name)) for name in inst_types}


def vcpus(asked: Mapping[str, Preflight]) -> dict[str, int]:
    """vCPUs of the types whose size was told."""
    return {name: count for preflight in asked.values() for name, count in preflight.vcpus.items()}


def release(spec: RunSpec, asked: Mapping[str, Preflight]) -> Checked:
    """Whether EMR knows the release label."""
    name = "release label"
    wrong = _first(asked, lambda finding: finding.certain and finding.reason is Reason.RELEASE_LABEL)
    if wrong is not None:
        return failed(name, wrong.reason, wrong.message, wrong.remedy)
    told = any(type_ in preflight.vcpus for type_, preflight in asked.items())
    unasked = _first(asked, lambda finding: not finding.certain)
    if not told and unasked is not None:
        return Checked(name, Outcome.NOT_CHECKED, unasked.message, unasked.remedy)
    return passed(name, f"EMR knows {spec.cluster.release_label}")


def types(spec: RunSpec, allowed: tuple[Group, ...], asked: Mapping[str, Preflight]) -> Checked:
    """Whether the release supports every type that may be tried, and a configured zone offers it."""
    name = "instance types"
    wrong = [
        finding
        for preflight in asked.values()
        for finding in preflight.findings
        if finding.certain and finding.reason is Reason.TYPE_UNSUPPORTED
    ]
    if wrong:
        messages = dict.fromkeys(finding.message for finding in wrong)
        return failed(
            name,
            Reason.TYPE_UNSUPPORTED,
            " ".join(messages),
            " ".join(dict.fromkeys(finding.remedy for finding in wrong)),
        )
    unasked = _first(asked, lambda finding: not finding.certain)
    if unasked is not None:
        return Checked(name, Outcome.NOT_CHECKED, unasked.message, unasked.remedy)
    apart = _never_together(spec, allowed, asked)
    if apart:
        return warned(
            name,
            f"in no zone of emr.cluster.subnet_ids together: {'; '.join(apart)}",
            "Name a subnet in a zone that offers both; until then settings that combine them are refused.",
        )
    return passed(name, f"{', '.join(asked)}: supported by {spec.cluster.release_label} and offered")


def _never_together(spec: RunSpec, allowed: tuple[Group, ...], asked: Mapping[str, Preflight]) -> list[str]:
    """Pairs of types of two roles that share no subnet: a cluster lives in one."""
    if not spec.cluster.subnet_ids:
        return []
    pairs = [
        (first, second)
        for n, one in enumerate(allowed)
        for other in allowed[n + 1 :]
        for first in one.types
        for second in other.types
        if not set(asked[first].subnet_ids) & set(asked[second].subnet_ids)
    ]
    return [f"{first} and {second}" for first, second in dict.fromkeys(pairs)]


def _first(asked: Mapping[str, Preflight], wanted: Callable[[Finding], bool]) -> Finding | None:
    return next((f for preflight in asked.values() for f in preflight.findings if wanted(f)), None)


async def prices(book: PriceBook, spec: RunSpec, inst_types: Iterable[str]) -> Checked:
    """Whether every type has a price: an unknown one refuses every setting that holds it."""
    name = "prices"
    wanted = list(inst_types)
    answers = await asyncio.gather(*(book.quote(on_one(spec, t)) for t in wanted), return_exceptions=True)
    sources: dict[str, None] = {}
    for answer in answers:
        if isinstance(answer, RunError):
            return refused(name, answer) if answer.reason is Reason.PRICE else not_asked(name, answer)
        if isinstance(answer, BaseException):
            raise answer
        sources |= dict.fromkeys(rate.ec2_source for rate in answer.rates.values())
    notes = dict.fromkeys(note for answer in answers if not isinstance(answer, BaseException) for note in answer.notes)
    if notes:
        return warned(name, "; ".join(notes), "`servo-emr prices` shows each price with its source.")
    return passed(name, f"known for {', '.join(wanted)} ({'; '.join(sources)})")


async def notebook(packer: Packer, spec: RunSpec) -> Checked:
    """Whether the job's notebooks and programs are there, and its notebooks know the parameters that they are given."""
    name = "notebook"
    try:
        package = await packer.pack(spec, NO_RUN)
    except RunError as error:
        return refused(name, error)
    given = ", ".join(spec.job.parameter_values) or "none"
    programs = [step.source for step in spec.steps if step.source is not None and step.repeat == 1]
    what = ", ".join(dict.fromkeys(filter(None, (spec.job.notebook, *programs)))) or "no program of its own"
    return passed(name, f"{what}, SHA-256 {package.notebook_sha256[:12]}; parameters: {given}")

"""The stages of `emr.job` as the steps of a cluster, and what they say only together with the rest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from servo_emr.domain.spark import SIZED
from servo_emr.domain.spec import COMMAND_RUNNER, INPUTS, JobStage, Kind, Step, canonical
from servo_emr.domain.trial import references
from servo_emr.notebook import step as ours
from servo_emr.sections.cluster import ClusterSection
from servo_emr.sections.job import JobSection
from servo_emr.sections.steps import (
    ApplicationStep,
    CommandStep,
    JarStep,
    NotebookStep,
    RestoreStep,
    ScriptStep,
    StepSection,
)

__all__ = ["check_stages", "job_steps", "referring"]

_CHARACTERS, _STEPS = 10_240, 256
"""What EMR takes of a step's texts, and of steps in one request."""
_REFERRING = ("parameters", "args", "conf", "command", "properties")
"""The keys of a step in which references are filled."""
_PLAIN = ("notebook", "script", "application", "restore", "jar", "main_class", "py_files", "jars")
"""Those in which one would be taken for a part of a name."""


def _items(job: JobSection) -> Iterator[tuple[JobStage, int, StepSection]]:
    """Every step of the stages with its place, counted from 0."""
    for stage in JobStage:
        for number, item in enumerate(getattr(job, str(stage))):
            yield stage, number, item


def job_steps(job: JobSection, cluster: ClusterSection) -> tuple[Step, ...]:
    """All steps of a run, in the order in which they run: preparation, the measured ones once a repeat, clean-up."""
    steps = {stage: [(n, item) for at, n, item in _items(job) if at is stage] for stage in JobStage}
    applications, guarded = tuple(cluster.applications), bool(job.cleanup)

    def made(stage: JobStage, number: int, item: StepSection, repeat: int = 1) -> Step:
        return _step(stage, number, item, repeat, job.repeats, applications, guarded)

    measured = [
        made(JobStage.RUN, n, item, repeat) for repeat in range(1, job.repeats + 1) for n, item in steps[JobStage.RUN]
    ] or [Step(ours.name(n, job.repeats), ours.argv(applications, n), True, n) for n in range(1, job.repeats + 1)]
    before = [made(JobStage.PREPARE, n, item) for n, item in steps[JobStage.PREPARE]]
    after = [made(JobStage.CLEANUP, n, item) for n, item in steps[JobStage.CLEANUP]]
    return (*before, *measured, *after)


def _step(
    stage: JobStage, number: int, item: StepSection, repeat: int, repeats: int, applications: Any, guarded: bool
) -> Step:
    folder = f"{stage}-{number + 1}/"
    many = f", {repeat} of {repeats}" if stage is JobStage.RUN and repeats > 1 else ""
    fields: dict[str, Any] = {
        "name": f"{item.title}{many}",
        "measured": stage is JobStage.RUN,
        "repeat": repeat,
        "stage": stage,
        "kind": item.kind,
        "timeout_s": None if item.timeout is None else item.timeout.total_seconds(),
    }
    if isinstance(item, JarStep) and not (guarded and stage is not JobStage.CLEANUP and _is_command(item)):
        return Step(
            **fields,
            argv=tuple(item.args),
            jar=item.jar,
            asked=_asked(item.jar, item.args, item.main_class, item.properties),
            reads=(item.jar,) if item.jar.startswith("s3://") else (),
            main_class=item.main_class,
            properties=tuple(sorted(item.properties.items())),
            on_failure=item.action_on_failure,
        )
    if isinstance(item, NotebookStep):
        words = ours.argv(applications, repeat, folder)
        fields |= {"source": item.notebook, "parameters": canonical(item.parameters), "kernel": item.kernel}
        return Step(**fields, argv=words, folder=folder)
    command, more = _command(item)
    kind = Kind.COMMAND if isinstance(item, JarStep) else item.kind
    return Step(
        **{**fields, "kind": kind},
        argv=ours.command_argv(repeat, folder),
        folder=folder,
        command=command,
        asked=_asked(command),
        **more,
    )


def _asked(*words: Any) -> str:
    return hashlib.sha256(canonical(list(words)).encode()).hexdigest()


def _is_command(item: JarStep) -> bool:
    return item.jar == COMMAND_RUNNER and item.main_class is None and not item.properties


def _command(item: StepSection) -> tuple[tuple[str, ...], dict[str, Any]]:
    """What our runner runs for an item, and what else its step has."""
    match item:
        case CommandStep():
            return tuple(item.command), {}
        case ScriptStep():
            return ("{run.program}", *item.args), {"source": item.script}
        case RestoreStep():
            to = "{run.inputs}/" + (f"{item.into}/" if item.into else "")
            source = f"{item.restore.rstrip('/')}/"
            words = ("aws", "s3", "cp", "--recursive", "--only-show-errors", source, to)
            return words, {"reads": (source,)}
        case ApplicationStep():
            return _application(item)
        case JarStep():
            return tuple(item.args), {}
    raise TypeError(f"{type(item).__name__} is no step of ours")


def _application(item: ApplicationStep) -> tuple[tuple[str, ...], dict[str, Any]]:
    # A jar in S3 may be large, and Spark fetches it itself; everything else is kept with the run.
    in_place = item.application.startswith("s3://") and item.application.endswith(".jar")
    words = ["spark-submit", "--deploy-mode", "client"]
    words += ["--class", item.main_class] if item.main_class else []
    words += ["--py-files", ",".join(item.py_files)] if item.py_files else []
    words += ["--jars", ",".join(item.jars)] if item.jars else []
    words += [word for name, value in item.conf.items() for word in ("--conf", f"{name}={value}")]
    words += [item.application if in_place else "{run.program}", *item.args]
    reads = (*([item.application] if in_place else []), *item.py_files, *item.jars)
    return tuple(words), {"source": None if in_place else item.application, "reads": reads}


def referring(job: JobSection) -> Iterator[tuple[str, Any]]:
    """(place, value) of everything in the job that may hold references."""
    for name, value in job.parameters.items():
        yield f"parameters -> {name}", value
    for stage, number, item in _items(job):
        for key in _REFERRING:
            if getattr(item, key, None):
                yield f"{stage} -> {number} -> {key}", getattr(item, key)


def check_stages(job: JobSection, cluster: ClusterSection, workspace: str) -> None:
    """Refuses what the stages say only together.

    Raises:
        ValueError: naming the keys.
    """
    for stage, number, item in _items(job):
        _check_item(f"job -> {stage} -> {number}", stage, item, cluster, workspace)
    if cluster.step_concurrency > 1 and (job.prepare or job.cleanup):
        stage_named = "prepare" if job.prepare else "cleanup"
        raise ValueError(
            f"job -> {stage_named}: with cluster.step_concurrency {cluster.step_concurrency} it would run beside the "
            "measured steps: set it to 1"
        )
    steps = job_steps(job, cluster)
    if len(steps) > _STEPS:
        raise ValueError(f"job: {len(steps)} steps, repeats counted, and EMR takes {_STEPS} at once")
    if job.kernel != job.__fields__["kernel"].default and all(step.kind is not Kind.NOTEBOOK for step in steps):
        raise ValueError(f"job -> kernel {job.kernel} is for notebooks, and no step is one: take it out")
    if job.wheels is not None and not any(step.ours for step in steps):
        raise ValueError("job -> wheels are what our runners need, and EMR runs all of these steps: take it out")
    _check_failures(job, cluster, steps)
    _check_metrics(job)
    into = [item.into for _, _, item in _items(job) if isinstance(item, RestoreStep)]
    if len(into) > 1 and (None in into or len(set(into)) < len(into)):
        raise ValueError("job -> prepare: of several restore steps each needs an 'into' of its own")


def _check_item(place: str, stage: JobStage, item: StepSection, cluster: ClusterSection, workspace: str) -> None:
    for key in _PLAIN:
        if found := sorted(references(getattr(item, key, None))):
            raise ValueError(
                f"{place} -> {key}: {{{found[0]}}} is not filled here, but in {', '.join(_REFERRING)}: name the place "
                "itself, or give the reference to a command that finds it"
            )
    if isinstance(item, ApplicationStep) and cluster.spark == "auto":
        for name in (name for name in SIZED if name in item.conf):
            raise ValueError(f"{place} -> conf: cluster.spark: auto sets {name}: take it out, or auto")
    if isinstance(item, ApplicationStep) and "spark" not in {name.lower() for name in cluster.applications}:
        raise ValueError(f"{place}: an application is run by spark-submit: add Spark to cluster.applications")
    if isinstance(item, JarStep) and len(item.jar) + sum(map(len, item.args)) > _CHARACTERS:
        raise ValueError(f"{place}: EMR takes {_CHARACTERS} characters of jar and args together: write a script")
    if isinstance(item, RestoreStep):
        if stage is not JobStage.PREPARE:
            raise ValueError(f"{place}: restore stands in job.prepare: it copies what the measured steps read")
        runs, source = f"{workspace.rstrip('/')}/runs/", f"{item.restore.rstrip('/')}/"
        if source.startswith(runs) or runs.startswith(source):
            raise ValueError(
                f"{place} -> restore: {item.restore} and the folders of the runs, {runs}, lie in one another: a copy "
                f"into {runs}<run-id>/{INPUTS}/ would grow with every run; keep what is restored somewhere else"
            )


def _check_failures(job: JobSection, cluster: ClusterSection, steps: tuple[Step, ...]) -> None:
    """What may happen after a failed step, where clean-up follows or several steps run at once."""
    deciding = [step for step in steps if step.stage is not JobStage.CLEANUP]
    for stage, number, item in _items(job):
        if not isinstance(item, JarStep):
            continue
        place, action = f"job -> {stage} -> {number}", item.action_on_failure
        if job.cleanup and action not in (None, "CONTINUE"):
            raise ValueError(
                f"{place} -> action_on_failure: {action} would keep job.cleanup from running: leave it out, or set "
                "CONTINUE"
            )
        if cluster.step_concurrency > 1 and action not in (None, "CONTINUE"):
            raise ValueError(f"{place} -> action_on_failure: with cluster.step_concurrency above 1 EMR takes CONTINUE")
        if job.cleanup and stage is not JobStage.CLEANUP and not _is_command(item) and len(deciding) > 1:
            raise ValueError(
                f"{place} -> jar: with job.cleanup EMR goes on after a failed step, and nothing of ours could keep "
                f"{item.jar} from running then: write it as a script, application or command, or do without cleanup"
            )


def _check_metrics(job: JobSection) -> None:
    measured = [item.kind for item in job.run] or [Kind.NOTEBOOK]
    told = set().union(*(references(value) for _, value in referring(job)))
    for name, metric in job.metrics.items():
        place = f"job -> metrics -> {name}"
        if metric.source == "notebook" and Kind.NOTEBOOK not in measured:
            raise ValueError(f"{place}: from: notebook, and job.run has no notebook; take from: output or file")
        if metric.source == "output" and set(measured) == {Kind.JAR}:
            raise ValueError(f"{place}: from: output, and what a jar prints is in EMR's logs alone; take from: file")
        if metric.source == "file" and "run.metrics" not in told:
            raise ValueError(f"{place}: from: file, and no step is given {{run.metrics}}, the place to write it to")
    if job.parameters and Kind.NOTEBOOK not in measured:
        raise ValueError("job -> parameters are a notebook's, and job.run has none: put {component.setting} into args")

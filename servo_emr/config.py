"""The `emr:` section of servo.yaml as a whole, and its way into a RunSpec and a settings Space."""

from __future__ import annotations

import difflib
from typing import Any, Literal

import pydantic
import servo

from servo_emr.aws.ec2_members import request_problems
from servo_emr.domain.bounds import EnumBound
from servo_emr.domain.settings import Space
from servo_emr.domain.spec import JobSpec, Kind, LimitSpec, Market, MetricSpec, Role, RunSpec, canonical
from servo_emr.domain.targets import ClusterField, NodeField, Parameter, Referred
from servo_emr.domain.trial import references
from servo_emr.lifecycle.figures import BUILT_IN
from servo_emr.notebook import step
from servo_emr.sections import (
    S3_URI,
    ClusterSection,
    ComponentsSection,
    JobSection,
    LimitsSection,
    PricesSection,
    all_settings,
    check_nodes,
    check_settings,
    check_stages,
    job_steps,
    known_keys,
    node_groups,
    referring,
)
from servo_emr.sections.steps import NotebookStep, RestoreStep

__all__ = ["EMRConfiguration"]

_MARKETS = tuple(NodeField(role, "market") for role in Role)


class EMRConfiguration(servo.BaseConfiguration):
    """Measures a notebook batch job on throwaway Amazon EMR clusters."""

    region: str = pydantic.Field(..., description="AWS region.", regex=r"^[a-z]{2}(-[a-z]+)+-\d$")
    target: Literal["ec2"] = pydantic.Field("ec2", description="The flavour of EMR.")
    workspace: str = pydantic.Field(..., description="S3 prefix; all that is written is under it.", regex=S3_URI)
    job: JobSection = pydantic.Field(..., description="The notebook and how it is run.")
    cluster: ClusterSection = pydantic.Field(..., description="The cluster, as far as it does not change.")
    components: ComponentsSection = pydantic.Field(..., description="What may be changed, and how far.")
    limits: LimitsSection = pydantic.Field(
        default_factory=LimitsSection, description="Ceilings, in USD, nodes, vCPUs and time."
    )
    prices: PricesSection = pydantic.Field(
        default_factory=PricesSection, description="Where prices come from, and which are good enough."
    )
    report_details: bool = pydantic.Field(
        False, description="Whether errors, tracebacks and URIs go to the optimizer too."
    )

    _known_keys = pydantic.root_validator(pre=True, allow_reuse=True)(known_keys)

    @pydantic.root_validator(skip_on_failure=True)
    def _references(cls, values: dict[str, Any]) -> dict[str, Any]:
        job, settings = values["job"], all_settings(values["components"])
        known = {"run_id", "run.metrics", *(setting.selector for setting in settings)}
        if any(isinstance(item, RestoreStep) for item in job.prepare):
            known.add("run.inputs")
        if any(setting.component == "run" for setting in settings):
            raise ValueError("components -> run: {run.inputs} and its like are places of a run: take another name")
        for name, value in referring(job):
            for reference in sorted(references(value) - known):
                near = difflib.get_close_matches(reference, known, 1)
                hint = f"did you mean {{{near[0]}}}? " if near else ""
                listed = ", ".join(f"{{{k}}}" for k in sorted(known))
                raise ValueError(f"job -> {name}: {{{reference}}} refers to nothing; {hint}known are {listed}")
        components = {setting.component for setting in settings}
        for reference in sorted(references(values["cluster"].properties) - known):
            # Elsewhere braces are anybody's own: Hadoop's ${user.name} is none of ours.
            if reference.partition(".")[0] in components:
                near = difflib.get_close_matches(reference, known, 1)
                meant = f": did you mean {{{near[0]}}}?" if near else ""
                raise ValueError(f"cluster -> configurations: {{{reference}}} refers to nothing{meant}")
        return values

    @pydantic.root_validator(skip_on_failure=True)
    def _settings_are_used(cls, values: dict[str, Any]) -> dict[str, Any]:
        told = set().union(*(references(value) for _, value in referring(values["job"])))
        told |= references(values["cluster"].properties)
        notebooks = bool(values["job"].first_notebook)
        own = [set(item.parameters) for item in values["job"].run if isinstance(item, NotebookStep)]
        for setting in all_settings(values["components"]):
            if isinstance(setting.place, Parameter) and not notebooks:
                raise ValueError(
                    f"components -> {setting.component} -> {setting.name}: its target is a notebook's parameter, and "
                    f"job.run has no notebook: leave target out, and put {{{setting.selector}}} into args"
                )
            if isinstance(setting.place, Parameter) and own and setting.place.name in set.intersection(*own):
                raise ValueError(
                    f"components -> {setting.component} -> {setting.name}: every notebook of job.run has a parameter "
                    f"{setting.place.name} of its own, which stands before it: take those out"
                )
            if isinstance(setting.place, Referred) and setting.selector not in told:
                raise ValueError(
                    f"components -> {setting.component} -> {setting.name}: it has no target, and nothing refers to "
                    f"{{{setting.selector}}}: nothing would change with it"
                )
        return values

    @pydantic.root_validator(skip_on_failure=True)
    def _stages_make_a_job(cls, values: dict[str, Any]) -> dict[str, Any]:
        check_stages(values["job"], values["cluster"], values["workspace"])
        return values

    @pydantic.root_validator(skip_on_failure=True)
    def _nodes_make_a_cluster(cls, values: dict[str, Any]) -> dict[str, Any]:
        check_nodes(values["components"], values["cluster"], values["job"].repeats)
        return values

    @pydantic.root_validator(skip_on_failure=True)
    def _is_a_request(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Whatever passes the rules above is still held against the service's own model."""
        config = cls.construct(**values)
        spec = config.to_spec()
        check_settings(list(config.space.settings), spec)
        # With the settings in their places: what a launch asks for.
        wrong = request_problems(config.space.apply(spec, config.space.configured))
        if wrong:
            raise ValueError("; ".join(wrong))
        return values

    @classmethod
    def generate(cls, **kwargs: Any) -> EMRConfiguration:
        """A valid example, for `servo generate`."""
        sample: dict[str, Any] = {
            "description": "A notebook batch job on throwaway EMR clusters",
            "region": "us-east-1",
            "workspace": "s3://acme-servo/nightly-etl",
            "job": {
                "notebook": "s3://acme-notebooks/etl.ipynb",
                "parameters": {"out": "s3://acme-data/out/{run_id}"},
                "timeout": "2h",
                "expected_duration": "20m",
            },
            "cluster": {
                "release_label": "emr-7.1.0",
                "applications": ["Spark"],
                "log_uri": "s3://acme-servo/nightly-etl/logs",
            },
            "components": {
                "primary": {"inst_type": {"values": ["m5.xlarge"], "value": "m5.xlarge", "pinned": True}},
                "core": {
                    "inst_type": {"values": ["m5.xlarge", "c5.xlarge", "r5.xlarge"], "value": "m5.xlarge"},
                    "replicas": {"min": 2, "max": 12, "value": 4},
                },
            },
            "limits": {
                "cost_per_run": 5.0,
                "cost_per_hour": 20.0,
                "spend_per_day": 100.0,
                "nodes": 20,
                "vcpus": 256,
            },
        }
        return cls(**{**sample, **kwargs})

    @property
    def space(self) -> Space:
        """The settings and their bounds."""
        return Space(tuple(all_settings(self.components)))

    def to_spec(self) -> RunSpec:
        """The run as the sections have it; `space` puts the values of settings into it."""
        job, cluster, limits = self.job, self.cluster, self.limits
        steps = job_steps(job, cluster)
        notebooks = any(one.kind is Kind.NOTEBOOK for one in steps)
        spec = RunSpec(
            region=self.region,
            groups=node_groups(self.components, cluster),
            cluster=cluster.to_domain(),
            job=JobSpec(
                notebook=job.first_notebook,
                parameters=canonical(job.parameters),
                kernel=job.kernel,
                timeout_s=job.timeout.total_seconds(),
                expected_s=job.expected_duration.total_seconds(),
                wheels=job.wheels,
                repeats=job.repeats,
                metrics=tuple(
                    MetricSpec(name, m.source, (m.pattern if m.source == "output" else m.name) or "", m.unit)
                    for name, m in job.metrics.items()
                ),
            ),
            steps=steps,
            bootstrap=step.bootstrap(job.wheels, notebooks) if any(one.ours for one in steps) else (),
            limits=LimitSpec(
                cost_per_run=limits.cost_per_run,
                cost_per_hour=limits.cost_per_hour,
                spend_per_day=limits.spend_per_day,
                unproductive_spend=limits.unproductive_spend,
                provisioning_s=limits.provisioning.total_seconds(),
                nodes=limits.nodes,
                vcpus=limits.vcpus,
            ),
        )
        return spec

    @property
    def may_be_on_spot(self) -> bool:
        """Whether any nodes are bought on spot, or may be."""
        chosen = [setting.bound for setting in self.space.settings if setting.place in _MARKETS]
        by_setting = any(isinstance(bound, EnumBound) and Market.SPOT in bound.values for bound in chosen)
        return by_setting or any(group.on_spot for group in self.to_spec().groups)

    @property
    def has_images(self) -> bool:
        """Whether any node starts from an image of the user's own, or may."""
        spec = self.to_spec()
        named = [spec.cluster.ami_id, *(group.ami_id for group in spec.groups)]
        return any(named) or any(setting.place == ClusterField("ami_id") for setting in self.space.settings)

    @property
    def units(self) -> dict[str, str]:
        """Every metric of this configuration with its unit."""
        return {**BUILT_IN, **{name: metric.unit for name, metric in self.job.metrics.items()}}

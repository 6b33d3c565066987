"""The `emr:` section of servo.yaml as a whole, and its way into a RunSpec and a settings Space."""

from __future__ import annotations

from typing import Any, Literal

import pydantic
import servo

from servo_emr.aws.ec2_members import request_problems
from servo_emr.domain.settings import EnumBound, RangeBound, Setting, Space
from servo_emr.domain.spec import JobSpec, LimitSpec, MetricSpec, RunSpec, Step, canonical
from servo_emr.domain.trial import references
from servo_emr.lifecycle.figures import BUILT_IN
from servo_emr.notebook import step
from servo_emr.sections import (
    S3_URI,
    ClusterSection,
    ComponentsSection,
    GroupSection,
    JobSection,
    LimitsSection,
    PricesSection,
    by_role,
    check_nodes,
    known_keys,
    node_groups,
)

__all__ = ["EMRConfiguration"]


class EMRConfiguration(servo.BaseConfiguration):
    """Measures a notebook batch job on throwaway Amazon EMR clusters."""

    region: str = pydantic.Field(..., description="AWS region.", regex=r"^[a-z]{2}(-[a-z]+)+-\d$")
    target: Literal["ec2"] = pydantic.Field("ec2", description="The flavour of EMR.")
    workspace: str = pydantic.Field(..., description="S3 prefix; all that is written is under it.", regex=S3_URI)
    job: JobSection
    cluster: ClusterSection
    components: ComponentsSection
    limits: LimitsSection = pydantic.Field(default_factory=LimitsSection)
    prices: PricesSection = pydantic.Field(default_factory=PricesSection)
    report_details: bool = pydantic.Field(
        False, description="Whether errors, tracebacks and URIs go to the optimizer too."
    )

    _known_keys = pydantic.root_validator(pre=True, allow_reuse=True)(known_keys)

    @pydantic.root_validator(skip_on_failure=True)
    def _references(cls, values: dict[str, Any]) -> dict[str, Any]:
        known = {"run_id", *(setting.selector for setting in _settings(values["components"]))}
        for name, value in values["job"].parameters.items():
            for reference in sorted(references(value) - known):
                hint = ", ".join(f"{{{k}}}" for k in sorted(known))
                raise ValueError(f"job -> parameters -> {name}: {{{reference}}} refers to nothing; known are {hint}")
        return values

    @pydantic.root_validator(skip_on_failure=True)
    def _nodes_make_a_cluster(cls, values: dict[str, Any]) -> dict[str, Any]:
        check_nodes(values["components"], values["cluster"], values["job"].repeats)
        return values

    @pydantic.root_validator(skip_on_failure=True)
    def _is_a_request(cls, values: dict[str, Any]) -> dict[str, Any]:
        """Whatever passes the rules above is still held against the service's own model."""
        spec = cls.construct(**values).to_spec()
        wrong = request_problems(spec)
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
            "job": {"notebook": "s3://acme-notebooks/etl.ipynb"},
            "cluster": {"release_label": "emr-7.1.0", "log_uri": "s3://acme-servo/nightly-etl/logs"},
            "components": {
                "primary": {"inst_type": {"values": ["m5.xlarge"], "value": "m5.xlarge", "pinned": True}},
                "core": {
                    "inst_type": {"values": ["m5.xlarge", "c5.xlarge", "r5.xlarge"], "value": "m5.xlarge"},
                    "replicas": {"min": 2, "max": 12, "value": 4},
                },
            },
            "limits": {"cost_per_run": 5.0, "cost_per_hour": 20.0, "nodes": 20, "vcpus": 256},
        }
        return cls(**{**sample, **kwargs})

    @property
    def space(self) -> Space:
        """The settings and their bounds."""
        return Space(tuple(_settings(self.components)))

    def to_spec(self) -> RunSpec:
        """The run that the configured values ask for."""
        job, cluster, limits = self.job, self.cluster, self.limits
        applications = tuple(cluster.applications)
        repeats = range(1, job.repeats + 1)
        steps = tuple(Step(step.name(n, job.repeats), step.argv(applications, n), True, n) for n in repeats)
        spec = RunSpec(
            region=self.region,
            groups=node_groups(self.components, cluster),
            cluster=cluster.to_domain(),
            job=JobSpec(
                notebook=job.notebook,
                parameters=canonical(job.parameters),
                kernel=job.kernel,
                timeout_s=job.timeout.total_seconds(),
                expected_s=job.expected_duration.total_seconds(),
                wheels=job.wheels,
                repeats=job.repeats,
                metrics=tuple(
                    MetricSpec(name, m.source, (m.name if m.source == "notebook" else m.pattern) or "", m.unit)
                    for name, m in job.metrics.items()
                ),
            ),
            steps=steps,
            bootstrap=step.bootstrap(job.wheels),
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
    def units(self) -> dict[str, str]:
        """Every metric of this configuration with its unit."""
        return {**BUILT_IN, **{name: metric.unit for name, metric in self.job.metrics.items()}}


def _settings(components: ComponentsSection) -> list[Setting]:
    settings = []
    for role, section in by_role(components):
        kind = section.inst_type
        settings.append(Setting(str(role), "inst_type", EnumBound(tuple(kind.values)), kind.value, kind.pinned))
        if isinstance(section, GroupSection):
            count = section.replicas
            bound = RangeBound(count.min, count.max, count.step)
            settings.append(Setting(str(role), "replicas", bound, count.value, count.pinned))
    return settings

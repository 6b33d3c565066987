"""The parts of the `emr:` section of servo.yaml, each a model with its own rules.

Unknown keys are errors that name the nearest known one, and a key exists only once it works.
"""

from __future__ import annotations

import difflib
import re
from typing import Any, Literal

import pydantic
import servo

from servo_emr.domain.settings import RangeBound
from servo_emr.domain.spec import canonical
from servo_emr.lifecycle.figures import BUILT_IN

__all__ = [
    "S3_URI",
    "ClusterSection",
    "ComponentsSection",
    "GroupSection",
    "JobSection",
    "LimitsSection",
    "PricesSection",
    "PrimarySection",
    "known_keys",
]

S3_URI = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[^\s]*)?$(?!\n)"
"""`$` alone lets a line end pass, which a YAML block brings along."""
_S3_OBJECT = r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]/[^\s]+$(?!\n)"
_INST_TYPE = r"^[a-z][a-z0-9-]*\.[a-z0-9-]+$"
_NAME = r"[A-Za-z_][A-Za-z0-9_]*"


def known_keys(cls: Any, values: dict[str, Any]) -> dict[str, Any]:
    """A validator that refuses keys which the model does not have."""
    known = [field.alias for field in cls.__fields__.values()]
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, 1)
            hint = f"did you mean '{near[0]}'?" if near else f"known are {', '.join(known)}"
            raise ValueError(f"unknown key '{key}': {hint}")
    return values


def _length(value: object) -> servo.Duration:
    """A duration above 0; one that servox's parser chokes on is an error like any other."""
    try:
        duration = servo.Duration.validate(value)
    except OverflowError:
        raise ValueError("is too long for a duration") from None
    if duration.total_seconds() <= 0:
        raise ValueError("must be longer than 0")
    return duration


class _Usd(pydantic.ConstrainedFloat):
    gt = 0
    allow_inf_nan = False


class _Count(pydantic.ConstrainedInt):
    strict = True
    ge = 1


class _ReleaseLabel(pydantic.ConstrainedStr):
    regex = r"^emr-\d+\.\d+\.\d+$"

    @classmethod
    def validate(cls, value: str) -> str:
        if not re.fullmatch(cls.regex, value):
            raise ValueError("must be a whole label, such as emr-7.1.0; `aws emr list-release-labels` shows them")
        return value


class _Section(pydantic.BaseModel):
    """A mapping in servo.yaml."""

    class Config:
        extra = pydantic.Extra.forbid
        validate_all = True
        allow_population_by_field_name = True
        json_encoders = {servo.Duration: str}

    _known_keys = pydantic.root_validator(pre=True, allow_reuse=True)(known_keys)

    @pydantic.validator("*", pre=True)
    def _no_bool(cls, value: object, field: pydantic.fields.ModelField) -> object:
        """For Python `true` is 1, and for nobody who writes a limit."""
        if isinstance(value, bool) and field.type_ in (_Count, _Usd):
            raise ValueError("must be a number")
        return value


class MetricSection(_Section):
    """A metric that the job reports itself."""

    source: Literal["notebook", "output"] = pydantic.Field(
        ..., alias="from", description="`notebook`: a scrapbook or papermill record; `output`: its printed text."
    )
    name: str | None = pydantic.Field(None, description="With `from: notebook`: the record's name.")
    pattern: str | None = pydantic.Field(
        None, description="With `from: output`: a regular expression whose first group is the number; the last match."
    )
    unit: str = pydantic.Field("", description="The unit, as the optimizer is to see it.", max_length=32)

    @pydantic.root_validator(skip_on_failure=True)
    def _fits_its_source(cls, values: dict[str, Any]) -> dict[str, Any]:
        wanted, other = ("name", "pattern") if values["source"] == "notebook" else ("pattern", "name")
        if values.get(wanted) is None or values.get(other) is not None:
            raise ValueError(f"from: {values['source']} takes '{wanted}' and no '{other}'")
        if values.get("pattern") is not None:
            try:
                groups = re.compile(values["pattern"]).groups
            except re.error as error:
                raise ValueError(f"pattern: not a regular expression: {error}") from None
            if groups < 1:
                raise ValueError("pattern: has no group; put the number's part in parentheses")
        return values


class JobSection(_Section):
    """The notebook and how it is run."""

    notebook: str = pydantic.Field(..., description="s3:// URI or local path of the notebook.", min_length=1)
    parameters: dict[str, Any] = pydantic.Field(
        {}, description="papermill parameters; {run_id} and {component.setting} may stand in texts."
    )
    kernel: str = pydantic.Field("python3", description="The Jupyter kernel on the cluster.", regex=r"^[\w.-]+$")
    timeout: servo.Duration = pydantic.Field("2h", description="The job's time limit; it holds on the cluster too.")
    expected_duration: servo.Duration = pydantic.Field("20m", description="First guess; history replaces it.")
    repeats: pydantic.conint(strict=True, ge=1, le=50) = pydantic.Field(  # type: ignore[valid-type]
        1, description="Measured runs of the job on one cluster, one after another; metrics are their medians."
    )
    repeat_disturbed: pydantic.conint(strict=True, ge=0, le=3) = pydantic.Field(  # type: ignore[valid-type]
        0, description="How often a run that was disturbed is run again, on another cluster, instead of being reported."
    )
    wheels: str | None = pydantic.Field(
        None, description="S3 prefix with the cluster's Python packages, for subnets without a way out.", regex=S3_URI
    )
    metrics: dict[str, MetricSection] = pydantic.Field({}, description="Metrics that the job reports itself.")

    @pydantic.validator("timeout", "expected_duration", pre=True)
    def _positive(cls, value: object) -> servo.Duration:
        return _length(value)

    @pydantic.validator("notebook")
    def _place(cls, value: str) -> str:
        if "://" in value and not re.match(_S3_OBJECT, value):
            raise ValueError("is neither s3://bucket/key nor a local path")
        return value

    @pydantic.validator("parameters")
    def _json(cls, value: dict[str, Any]) -> dict[str, Any]:
        for name, item in value.items():
            if not re.fullmatch(_NAME, name):
                raise ValueError(f"'{name}' cannot be a parameter's name: it must be a Python name")
            try:
                canonical(item).encode()
            except (TypeError, ValueError) as error:
                raise ValueError(f"'{name}' holds a value that JSON cannot say ({error}); quote it") from None
        return value

    @pydantic.validator("metrics")
    def _own_names(cls, value: dict[str, MetricSection]) -> dict[str, MetricSection]:
        for name in value:
            if name in BUILT_IN:
                raise ValueError(f"'{name}' is a built-in metric; choose another name")
            if not re.fullmatch(r"[A-Za-z][\w.-]{0,63}", name):
                raise ValueError(f"'{name}' cannot be a metric's name: letters, digits, '.', '_' and '-'")
        return value


class ClusterSection(_Section):
    """The cluster, as far as it does not change from trial to trial."""

    release_label: _ReleaseLabel = pydantic.Field(..., description="EMR release.")
    applications: list[str] = pydantic.Field(["Spark"], description="Applications that EMR installs.")
    subnet_ids: list[pydantic.constr(regex=r"^subnet-[0-9a-z]+$")] = pydantic.Field(  # type: ignore[valid-type]
        [], description="Subnets that a cluster may be launched in; none: the account's default."
    )
    service_role: str = pydantic.Field("EMR_DefaultRole", description="EMR's service role.", min_length=1)
    instance_profile: str = pydantic.Field(
        "EMR_EC2_DefaultRole", description="Instance profile of the nodes.", min_length=1
    )
    log_uri: str | None = pydantic.Field(None, description="S3 prefix of EMR's logs; none: no logs.", regex=S3_URI)
    tags: dict[str, str] = pydantic.Field({}, description="Tags of the cluster and its instances.")

    @pydantic.validator("tags")
    def _tags(cls, value: dict[str, str]) -> dict[str, str]:
        for key, item in value.items():
            if not 0 < len(key) <= 128 or len(item) > 256 or key.lower().startswith(("aws:", "servo-emr:")):
                raise ValueError(f"'{key}': at most 128 characters for a key, 256 for a value, no aws: or servo-emr:")
        return value


class InstTypeSection(_Section):
    """Which instance types a group may have."""

    values: list[pydantic.constr(regex=_INST_TYPE)] = pydantic.Field(  # type: ignore[valid-type]
        ..., description="The types that may be tried.", min_items=1
    )
    value: str = pydantic.Field(..., description="The type to begin with.")
    pinned: bool = pydantic.Field(False, description="Whether the optimizer must leave it alone.")

    @pydantic.validator("value")
    def _allowed(cls, value: str, values: dict[str, Any]) -> str:
        if "values" in values and value not in values["values"]:
            raise ValueError(f"'{value}' is not in values ({', '.join(values['values'])}): add it, or change value")
        return value


class ReplicasSection(_Section):
    """How many nodes a group may have."""

    min: pydantic.conint(strict=True, ge=1) = pydantic.Field(..., description="The fewest nodes.")  # type: ignore[valid-type]
    max: pydantic.StrictInt = pydantic.Field(..., description="The most nodes.")
    step: _Count = pydantic.Field(  # type: ignore[assignment]
        1, description="The distance between values that may be tried."
    )
    value: pydantic.StrictInt = pydantic.Field(..., description="The number to begin with.")
    pinned: bool = pydantic.Field(False, description="Whether the optimizer must leave it alone.")

    @pydantic.root_validator(skip_on_failure=True)
    def _order(cls, values: dict[str, Any]) -> dict[str, Any]:
        low, high, step_, value = (values[key] for key in ("min", "max", "step", "value"))
        if low > high:
            raise ValueError(f"min {low} is above max {high}: exchange them")
        try:
            RangeBound(low, high, step_).coerce(value)
        except ValueError as error:
            raise ValueError(f"value {value} {error}: change value, or the bounds") from None
        return values


class _BoughtSection(_Section):
    """How the nodes of a role are bought."""

    market: Literal["on-demand", "spot"] = pydantic.Field(
        "on-demand", description="Spot nodes cost less and may be taken back at any time, the run with them."
    )
    bid_price: _Usd | None = pydantic.Field(
        None, description="With `market: spot`: the most to pay for one node, USD per hour; none: its on-demand price."
    )

    @pydantic.root_validator(skip_on_failure=True)
    def _bid_for_spot(cls, values: dict[str, Any]) -> dict[str, Any]:
        bid = values.get("bid_price")
        if bid is not None and values["market"] != "spot":
            raise ValueError("bid_price is for spot nodes: set market: spot beside it, or take it out")
        if bid is not None and round(bid, 3) != bid:
            raise ValueError(f"bid_price {bid:g} has more than the three decimals that EMR takes: round it")
        return values


class PrimarySection(_BoughtSection):
    """The primary node: there is one."""

    inst_type: InstTypeSection


class GroupSection(_BoughtSection):
    """The core or task nodes."""

    inst_type: InstTypeSection
    replicas: ReplicasSection


class ComponentsSection(_Section):
    """What can be adjusted: one component for each role of node."""

    primary: PrimarySection
    core: GroupSection
    task: GroupSection | None = None


class LimitsSection(_Section):
    """Ceilings, in USD, nodes and vCPUs. A limit that is not set does not hold."""

    cost_per_run: _Usd | None = pydantic.Field(None, description="USD; the run is stopped.")
    cost_per_hour: _Usd | None = pydantic.Field(
        None, description="USD per hour of the whole cluster; refused when adjusted."
    )
    spend_per_day: _Usd | None = pydantic.Field(
        None, description="USD over all runs of the workspace in 24 hours; then nothing is launched."
    )
    unproductive_spend: _Usd | None = pydantic.Field(
        None, description="USD spent in a row without a measurement; then the breaker opens."
    )
    provisioning: servo.Duration = pydantic.Field("20m", description="From the launch to the first step.")
    nodes: _Count | None = pydantic.Field(None, description="All nodes of a cluster.")
    vcpus: _Count | None = pydantic.Field(None, description="All vCPUs of a cluster.")

    @pydantic.validator("provisioning", pre=True)
    def _positive(cls, value: object) -> servo.Duration:
        return _length(value)


class PinnedPrice(_Section):
    """A price that you know better: USD per instance-hour."""

    ec2: _Usd
    fee: _Usd


class PinnedStorage(_Section):
    """A price of EBS that you know better: USD per month."""

    gib_month: _Usd = pydantic.Field(..., description="For a GiB.")
    iops_month: _Usd | None = pydantic.Field(None, description="For a provisioned IOPS.")
    throughput_month: _Usd | None = pydantic.Field(None, description="For a provisioned MiB/s.")


class PricesSection(_Section):
    """Where prices come from, and which are good enough."""

    live: bool = pydantic.Field(
        True, description="Whether AWS's price list is asked first (pricing:GetProducts); then the packaged table."
    )
    allow_estimated_fees: bool = pydantic.Field(
        False, description="Whether an EMR fee estimated as 25 % of the EC2 price may be used."
    )
    overrides: dict[str, PinnedPrice] = pydantic.Field({}, description="Prices by instance type, in the region.")
    ebs: dict[Literal["gp2", "gp3", "io1", "st1", "sc1", "standard"], PinnedStorage] = pydantic.Field(
        {}, description="Prices of EBS by kind of volume, in the region."
    )

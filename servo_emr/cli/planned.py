"""What would be launched, for people: the parts with a + before them, changes with a ~, dollars, limits, findings.

Pure: an appraisal into text. Nothing is asked here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servo_emr.cli.output import dollars, fitted, seconds
from servo_emr.cli.tables import table
from servo_emr.domain.bounds import text_of
from servo_emr.domain.cluster import FleetType
from servo_emr.domain.money import Estimate
from servo_emr.domain.settings import EnumBound, Setting, Value
from servo_emr.domain.spec import Kind, NodeGroup, Role, RunSpec
from servo_emr.lifecycle.guards import most_vcpus
from servo_emr.lifecycle.stage import Appraisal

__all__ = ["Planned", "changes", "limits", "plan_page", "summary"]

_LIKELY = {
    "cost_per_run": "likely",
    "spend_per_day": "in the last 24 hours",
}
_STYLES = {"+": "green", "~": "yellow", "!": "red", "-": ""}


@dataclass(frozen=True)
class Planned:
    """All that is known of a launch before it.

    before: what is staged now; values: what would run; day: the dollars of the last 24 hours, None where they could
    not be read; warnings: what had to be said besides the appraisal's own.
    """

    spec: RunSpec
    settings: Sequence[Setting]
    before: Mapping[str, Value]
    values: Mapping[str, Value]
    appraisal: Appraisal
    day: float | None
    warnings: Sequence[str]
    workspace: str


def changes(planned: Planned) -> list[dict[str, Any]]:
    """Each setting with its value before and after, whether it changes, and its bounds."""
    return [
        {
            "setting": setting.selector,
            "before": planned.before.get(setting.selector),
            "after": planned.values[setting.selector],
            "changes": planned.before.get(setting.selector) != planned.values[setting.selector],
            "bounds": _bounds(setting),
        }
        for setting in planned.settings
    ]


def _bounds(setting: Setting) -> str:
    bound = setting.bound
    allowed = ", ".join(map(text_of, bound.values)) if isinstance(bound, EnumBound) else f"{bound.low} to {bound.high}"
    return "pinned" if setting.pinned else allowed


def limits(planned: Planned) -> list[dict[str, Any]]:
    """Every limit that is set, with what this launch comes to and the room that is left; None where it is not known."""
    spec, estimate = planned.spec, planned.appraisal.estimate
    vcpus = planned.appraisal.preflight.vcpus
    known = all(name in vcpus for name in spec.inst_types)
    rows: list[tuple[str, float | None, float | None, str]] = [
        ("cost_per_run", spec.limits.cost_per_run, estimate.likely_usd, "USD"),
        ("cost_per_hour", spec.limits.cost_per_hour, estimate.ceiling_usd_per_hour, "USD"),
        ("spend_per_day", spec.limits.spend_per_day, planned.day, "USD"),
        ("nodes", spec.limits.nodes, spec.nodes, ""),
        ("vcpus", spec.limits.vcpus, most_vcpus(spec, vcpus) if known else None, ""),
        ("provisioning", spec.limits.provisioning_s, None, "s"),
    ]
    return [
        {
            "limit": name,
            "value": limit,
            "this": this,
            "room": None if this is None else limit - this,
            "unit": unit,
        }
        for name, limit, this, unit in rows
        if limit is not None
    ]


def plan_page(planned: Planned, width: int | None = None, colour: bool = False) -> str:
    """The page, in lines of at most `width` characters."""
    region = planned.spec.region
    head = f"This cluster would be launched in {region}, run the job and be ended:"
    parts = [
        f"{fitted(head, width)}\n{_marked(_launched(planned), width, colour)}",
        f"Settings (~ changes what is staged now):\n{_marked(_changed(planned), width, colour)}",
        table(_dollars(planned), width),
        fitted(_basis(planned), width),
        _limits_table(planned, width),
        _marked(_findings(planned), width, colour),
        fitted(summary(planned), width),
    ]
    return "\n\n".join(part for part in parts if part)


def _marked(rows: Sequence[tuple[str, str, str]], width: int | None, colour: bool) -> str:
    """Rows of (mark, name, text): the names below each other, the texts too."""
    taken = max((len(name) for _, name, _ in rows), default=0)
    lines = []
    for mark, name, text in rows:
        whole = fitted(f"  {mark or ' '} {name:<{taken}}  {text}".rstrip(), width)
        if colour and _STYLES.get(mark):
            whole = _painted(whole, _STYLES[mark])
        lines.append(whole)
    return "\n".join(lines)


def _painted(text: str, style: str) -> str:
    code = {"green": 32, "yellow": 33, "red": 31}[style]
    return "\n".join(f"\x1b[{code}m{line}\x1b[0m" for line in text.split("\n"))


def _launched(planned: Planned) -> list[tuple[str, str, str]]:
    spec = planned.appraisal.launchable(planned.spec)
    cluster, job = spec.cluster, spec.job
    repeats = f", {job.repeats} times one after another" if job.repeats > 1 else ""
    between = " or " if spec.fleets else ", "
    where = between.join(cluster.subnet_ids) or "the account's default subnet"
    applications = ", ".join(cluster.applications) or "no application"
    rows = [("+", "cluster", f"{cluster.release_label} with {applications}, in {where}")]
    rows += [("+", _role(group), _nodes(group)) for group in spec.groups if group.count]
    return [
        *rows,
        ("+", "roles", f"{cluster.service_role} (service), {cluster.instance_profile} (nodes)"),
        *_job(spec, repeats),
        ("+", "files", f"{planned.workspace}/runs/<run-id>/"),
        ("+", "logs", cluster.log_uri or "none: no emr.cluster.log_uri, so a failed step's logs are lost"),
    ]


def _job(spec: RunSpec, repeats: str) -> list[tuple[str, str, str]]:
    """The steps, each of a stage with what it runs and its limit; repeats of the measured ones once."""
    job = spec.job
    if all(step.source is None and step.kind is Kind.NOTEBOOK for step in spec.steps):
        return [("+", "job", f"{job.notebook} (kernel {job.kernel}), at most {seconds(job.timeout_s)}{repeats}")]
    rows = []
    for step in (step for step in spec.steps if step.repeat == 1):
        many = repeats if step.measured else ", not measured"
        what = step.source or (job.notebook if step.kind is Kind.NOTEBOOK else " ".join(step.command or step.argv))
        limit = f"at most {seconds(spec.limit_s(step))}" if step.ours else "ended by the servo alone"
        rows.append(("+", str(step.stage), f"{step.name}: {step.kind} {_short(what)}, {limit}{many}"))
    return rows


def _short(text: str) -> str:
    return text if len(text) <= 200 else f"{text[:197]}..."


def _role(group: NodeGroup) -> str:
    return "primary node" if group.role is Role.PRIMARY else f"{group.role} nodes"


def _nodes(group: NodeGroup) -> str:
    bid = "" if group.bid_usd is None else f", at most {dollars(group.bid_usd)} USD an hour for one"
    if group.fleet is None:
        return f"{group.count} x {group.inst_type}, {group.market}{bid}"
    on_demand, spot = group.units
    units = " + ".join(f"{n} {market}" for n, market in ((on_demand, "on-demand"), (spot, "spot")) if n)
    types = " or ".join(_of_fleet(group.fleet.of(name), spot > 0) for name in group.inst_types)
    waits = f"; after {group.fleet.spot_timeout_min} min without spot: {group.fleet.timeout_action}" if spot else ""
    return f"a fleet of {units} {'unit' if group.count == 1 else 'units'} of {types}{bid}{waits}"


def _of_fleet(one: FleetType, spot: bool) -> str:
    """A type of a fleet, with what holds for it alone."""
    facts = [f"{one.weight} units each"] if one.weight > 1 else []
    if spot and one.bid_usd is not None:
        facts.append(f"at most {dollars(one.bid_usd)} USD an hour")
    if spot and one.bid_percent is not None:
        facts.append(f"at most {one.bid_percent:g} % of its on-demand price")
    return f"{one.inst_type} ({', '.join(facts)})" if facts else one.inst_type


def _changed(planned: Planned) -> list[tuple[str, str, str]]:
    rows = []
    for change in changes(planned):
        moved = f"{change['before']} -> {change['after']}" if change["changes"] else str(change["after"])
        rows.append(("~" if change["changes"] else "", change["setting"], f"{moved}  ({change['bounds']})"))
    return rows


def _dollars(planned: Planned) -> list[dict[str, str]]:
    """The estimate by part: each row is of a time at a rate, which the parts are shares of."""
    estimate, repeats = planned.appraisal.estimate, planned.spec.job.repeats
    floor_s = 3600 * estimate.floor_usd / estimate.usd_per_hour if estimate.usd_per_hour else 0.0
    many = f", {repeats} repeats" if repeats > 1 else ""
    rows = [
        ("an hour", "", estimate.usd_per_hour, True),
        ("at least", seconds(floor_s), estimate.floor_usd, True),
        ("likely", f"{seconds(estimate.likely_s)}{many}", estimate.likely_usd, True),
        ("at every limit", seconds(estimate.high_s), estimate.high_usd, not _spot(estimate)),
    ]
    shown = [_dollar_row(*row, estimate) for row in rows]
    if _spot(estimate):
        shown.insert(1, _dollar_row("an hour at most", "", estimate.ceiling_usd_per_hour, False, estimate))
    return shown


def _spot(estimate: Estimate) -> bool:
    # The two are sums of the same prices in another order: what differs in the last digits alone is the same.
    return estimate.ceiling_usd_per_hour > estimate.usd_per_hour * (1 + 1e-9)


def _dollar_row(name: str, time: str, usd: float, parts: bool, estimate: Estimate) -> dict[str, str]:
    hours = usd / estimate.usd_per_hour if parts and estimate.usd_per_hour else 0.0
    return {
        "DOLLARS": name,
        "TIME": time,
        "USD": dollars(usd),
        # At the most that spot may cost the parts are others, and not known.
        "EC2": dollars(hours * estimate.ec2_usd_per_hour) if parts else "",
        "EMR FEE": dollars(hours * estimate.fee_usd_per_hour) if parts else "",
        "EBS": dollars(hours * estimate.ebs_usd_per_hour) if parts else "",
        "PRIMARY'S": dollars(hours * estimate.primary_usd_per_hour) if parts else "",
    }


def _basis(planned: Planned) -> str:
    estimate = planned.appraisal.estimate
    return f"PRIMARY'S is the primary node's part; at every limit: every time limit is reached. Basis: {estimate.basis}"


def _limits_table(planned: Planned, width: int | None) -> str:
    rows = limits(planned)
    shown = [
        {
            "LIMIT (emr.limits)": row["limit"],
            "AT MOST": _amount(row["value"], row["unit"]),
            "THIS RUN": _amount(row["this"], row["unit"]),
            "ROOM": _amount(row["room"], row["unit"]),
        }
        for row in rows
    ]
    unset = [
        name
        for name in ("cost_per_run", "cost_per_hour", "spend_per_day", "nodes", "vcpus")
        if name not in {row["limit"] for row in rows}
    ]
    for row in shown:
        if more := _LIKELY.get(row["LIMIT (emr.limits)"]):
            row["THIS RUN"] = f"{row['THIS RUN']} {more}" if row["THIS RUN"] else "not known"
    notes = [] if "cost_per_run" in unset else ["A run that passes cost_per_run is stopped."]
    notes += [f"Not set, so not limited: {', '.join(unset)}."] if unset else []
    return "\n".join((table(shown, width), *(fitted(note, width) for note in notes)))


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ""
    return {"USD": f"{value:.4f} USD", "s": seconds(value)}.get(unit, f"{value:g}")


def _findings(planned: Planned) -> list[tuple[str, str, str]]:
    found = planned.appraisal.preflight.findings
    rows = [
        ("!" if finding.certain else "-", "Cannot run:" if finding.certain else "Mind:", _said(finding))
        for finding in found
    ]
    told = {finding.message for finding in found}
    more = [text for text in (*planned.warnings, *planned.appraisal.warnings) if text not in told]
    rows += [("-", "Mind:", text) for text in more]
    refusal = planned.appraisal.refusal
    return rows if refusal is None else [*rows, ("!", "Refused:", f"{refusal.reason}: {refusal}")]


def _said(finding: Any) -> str:
    between = "" if finding.message.endswith((".", "!", "?")) or not finding.remedy else "."
    return f"{finding.message}{between} {finding.remedy}".rstrip()


def summary(planned: Planned) -> str:
    """The plan in a line, as the last thing that is read."""
    changed = sum(change["changes"] for change in changes(planned))
    refusal = planned.appraisal.refusal
    if refusal is not None:
        return f"Plan: nothing would be launched: {refusal.reason}."
    nodes, estimate = planned.spec.nodes, planned.appraisal.estimate
    fewest = planned.spec.fewest_nodes
    count = str(nodes) if fewest == nodes else f"{fewest} to {nodes}"
    what = f"1 cluster of {count} node{'' if nodes == 1 else 's'} to launch and to end"
    settings = f"{changed} setting{'' if changed == 1 else 's'} to change"
    return f"Plan: {what}, {settings}, likely {estimate.likely_usd:.4f} USD in {seconds(estimate.likely_s)}."

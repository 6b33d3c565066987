"""The charts, as Vega-Lite specifications with their data. Pure: what they are drawn with is the page's business.

Data has field names of ours only, and no text of a run is ever part of an expression. Colours are names of the page's
own (`var(--...)`), so that light and dark are the page's choice. Each chart says in words what it shows.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from servo_emr.report.findings import Findings
from servo_emr.report.runs import Choice, Kind, Run
from servo_emr.report.words import counted, lasted, percent, time_unit, usd

__all__ = ["CONFIG", "Chart", "best_so_far", "cost_against_duration"]

Spec = dict[str, Any]

_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"
CONFIG: Spec = {
    "background": "transparent",
    "font": _FONT,
    "view": {"stroke": None},
    "axis": {
        "labelColor": "var(--muted)",
        "titleColor": "var(--ink)",
        "gridColor": "var(--grid)",
        "domainColor": "var(--line)",
        "tickColor": "var(--line)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "labelLimit": 170,
    },
    "legend": {
        "labelColor": "var(--ink)",
        "titleColor": "var(--ink)",
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": 500,
        "orient": "top",
        "direction": "horizontal",
        "symbolStrokeWidth": 2,
        "labelLimit": 220,
    },
    "text": {"color": "var(--ink)", "fontSize": 12},
}
"""What all charts have in common."""

_MANY = 200
_LOW = 256
"""Pixels from the top: just above the lower edge of the chart of the best so far."""
_SHAPES = {
    Kind.MEASURED: ("circle", "var(--measured)"),
    Kind.DISTURBED: ("diamond", "var(--warn)"),
    Kind.BOUND: ("triangle-right", "var(--bound)"),
    Kind.FAILED: ("M-1,-1L1,1M1,-1L-1,1", "var(--bad)"),
}
"""Shape and colour of a run in the charts: told apart without colours too."""


@dataclass(frozen=True)
class Chart:
    """One chart. `name` identifies it in the page; `told` says what is to be seen, for who does not see it."""

    name: str
    title: str
    told: str
    spec: Spec


def chart(name: str, title: str, told: str, height: int, layers: Sequence[Spec], **top: Any) -> Chart:
    """A chart as wide as its place."""
    spec = {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "description": title,
        "width": "container",
        "height": height,
        "autosize": {"type": "fit-x", "contains": "padding"},
        **({"layer": list(layers)} if len(layers) > 1 else layers[0]),
        **top,
    }
    return Chart(name, title, told, spec)


def axis_title(text: str, values: Iterable[float]) -> Spec:
    """A quantitative axis for these values. It need not begin at 0, but for a single value has no other end."""
    return {"type": "quantitative", "title": text, "scale": {"zero": len(set(values)) < 2, "nice": True}}


def tip(**named: str) -> list[Spec]:
    """A tooltip: shown name -> field."""
    return [{"field": field, "type": "nominal", "title": name.replace("_", " ")} for name, field in named.items()]


def cost_against_duration(found: Findings) -> Chart | None:
    """Every run that has a duration by its cost, failures at the left edge, the Pareto front of the settings."""
    shown = [run for run in found.runs if run.kind in _SHAPES and _place(run)[0] is not None]
    if not shown:
        return None
    failed = found.of(Kind.FAILED)
    durations = [_place(run)[0] or 0.0 for run in shown]
    unit, seconds = time_unit(max(durations))
    kinds = [kind for kind in _SHAPES if any(run.kind is kind for run in [*shown, *failed])]
    bounds = sum(run.kind is Kind.BOUND for run in shown)
    parts = [_spread([run.duration for run in shown if run.kind is not Kind.BOUND])]
    parts += [f"{counted(bounds, 'run')} with lower bounds alone"] if bounds else []
    parts += [f"{counted(len(failed), 'failed run')} without a duration"] if failed else []
    told = f"{'; '.join(parts)}. The Pareto front, cheapest first: {_listed(found.front)}."
    x = {"field": "x", **axis_title(f"Duration of the job ({unit})", durations)}
    y = {"field": "y", **axis_title("Cost of one run (USD)", (_place(run)[1] for run in [*shown, *failed]))}
    # The more there are, the fainter each is.
    mark = {"type": "point", "fillOpacity": 0.35, "aria": False, "tooltip": True}
    mark |= {"size": 24, "strokeWidth": 1, "opacity": 0.6} if len(shown) > _MANY else {"size": 55, "strokeWidth": 1.6}
    runs = {
        "name": "runs",
        "data": {"values": [_point(run, seconds) for run in shown]},
        "mark": mark,
        "encoding": {"x": x, "y": y, **_by_kind(kinds)},
    }
    crosses = {
        "name": "failed",
        "data": {"values": [_point(run, seconds) for run in failed]},
        "mark": {**mark, "strokeWidth": 2},
        "encoding": {"x": {"value": 0}, "y": y, **_by_kind(kinds)},
    }
    # A layer without data would have an axis without an extent.
    rings, names = _named(found, seconds, x, y)
    front = [_front(found.front, seconds, x, y)] if found.front else []
    layers = [*rings, runs, *([crosses] if failed else []), *front, *names]
    return chart("tradeoff", "Cost against duration", told, 380, layers)


def _spread(durations: Sequence[float]) -> str:
    """How many durations were measured, and between what."""
    if len(durations) < 2:
        return counted(len(durations), "run") + " with a duration" + "".join(f" of {lasted(one)}" for one in durations)
    return f"{len(durations):,} runs with durations between {lasted(min(durations))} and {lasted(max(durations))}"


def _place(run: Run) -> tuple[float | None, float]:
    """(seconds or None, USD) of a run: measured, or the bounds that are known."""
    if run.kind is Kind.BOUND:
        bound, least = run.row["duration_at_least_s"], run.row["cost_at_least_usd"]
        return (None, run.spent) if bound is None or least is None else (float(bound), float(least))
    if run.kind in (Kind.MEASURED, Kind.DISTURBED):
        return run.duration, run.cost
    return None, run.spent


def _point(run: Run, seconds: float) -> Spec:
    duration, usd_ = _place(run)
    least = "at least " if run.kind is Kind.BOUND else ""
    return {
        "x": None if duration is None else duration / seconds,
        "y": usd_,
        "kind": str(run.kind),
        "run": run.record.run_id,
        "settings": run.label,
        "cost": f"{least}{usd(usd_)}",
        "duration": "none" if duration is None else f"{least}{lasted(duration)}",
        "outcome": run.record.reason or "",
    }


def _by_kind(kinds: Sequence[Kind]) -> Spec:
    """How runs of each kind look, and what is told of one."""
    domain = [str(kind) for kind in kinds]
    shapes, colours = [_SHAPES[kind][0] for kind in kinds], [_SHAPES[kind][1] for kind in kinds]
    legend = {"title": None, "columns": 3}
    return {
        "shape": {"field": "kind", "type": "nominal", "scale": {"domain": domain, "range": shapes}, "legend": legend},
        "stroke": {"field": "kind", "type": "nominal", "scale": {"domain": domain, "range": colours}, "legend": legend},
        "fill": {"field": "kind", "type": "nominal", "scale": {"domain": domain, "range": colours}, "legend": legend},
        "tooltip": tip(settings="settings", cost="cost", duration="duration", outcome="outcome", run="run"),
    }


def _front(found: Sequence[Choice], seconds: float, x: Spec, y: Spec) -> Spec:
    values = [{"x": choice.duration / seconds, "y": choice.cost} for choice in found]
    return {
        "name": "front",
        "data": {"values": values},
        "mark": {"type": "line", "interpolate": "step-after", "color": "var(--front)", "strokeWidth": 2, "aria": False},
        "encoding": {"x": x, "y": y, "order": {"field": "x", "type": "quantitative"}},
    }


def _named(found: Findings, seconds: float, x: Spec, y: Spec) -> tuple[list[Spec], list[Spec]]:
    """Rings around the recommendation and the baseline, to stand behind the runs, and their names, to stand before."""
    named: dict[str, tuple[Choice, str]] = {}
    for choice, name in ((found.best, "recommended"), (found.baseline, "baseline")):
        if choice is not None:
            before = named.get(choice.key)
            named[choice.key] = (choice, f"{before[1]} = {name}" if before else name)
    rings: list[Spec] = []
    names: list[Spec] = []
    ends = [choice.duration for choice in found.choices]
    # A single one stands at the right: its axis begins at 0.
    middle = ((min(ends) if len(set(ends)) > 1 else 0.0) + max(ends)) / 2 if named else 0.0
    for choice, name in named.values():
        colour = "var(--good)" if choice is found.best else "var(--ink)"
        right = choice.duration > middle
        data = {"values": [{"x": choice.duration / seconds, "y": choice.cost, "name": name}]}
        ring = {"type": "point", "size": 240, "strokeWidth": 2.5, "color": colour, "shape": "circle", "aria": False}
        label = {
            "type": "text", "align": "right" if right else "left", "dx": -13 if right else 13, "dy": -9,
            "fontWeight": 600, "color": colour, "aria": False,
        }  # fmt: skip
        place = {"x": x, "y": y}
        rings.append({"name": name.partition(" ")[0], "data": data, "mark": ring, "encoding": place})
        halo = {**label, "stroke": "var(--surface)", "strokeWidth": 5, "strokeJoin": "round"}
        text = {**place, "text": {"field": "name"}}
        names += [{"data": data, "mark": halo, "encoding": text}, {"data": data, "mark": label, "encoding": text}]
    return rings, names


def _listed(found: Sequence[Choice]) -> str:
    shown = [f"{choice.label} ({usd(choice.cost)}, {lasted(choice.duration)})" for choice in found[:6]]
    more = [f"and {len(found) - 6} more"] if len(found) > 6 else []
    return "; ".join([*shown, *more]) or "none"


def best_so_far(found: Findings) -> Chart | None:
    """The lowest cost measured so far by the money spent so far, with what each run cost."""
    totals = list(itertools.accumulate(run.spent for run in found.runs))
    best: list[Spec] = []
    points: dict[Kind, list[Spec]] = {Kind.MEASURED: [], Kind.FAILED: []}
    lowest: float | None = None
    for run, total in zip(found.runs, totals, strict=True):
        if run.kind is Kind.MEASURED and (lowest is None or run.cost < lowest):
            lowest = run.cost
        if lowest is not None:
            best.append({"x": total, "y": lowest})
        if run.kind in points:
            points[run.kind].append({**_point(run, 1.0), "x": total, "spent": usd(total)})
    if lowest is None:
        return None
    x = {"field": "x", **axis_title("Spent so far, all runs (USD)", ())}
    cost = {"field": "y", **axis_title("Cost of one run (USD)", (point["y"] for point in points[Kind.MEASURED]))}
    kinds = [kind for kind, values in points.items() if values]
    look = {**_by_kind(kinds), "tooltip": tip(settings="settings", cost="cost", spent_so_far="spent", run="run")}
    mark = {"type": "point", "size": 28, "strokeWidth": 1.4, "fillOpacity": 0.35, "aria": False}
    line = {"type": "line", "interpolate": "step-after", "color": "var(--good)", "strokeWidth": 2.5, "aria": False}
    layers: list[Spec] = [
        {
            "name": "measured" if kind is Kind.MEASURED else "lost",
            "data": {"values": points[kind]},
            "mark": mark if kind is Kind.MEASURED else {**mark, "size": 40, "strokeWidth": 2},
            "encoding": {"x": x, "y": cost if kind is Kind.MEASURED else {"value": _LOW}, **look},
        }
        for kind in kinds
    ]
    layers.append({"name": "best", "data": {"values": best}, "mark": line, "encoding": {"x": x, "y": cost}})
    told = _descent(best, len(points[Kind.MEASURED]), len(points[Kind.FAILED]), totals[-1])
    return chart("progress", "Best so far against money spent", told, 260, layers)


def _descent(best: Sequence[Spec], measured: int, failed: int, spent: float) -> str:
    first, last = best[0]["y"], best[-1]["y"]
    reached = next(step["x"] for step in best if step["y"] == last)
    lost = f" {counted(failed, 'run')} failed on the way." if failed else ""
    if first == last:
        if measured == 1:
            return f"The only measurement is {usd(first)} a run; {usd(spent)} had been spent.{lost}"
        return f"The first measurement, {usd(first)} a run, is the lowest still when {usd(spent)} had been spent.{lost}"
    return (
        f"From {usd(first)} a run at the first measurement to {usd(last)}, {percent(1 - last / first)} less, found "
        f"when {usd(reached)} of {usd(spent)} had been spent.{lost}"
    )


def ordinal(field: str, names: Mapping[str, str], title: str | None, columns: int = 3) -> Spec:
    """A colour by name: value -> colour, in this order; the legend has so many columns."""
    return {
        "field": field,
        "type": "nominal",
        "scale": {"domain": list(names), "range": list(names.values())},
        "legend": {"title": title, "columns": columns},
    }

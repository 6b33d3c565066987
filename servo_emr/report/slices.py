"""The charts that cut through the settings: by type and count, by phase, by repeated measurement. As `charts`."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence

from servo_emr.domain.run import RunRecord
from servo_emr.report import phases
from servo_emr.report.charts import Chart, Spec, axis_title, chart, ordinal, tip
from servo_emr.report.findings import Findings
from servo_emr.report.runs import Choice, Kind
from servo_emr.report.words import counted, lasted, percent, usd

__all__ = ["by_count", "by_phase", "by_type_and_count", "noise"]

_LINES = ("var(--c1)", "var(--c2)", "var(--c3)", "var(--c4)", "var(--c5)", "var(--c6)")
_CLASSES = {
    "cheapest": ("var(--h1)", 1e-9),
    "within 5 %": ("var(--h2)", 0.05),
    "within 20 %": ("var(--h3)", 0.20),
    "within 50 %": ("var(--h4)", 0.50),
    "dearer": ("var(--h5)", float("inf")),
}
"""How much dearer than the cheapest settings a class goes, and its colour."""
_NOT_MEASURED = "not measured"
_BY_RANK = {"field": "rank", "op": "min", "order": "ascending"}
"""The order of names: that of a number beside them. A list of names would become part of an expression."""
_CROSS = "\N{MULTIPLICATION SIGN}"
_BARS = 12
_STRIPS = 20
_A_MEASUREMENT = {"cost": "a cost", "duration": "a duration", "repeats in a run": "a repeat in a run"}
_PHASES = dict(zip(phases.PHASES, (f"var(--p{number})" for number in (1, 2, 3, 6, 4, 5)), strict=True))


def _cheapest(found: Findings) -> dict[tuple[str, int], Choice]:
    """The cheapest settings of each type and count of worker."""
    best: dict[tuple[str, int], Choice] = {}
    for choice in found.choices:
        best.setdefault(choice.runs[-1].workers, choice)
    return best


def by_type_and_count(found: Findings) -> Chart | None:
    """Each type and count that was tried, by how much dearer it is than the cheapest."""
    best = _cheapest(found)
    if len(best) < 2:
        return None
    lowest = min(choice.cost for choice in best.values())
    failed = {run.workers for run in found.of(Kind.FAILED)} - best.keys()
    stopped = {run.workers for run in found.of(Kind.BOUND)} - best.keys()
    cells = [{"rank": rank, **_cell(*one, lowest)} for rank, one in enumerate(best.items())]
    cells += [
        {
            "type": name,
            "count": count,
            "class": _NOT_MEASURED,
            "text": "\N{MULTIPLICATION SIGN}",
            "cost": "none",
            "settings": "stopped by a limit" if (name, count) in stopped else "failed",
        }
        for name, count in sorted(failed | stopped)
    ]
    counts = len({cell["count"] for cell in cells})
    y = {"field": "type", "type": "nominal", "title": None, "sort": _BY_RANK}
    x = {"field": "count", "type": "ordinal", "title": "Core nodes", "axis": {"labelAngle": 0, "labelOverlap": True}}
    used = {cell["class"] for cell in cells}
    colours = {name: colour for name, (colour, _) in _CLASSES.items() if name in used}
    colours |= {_NOT_MEASURED: "var(--h0)"} if _NOT_MEASURED in used else {}
    rect = {
        "name": "cells",
        "mark": {"type": "rect", "aria": False, "cornerRadius": 2, "stroke": "var(--surface)", "strokeWidth": 2},
        "encoding": {
            "x": x,
            "y": y,
            "color": ordinal("class", colours, None, 2),
            "tooltip": tip(settings="settings", cost="cost"),
        },
    }
    wide = {"condition": {"test": f"width / {counts} > 46", "value": 1}, "value": 0}
    shade = {
        "condition": {"test": "datum.class == 'cheapest' || datum.class == 'within 5 %'", "value": "var(--h-dark)"},
        "value": "var(--h-light)",
    }
    text = {
        "mark": {"type": "text", "fontSize": 11, "aria": False},
        "encoding": {"x": x, "y": y, "text": {"field": "text"}, "opacity": wide, "color": shade},
    }
    told = f"{counted(len(best), 'type and count', 'types and counts')} measured; cheapest first: " + "; ".join(
        f"{count} x {name} {usd(choice.cost)}" for (name, count), choice in list(best.items())[:5]
    )
    height = 30 * len({cell["type"] for cell in cells})
    return chart("grid", "Cost by type and count", f"{told}.", height, [rect, text], data={"values": cells})


def _cell(workers: tuple[str, int], choice: Choice, lowest: float) -> Spec:
    dearer = choice.cost / lowest - 1 if lowest > 0 else 0.0
    name = next(name for name, (_, most) in _CLASSES.items() if dearer <= most)
    return {
        "type": workers[0],
        "count": workers[1],
        "class": name,
        "text": usd(choice.cost).lstrip("$") if choice.cost < 10 else f"{choice.cost:.0f}",
        "cost": f"{usd(choice.cost)}, {percent(dearer)} above the cheapest" if dearer > 0 else usd(choice.cost),
        "settings": choice.label,
    }


def by_count(found: Findings) -> Chart | None:
    """Cost by the number of nodes, a line for each type."""
    best = _cheapest(found)
    types = list(dict.fromkeys(name for name, _ in best))
    if len({count for _, count in best}) < 2:
        return None
    shown = types[: len(_LINES)]
    values = [
        {"type": name if name in shown else "other types", "line": name, "count": count, "cost": choice.cost,
         "duration": lasted(choice.duration), "usd": usd(choice.cost), "settings": choice.label}
        for (name, count), choice in best.items()
    ]  # fmt: skip
    colours = dict(zip(shown, _LINES, strict=False))
    colours |= {"other types": "var(--faint)"} if len(types) > len(shown) else {}
    x = {"field": "count", "type": "quantitative", "title": "Core nodes", "axis": {"tickMinStep": 1, "format": "d"}}
    y = {"field": "cost", **axis_title("Cost of one run (USD)", (choice.cost for choice in best.values()))}
    encoding = {
        "x": {**x, "scale": {"zero": False, "nice": False, "padding": 8}},
        "y": y,
        "detail": {"field": "line"},
        "color": ordinal("type", colours, None),
        "tooltip": tip(settings="settings", cost="usd", duration="duration"),
    }
    mark = {"type": "line", "point": {"size": 45, "filled": True}, "strokeWidth": 2, "aria": False}
    told = "; ".join(_course(name, best) for name in shown)
    lines = {"name": "lines", "mark": mark, "encoding": encoding}
    return chart("counts", "Cost by number of core nodes", f"{told}.", 260, [lines], data={"values": values})


def _course(name: str, best: Mapping[tuple[str, int], Choice]) -> str:
    of_type = {count: choice.cost for (other, count), choice in best.items() if other == name}
    count = min(of_type, key=of_type.__getitem__)
    return f"{name} is cheapest with {count} ({usd(of_type[count])})"


def by_phase(found: Findings, what: str) -> Chart | None:
    """What a run takes ("time") or costs ("money") in each phase, by settings, the cheapest first."""
    of, factor, title, unit = (
        (phases.seconds, 60.0, "Where the time of a run goes", "Minutes")
        if what == "time"
        else (phases.dollars, 1.0, "Where the money of a run goes", "USD")
    )
    shown = list(found.choices[:_BARS])
    if found.baseline is not None and found.baseline not in shown:
        shown.append(found.baseline)
    named = _names(shown)
    means = {named[choice.key]: mean for choice in shown if (mean := _mean([run.record for run in choice.runs], of))}
    values = [
        {"settings": label, "rank": rank, "phase": phase, "order": index, "value": mean.get(phase, 0.0) / factor,
         "told": lasted(mean.get(phase, 0.0)) if what == "time" else usd(mean.get(phase, 0.0))}
        for rank, (label, mean) in enumerate(means.items())
        for index, phase in enumerate(phases.PHASES)
        if mean.get(phase, 0.0) > 0
    ]  # fmt: skip
    if not values:
        return None
    used = {value["phase"] for value in values}
    colours = {phase: colour for phase, colour in _PHASES.items() if phase in used}
    layer = {
        "name": f"bars_{what}",
        "mark": {"type": "bar", "aria": False, "height": {"band": 0.72}},
        "encoding": {
            "y": {"field": "settings", "type": "nominal", "title": None, "sort": _BY_RANK},
            "x": {"field": "value", "type": "quantitative", "title": unit, "stack": "zero"},
            "color": ordinal("phase", colours, None, 2),
            "order": {"field": "order", "type": "quantitative"},
            "tooltip": tip(settings="settings", phase="phase", takes="told"),
        },
    }
    first = next(iter(means))
    told = ", ".join(f"{value['phase']} {value['told']}" for value in values if value["settings"] == first)
    told = f"Of {first}, the first bar: {told}."
    if len(found.choices) > len(shown):
        besides = "the baseline and " if len(shown) > _BARS else ""
        told += f" Shown are {besides}the {_BARS} cheapest of {len(found.choices):,} choices of settings."
    return chart(f"phases-{what}", title, told, 26 * len(means), [layer], data={"values": values})


def _names(found: Iterable[Choice]) -> dict[str, str]:
    """Key -> label of each choice, no two alike: settings on other nodes of equal types and counts have the same words,
    and would share a bar."""
    names: dict[str, str] = {}
    for choice in found:
        again = sum(name == choice.label or name.startswith(f"{choice.label} (") for name in names.values())
        names[choice.key] = f"{choice.label} ({again + 1})" if again else choice.label
    return names


def _mean(records: Iterable[RunRecord], of: Callable[[RunRecord], Mapping[str, float]]) -> dict[str, float]:
    known = [found for record in records if (found := of(record))]
    return {phase: statistics.fmean(one.get(phase, 0.0) for one in known) for phase in phases.PHASES} if known else {}


def noise(found: Findings) -> Chart | None:
    """How far measurements of equal settings lie from their mean, and repeats inside one run from theirs."""
    repeated = sorted((c for c in found.choices if _repeated(c)), key=lambda c: (-len(c.runs), c.cost))
    several = repeated[:_STRIPS]
    named = _names(several)
    values: list[Spec] = []
    for rank, choice in enumerate(several):
        for what, deviations in _deviations(choice).items():
            values += [
                {
                    "settings": named[choice.key],
                    "rank": rank,
                    "what": what,
                    "off": 100 * off,
                    "told": f"{100 * off:+.2f} %",
                }
                for off in deviations
            ]
    if not values:
        return None
    kinds = {"cost": "var(--c1)", "duration": "var(--c2)", "repeats in a run": "var(--c3)"}
    used = {name: colour for name, colour in kinds.items() if any(value["what"] == name for value in values)}
    layer = {
        "name": "strips",
        "mark": {"type": "tick", "thickness": 2, "bandSize": 8, "aria": False},
        "encoding": {
            "y": {"field": "settings", "type": "nominal", "title": None, "sort": _BY_RANK},
            "yOffset": {"field": "what", "type": "nominal", "sort": list(used)},
            "x": {"field": "off", "type": "quantitative", "title": "Off the mean of equal settings (%)"},
            "color": ordinal("what", used, None),
            "tooltip": tip(settings="settings", of="what", off="told"),
        },
    }
    widest = max(values, key=lambda value: abs(value["off"]))
    told = (
        f"{counted(len(repeated), 'choice of settings was', 'choices of settings were')} measured more than once"
        f"{f', the {_STRIPS} with the most measurements are shown' if len(repeated) > _STRIPS else ''}; the farthest "
        f"from its mean is {_A_MEASUREMENT[widest['what']]} of {widest['settings']}, {widest['told']}."
    )
    height = len(several) * (10 * len(used) + 6)
    return chart("noise", "Noise: measurements of equal settings", told, height, [layer], data={"values": values})


def _repeated(choice: Choice) -> bool:
    return any(_deviations(choice).values())


def _deviations(choice: Choice) -> dict[str, list[float]]:
    """What was measured more than once -> deviations from its mean."""
    several = len(choice.runs) > 1
    inside: list[float] = []
    for run in choice.runs:
        repeats: Sequence[float] = run.record.details.get("repeat_seconds") or ()
        mean = statistics.fmean(repeats) if len(repeats) > 1 else 0.0
        inside += [repeat / mean - 1 for repeat in repeats] if mean > 0 else []
    return {
        "cost": choice.deviations("cost") if several else [],
        "duration": choice.deviations("duration") if several else [],
        "repeats in a run": inside,
    }

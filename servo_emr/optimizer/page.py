"""The page: the status document for people. Self-contained, without a script; everything in it is escaped."""

from __future__ import annotations

import base64
import hashlib
import html
import math
import shlex
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from typing import Any

__all__ = ["HEADERS", "page"]

_STYLE = (files("servo_emr.optimizer") / "page.css").read_text(encoding="utf-8")
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
HEADERS = {
    "Content-Security-Policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-store",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}
_REFRESH_S = 10
_AGAIN = f"<meta http-equiv='refresh' content='{_REFRESH_S}'>"
_ANEW = f"This page loads anew every {_REFRESH_S} s: <a href='/?still'>keep it as it is</a>."
_STILL = f"This page stays as it is: <a href='/'>load it anew every {_REFRESH_S} s</a>."
_STATES = {
    "waiting": "Waiting for a servo",
    "exploring": "Exploring",
    "settled": "Settled",
    "paused": "Paused",
    "stopped": "Stopped: somebody must look",
}


def page(document: Mapping[str, Any], still: bool = False) -> str:
    """The page of a status document; `still`: it does not load itself anew, for who reads slowly or copies from it."""
    name = _text(document["application"] or "servo-emr optimizer")
    state = document["state"]
    parts = [
        f"<header><h1>{name}</h1><p class='state {_text(state)}'>{_text(_STATES[state])}</p></header>",
        f"<p class='why {_text(state)}'>{_text(document['why'])}</p>",
        _figures(document),
        _trial(document["trial"]) if document["trial"] else "",
        _recommendation(document),
        _chart(document["trials"], _is_fastest(document)),
        _table(document["trials"]),
        "<footer>The same as JSON: <a href='/status.json'>/status.json</a>. Dollars are those the servo reported."
        f" {_STILL if still else _ANEW}</footer>",
    ]
    return (
        "<!doctype html><html lang='en'><head><meta charset='utf-8'>"
        "<meta name='viewport' content='width=device-width, initial-scale=1'>"
        f"{'' if still else _AGAIN}<title>{name}</title><style>{_STYLE}</style></head>"
        f"<body><main>{''.join(parts)}</main></body></html>"
    )


def _is_fastest(document: Mapping[str, Any]) -> bool:
    """Whether time is looked for, and not dollars."""
    return str((document.get("objective") or {}).get("kind", "")).startswith("fastest")


def _saved(document: Mapping[str, Any]) -> tuple[str, str, str]:
    """What the best saves of what is looked for: a name, a figure, its meaning; no figure while nothing is known."""
    saving, fastest = document["saving"], _is_fastest(document)
    name = "Faster by" if fastest else "Saves, a run"
    if saving is None:
        return name, "", ""
    share = saving["share_of_time" if fastest else "share"]
    if share < 0.005:
        return name, "nothing yet", "the settings before are as good"
    told = _seconds(saving["seconds_per_run"]) if fastest else _usd(saving["usd_per_run"])
    return name, f"{share:.0%}", f"{told} less than the settings before"


def _figures(document: Mapping[str, Any]) -> str:
    best, gain = document["best"], document["expected_gain_usd"]
    confirmed = "" if best is None else f"{'measured again' if best['confirmed'] else 'not yet measured again'}"
    cells = [
        ("Best so far, a run", _usd(best["cost_usd"]) if best else "none yet", confirmed),
        ("Its job takes", _seconds(best["duration_s"]) if best else "", _settings(best["settings"]) if best else ""),
        _saved(document),
        ("Spent", _usd(document["spent_usd"]), _runs(document)),
        ("Next trial may save", _usd(gain) if gain is not None else "", "a future run, expected" if gain else ""),
    ]
    shown = [
        f"<div><dt>{_text(what)}</dt><dd>{_text(value)}<small>{_text(note)}</small></dd></div>"
        for what, value, note in cells
        if value
    ]
    return f"<dl class='figures'>{''.join(shown)}</dl>"


def _runs(document: Mapping[str, Any]) -> str:
    """The runs of this exploration, and its dollars where there was another before it."""
    told = f"{document['runs']} run{'' if document['runs'] == 1 else 's'} of this exploration"
    usd = document.get("exploration", {}).get("usd", document["spent_usd"])
    return told if math.isclose(usd, document["spent_usd"], abs_tol=5e-5) else f"{_usd(usd)} in {told}"


def _trial(trial: Mapping[str, Any]) -> str:
    expected = _known(
        ("expected", _usd(trial["predicted_cost_usd"]) if trial["predicted_cost_usd"] is not None else ""),
        ("job of", _seconds(trial["predicted_duration_s"]) if trial["predicted_duration_s"] else ""),
        ("cut short after", _seconds(trial["deadline_s"]) if trial["deadline_s"] else ""),
    )
    now = _known(
        ("", str(trial["phase"] or "asked")),
        ("", f"{_usd(trial['usd_so_far'])} so far" if trial["usd_so_far"] else ""),
        ("run", str(trial["run_id"] or "")),
    )
    return (
        f"<section><h2>Trial {trial['number']} <small>{_text(trial['kind'])}</small></h2>"
        f"<p><strong>{_text(_settings(trial['settings']))}</strong></p>"
        f"<p>{_text(now)}</p><p class='quiet'>{_text(expected)}</p></section>"
    )


def _recommendation(document: Mapping[str, Any]) -> str:
    found = document["recommendation"]
    if not found:
        return ""
    command = ""
    if found["command"]:
        command = (
            f"<pre tabindex='0'>{_text(_lines(found['command']))}</pre><p class='quiet'>{_text(found['note'])}</p>"
        )
    settings = _text(_settings(found["settings"]))
    return f"<section><h2>Recommendation</h2><p><strong>{settings}</strong></p>{command}</section>"


def _chart(trials: Sequence[Mapping[str, Any]], fastest: bool) -> str:
    """What each measured trial cost, or took where time is looked for, in their order, and the least so far."""
    key = "duration_s" if fastest else "cost_usd"
    shown = [trial for trial in trials if trial["counts"] and trial["cost_usd"] is not None]
    if len(shown) < 2:
        return ""
    width, height, left, bottom = 640.0, 200.0, 84.0, 12.0
    unit = 60.0 if fastest else 1.0
    values = [trial[key] / unit for trial in shown]
    top = max(values) * 1.08
    pace = (width - left - 16) / max(1, len(shown) - 1)

    def at(place: int, value: float) -> tuple[float, float]:
        return left + 8 + pace * place, 8 + (height - bottom - 8) * (1 - value / top)

    dots, line, least = [], [], values[0]
    for place, (trial, value) in enumerate(zip(shown, values, strict=True)):
        x, y = at(place, value)
        line.append(f"{x:.1f},{at(place, least)[1]:.1f}")
        least = min(least, value)
        line.append(f"{x:.1f},{at(place, least)[1]:.1f}")
        told = _seconds(trial[key]) if fastest else _usd(value)
        words = f"trial {trial['number']}: {_settings(trial['settings'])}, {told}"
        dots.append(f"<circle cx='{x:.1f}' cy='{y:.1f}' r='4'><title>{_text(words)}</title></circle>")
    ticks = [0.0, top / 1.08 / 2, top / 1.08]
    marks = [
        f"<text x='{left - 8}' y='{at(0, value)[1] + 4:.1f}' text-anchor='end'>{value:.3g}</text>"
        f"<line x1='{left}' x2='{width}' y1='{at(0, value)[1]:.1f}' y2='{at(0, value)[1]:.1f}'/>"
        for value in ticks
    ]
    what, looked_for = ("took", "Minutes of the job") if fastest else ("cost", "USD a run")
    return (
        f"<section><h2>{looked_for}, trial by trial</h2>"
        f"<svg viewBox='0 0 {width:.0f} {height:.0f}' role='img' aria-label='{looked_for} of each measured trial'>"
        f"<g class='grid'>{''.join(marks)}</g><polyline points='{' '.join(line)}'/>{''.join(dots)}</svg>"
        f"<p class='quiet'>Dots: what a trial {what}. Line: the least so far.</p></section>"
    )


def _table(trials: Sequence[Mapping[str, Any]]) -> str:
    """All trials, the newest first. Of settings that are the same in all of them the table has no word."""
    if not trials:
        return ""
    seen = {selector: {str(one["settings"].get(selector)) for one in trials} for selector in trials[-1]["settings"]}
    same = {selector for selector, values in seen.items() if len(values) == 1}
    rows = [
        f"<tr role='row' class='{_text(trial['state'])}{'' if trial['counts'] else ' old'}'>"
        f"<td role='cell'>{trial['number']}</td>"
        f"<td role='cell'>{_text(_settings(trial['settings'], same))}"
        f"<small>{_text(trial['kind'])}: {_text(trial['why'])}</small></td>"
        f"<td role='cell'>{_text(trial['state'])}<small>{_text(_reason(trial))}</small></td>"
        f"{_number('Job', _seconds(trial['duration_s']))}{_number('A run', _usd(trial['cost_usd']))}"
        f"{_number('Paid', _usd(trial['spent_usd']))}</tr>"
        for trial in reversed(trials)
    ]
    heads = "".join(
        f"<th scope='col' role='columnheader'{mark}>{name}</th>"
        for name, mark in (
            *(("#", ""), ("Settings, and why", ""), ("End", "")),
            *((name, " class='n'") for name in ("Job", "A run", "Paid")),
        )
    )
    return (
        "<section><h2>Trials</h2><div class='wide' tabindex='0'><table role='table'><thead role='rowgroup'>"
        f"<tr role='row'>{heads}</tr></thead><tbody role='rowgroup'>{''.join(rows)}</tbody></table></div></section>"
    )


def _number(of: str, text: str) -> str:
    """A cell; `of` stands before the figure where the table is a list, on a narrow window."""
    name = f" data-of='{of}'" if text else ""
    return f"<td role='cell' class='n'{name}>{_text(text)}</td>"


def _reason(trial: Mapping[str, Any]) -> str:
    return "" if trial["reason"] in (None, "success") else str(trial["reason"])


def _settings(settings: Mapping[str, Any], without: Collection[str] = ()) -> str:
    """Settings in a few words, the type and number of a role's nodes together; those `without` are left out, unless
    that is all of them.
    """
    shown = {name: value for name, value in settings.items() if name not in without} or dict(settings)
    told = []
    for selector, value in shown.items():
        component, _, name = selector.partition(".")
        kind, count = f"{component}.inst_type", f"{component}.replicas"
        if name == "replicas" and kind in settings:
            told.append(f"{component} {value} x {settings[kind]}")
        elif name == "inst_type" and count in shown:
            continue
        else:
            told.append(f"{component if name == 'inst_type' else selector} {value}")
    return ", ".join(told)


def _lines(command: str) -> str:
    """A command with a line for each of its options, which a shell takes for the same."""
    lines: list[list[str]] = [[]]
    for word in shlex.split(command):
        if word.startswith("--"):
            lines.append([])
        lines[-1].append(word)
    return " \\\n  ".join(map(shlex.join, lines))


def _known(*parts: tuple[str, str]) -> str:
    return ", ".join(f"{name} {value}".strip() for name, value in parts if value)


def _usd(value: float | None) -> str:
    return "" if value is None else f"{value:.4f} USD"


def _seconds(value: float | None) -> str:
    if value is None:
        return ""
    minutes, seconds = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)

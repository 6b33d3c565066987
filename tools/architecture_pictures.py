"""Draws docs/pictures/*.svg: the layers, as the import contracts have them; who says what in an adjust and a measure.

The layers are read from pyproject.toml; the two flows are written down here. Knows lines, boxes and texts, and needs
nothing but Python. A picture follows the reader's light or dark.

Exit status: 0. `tests/unit/test_architecture_pictures.py` says whether the pictures are up to date.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "docs" / "pictures"

_STYLE = """\
<style>
text { font: 13px system-ui, sans-serif; fill: #1b1f24; }
.name { font-weight: 600; }
.quiet { fill: #57606a; font-size: 12px; }
.paper { fill: #ffffff; }
.box { fill: #eef3f9; stroke: #6b8cae; }
.closed { fill: #f6f0e4; stroke: #b08d4a; }
.row { fill: none; stroke: #c3ccd6; }
.line { stroke: #57606a; fill: none; }
.life { stroke: #c3ccd6; stroke-dasharray: 3 3; }
.head { fill: #57606a; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6e8ea; }
  .quiet { fill: #a3abb4; }
  .paper { fill: #131416; }
  .box { fill: #1f2a37; stroke: #6b8cae; }
  .closed { fill: #33291a; stroke: #b08d4a; }
  .row, .life { stroke: #444c56; }
  .line { stroke: #a3abb4; }
  .head { fill: #a3abb4; }
}
</style>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">\
<path class="head" d="M0 0 L8 4 L0 8 z"/></marker></defs>"""
_LETTER = 7.3
"""Pixels that a letter takes at most, on average."""


def _width(name: str) -> float:
    """Of the box around a name."""
    return len(name) * _LETTER + 22


@dataclass
class _Drawing:
    """An SVG under way; everything in pixels from the upper left corner."""

    title: str
    width: int
    parts: list[str] = field(default_factory=list)
    height: int = 0

    def box(self, x: float, y: float, width: float, height: float, kind: str = "box") -> None:
        self.parts.append(f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:g}" height="{height:g}" rx="4"/>')
        self.height = max(self.height, int(y + height + 12))

    def named_box(self, middle: float, y: float, height: float, name: str) -> None:
        """A box as wide as the name in it."""
        width = _width(name)
        self.box(middle - width / 2, y, width, height)
        self.text(middle, y + height / 2 + 5, name, "name")

    def text(self, x: float, y: float, words: str, kind: str = "", anchor: str = "middle") -> None:
        self.parts.append(f'<text class="{kind}" x="{x:g}" y="{y:g}" text-anchor="{anchor}">{escape(words)}</text>')

    def line(self, points: Sequence[tuple[float, float]], kind: str = "line", arrow: bool = False) -> None:
        path = " ".join(f"{x:g},{y:g}" for x, y in points)
        end = ' marker-end="url(#arrow)"' if arrow else ""
        self.parts.append(f'<polyline class="{kind}" points="{path}"{end}/>')

    def svg(self) -> str:
        size = f'width="{self.width}" height="{self.height}" viewBox="0 0 {self.width} {self.height}"'
        head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(self.title)}">'
        paper = f'<rect class="paper" width="{self.width}" height="{self.height}"/>'
        return "\n".join([head, f"<title>{escape(self.title)}</title>", _STYLE, paper, *self.parts, "</svg>", ""])


def layers() -> str:
    """The package's layers, the highest first, and the two closed packages beside them."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (one for one in contracts if one["id"] == "layers")
    drawing = _Drawing("The layers of servo_emr: imports point down", 860)
    drawing.text(12, 24, "servox and the command line come in at the top; imports point down", "quiet", "start")
    y = 40.0
    for row in contract["layers"]:
        drawing.box(12, y, 620, 44, "row")
        x = 22.0
        for name in row.split(" | "):
            width = _width(name)
            drawing.named_box(x + width / 2, y + 8, 28, name)
            x += width + 12
        y += 56
    for place, name, lines in (
        (40.0, "optimizer", ("closed: reached over", "HTTP, by servox")),
        (y - 56 - 60, "emulator", ("closed: reached over HTTP,", "by whoever speaks to AWS")),
    ):
        drawing.box(652, place, 196, 104, "closed")
        drawing.text(750, place + 28, name, "name")
        for number, words in enumerate(lines):
            drawing.text(750, place + 54 + 20 * number, words, "quiet")
    drawing.text(12, y + 8, "lifecycle, aws, pricing, notebook and clock do not know each other: "
                 "they meet in the ports of domain, and wiring puts them together", "quiet", "start")  # fmt: skip
    drawing.height = int(y + 24)
    return drawing.svg()


@dataclass(frozen=True)
class Said:
    """One line of a flow: who says what to whom; to oneself, it is what is done."""

    sender: str
    receiver: str
    words: str


def _spoken(policy: str, text: str) -> tuple[Sequence[str], Sequence[Said]]:
    """The lanes of a flow, `policy` in their middle; and what is said, a line each: SENDER > RECEIVER: WORDS."""
    said = []
    for line in text.strip().splitlines():
        who, _, words = line.partition(": ")
        sender, receiver = who.split(" > ")
        said.append(Said(sender, receiver, words))
    return ("optimizer", "connector", policy, "target", "price book", "workspace"), said


ADJUST = _spoken(
    "lifecycle.stage",
    """
optimizer > connector: ADJUST core.replicas=6
connector > lifecycle.stage: what is ours
lifecycle.stage > workspace: staged.json
lifecycle.stage > lifecycle.stage: coerce, hold within the bounds
lifecycle.stage > target: preflight: types, zones
lifecycle.stage > price book: quote, estimate
lifecycle.stage > lifecycle.stage: apply the limits
lifecycle.stage > workspace: staged.json, if nobody changed it meanwhile
lifecycle.stage > connector: values that will run
connector > optimizer: description
""",
)
MEASURE = _spoken(
    "lifecycle.measure",
    """
optimizer > connector: MEASURE
connector > lifecycle.measure: order
lifecycle.measure > workspace: records: answered before, or left unfinished?
lifecycle.measure > target: preflight
lifecycle.measure > price book: quote, estimate
lifecycle.measure > lifecycle.measure: limits, breaker, the day's budget
lifecycle.measure > workspace: the intent on record, then the files
lifecycle.measure > target: submit, once
lifecycle.measure > target: observe, at a pace
lifecycle.measure > connector: progress
connector > optimizer: progress
lifecycle.measure > workspace: evidence: result.json, output.ipynb
lifecycle.measure > lifecycle.measure: verdict
lifecycle.measure > target: release, until seen ended
lifecycle.measure > target: usage
lifecycle.measure > price book: bill
lifecycle.measure > workspace: the record
lifecycle.measure > connector: figures, or failure
connector > optimizer: measurement, or its error
""",
)


def flow(title: str, lanes: Sequence[str], said: Sequence[Said]) -> str:
    """A sequence: lanes side by side, time downwards."""
    gap, left = 184, 76
    drawing = _Drawing(title, left * 2 + gap * (len(lanes) - 1))
    at = {name: left + gap * number for number, name in enumerate(lanes)}
    bottom = 64 + 36 * len(said) + 10
    for name, x in at.items():
        drawing.line([(x, 44), (x, bottom)], "life")
        drawing.named_box(x, 14, 30, name)
    for number, one in enumerate(said):
        y, start, end = 76 + 36 * number, at[one.sender], at[one.receiver]
        if start == end:
            drawing.line([(start, y - 8), (start + 26, y - 8), (start + 26, y + 8), (start + 2, y + 8)], arrow=True)
            drawing.text(start + 34, y + 4, one.words, anchor="start")
            continue
        near = min(start, end)
        drawing.text(near + 10, y - 6, one.words, anchor="start")
        drawing.line([(start, y), (end + (2 if end < start else -2), y)], arrow=True)
    drawing.height = bottom + 12
    return drawing.svg()


def pictures() -> dict[str, str]:
    """File name -> SVG."""
    return {
        "layers.svg": layers(),
        "adjust.svg": flow("One adjust", *ADJUST),
        "measure.svg": flow("One measure", *MEASURE),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for name, svg in pictures().items():
        (FOLDER / name).write_text(svg, encoding="utf-8")

"""The pictures of the architecture are what their tool draws, and name only what there is."""

from __future__ import annotations

from xml.etree import ElementTree

from tools.architecture_pictures import ADJUST, FOLDER, MEASURE, pictures


def test_the_pictures_are_what_the_tool_draws() -> None:
    drawn = pictures()
    assert {path.name for path in FOLDER.iterdir()} == set(drawn)
    for name, svg in drawn.items():
        assert (FOLDER / name).read_text(encoding="utf-8") == svg, "run `python tools/architecture_pictures.py`"
        assert ElementTree.fromstring(svg).tag.endswith("}svg")


def test_a_flow_speaks_of_its_own_lanes_only() -> None:
    for lanes, said in (ADJUST, MEASURE):
        assert {name for one in said for name in (one.sender, one.receiver)} == set(lanes)


def test_every_layer_is_in_the_picture() -> None:
    words = "".join(ElementTree.fromstring(pictures()["layers.svg"]).itertext())
    for name in ("cli", "connector", "wiring", "lifecycle", "aws", "pricing", "domain", "optimizer", "emulator"):
        assert name in words

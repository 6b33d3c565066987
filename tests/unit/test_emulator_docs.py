"""What docs/emulator.md says in names and figures is what the code has."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from pathlib import Path

from servo_emr.cli.emulator import emulator
from servo_emr.emulator.emr.operations import OPERATIONS
from servo_emr.emulator.node.node import PASSED_ON
from servo_emr.emulator.region import Regions
from servo_emr.emulator.world.durations import FAMILY_SPEED, Ernest, ModelDurations
from servo_emr.emulator.world.ids import Ids
from servo_emr.emulator.world.records import Instance, Timeline
from servo_emr.emulator.world.timing import Provisioning
from tests.support.world import START, ScriptedMachine, launch, new_world, step

PAGE = (Path(__file__).parents[2] / "docs" / "emulator.md").read_text(encoding="utf-8")


def part(begin: str, end: str) -> str:
    """The text between two marks, each of which is there once."""
    assert PAGE.count(begin) == 1, begin
    return PAGE.partition(begin)[2].partition(end)[0]


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table below a heading, without its head."""
    table = re.search(r"^\|.*?(?=^[^|]|\Z)", part(f"\n{heading}\n", "\n## "), re.MULTILINE | re.DOTALL)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table[0].splitlines()[2:] if line]


def test_the_operations_are_those_of_the_code() -> None:
    named = re.findall(r"`(\w+)`", part("<!-- operations -->", "<!-- /operations -->"))
    assert named == sorted(OPERATIONS)


def test_the_options_and_their_defaults_are_those_of_the_command() -> None:
    told = {
        row[0].strip("`").removeprefix("--").replace("-", "_"): row[1]
        for row in rows("## Start it, and point a client at it")
    }
    options = {name: parameter.default.default for name, parameter in inspect.signature(emulator).parameters.items()}
    assert told.keys() == options.keys()
    shown = {"seed": "random", "cores": "2, or 1", "noise": "0.02", "process_cap": "30m"}
    shown |= dict.fromkeys(("no_execute", "with_parent"), "off")
    expected = {
        name: shown.get(name) or (f"{value:g}" if isinstance(value, (int, float)) else value or "")
        for name, value in options.items()
    }
    assert told == expected


def test_the_laws_coefficients_families_and_noise_are_those_of_the_code() -> None:
    law = Ernest()
    noise = ModelDurations(Ids(""), cores=lambda name: 1).noise
    coefficients = ", ".join(f"{one.name} = {getattr(law, one.name):g}" for one in fields(law))
    assert f"{coefficients}, noise = {noise:g}" in PAGE
    told = {family: float(speed) for speed, families in rows("## The scaling law") for family in families.split()}
    assert told == FAMILY_SPEED


def test_the_worked_example_comes_out() -> None:
    seed, cluster_id = "tea", "j-L4SVYEX5BI7XH"
    cluster = new_world(ScriptedMachine(), seed=seed).launch(launch(step("etl")))
    assert cluster.id == cluster_id, "the first of that seed"
    cluster.instances[:] = [
        Instance(f"ci-{n}", f"i-{n}", "ig-1", "CORE", "c5.xlarge", "ON_DEMAND", "", Timeline(START), state="RUNNING")
        for n in range(4)
    ]
    regions = Regions()
    models = [ModelDurations(Ids(seed), regions.cores, regions.memory_gib, noise=noise) for noise in (0.0, 0.02)]
    exact, noisy = (model.step(cluster, cluster.steps[0]).seconds for model in models)
    assert (
        f"= {exact:.1f} s. With the seed `{seed}` the noise of the first step of `{cluster_id}` makes it {noisy:.1f} s"
        in PAGE
    )


def test_the_timings_are_those_of_the_code() -> None:
    times = Provisioning()
    low, high = times.instance_leads_ready
    assert [row[1] for row in rows("## What happens when")] == [
        f"{times.instances_appear:g}, and up to 2 more each",
        f"{times.instances_up:g}",
        f"{times.install_applications:g}",
        f"{low:g} to {high:g}",
        f"{times.ending:g}",
        f"{times.log_delay:g}, or the cluster's end",
        f"{times.cancel_delay:g}",
    ]
    assert f"up to {times.spread:.0%}".replace("%", " %") in PAGE
    assert f"each bootstrap action takes {ModelDurations(Ids(''), cores=lambda name: 1).bootstrap_seconds:g} s" in PAGE


def test_what_pip_is_told_is_what_is_passed_on() -> None:
    assert re.findall(r"`([A-Z_]+)`", part("- **pip**", "passed on")) == list(PASSED_ON)

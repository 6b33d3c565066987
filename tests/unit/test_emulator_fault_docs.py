"""What docs/faults.md says of kinds and keys is what the code has."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import yaml

from servo_emr.emulator.faults.calls import CALL_KINDS
from servo_emr.emulator.faults.phases import ERROR_CODES, PHASE_KINDS, REASON_CODES
from servo_emr.emulator.faults.set import KINDS, Faults, WrongFault, load_faults
from servo_emr.emulator.protocol.naming import SERVICES

PAGE = (Path(__file__).parents[2] / "docs" / "faults.md").read_text(encoding="utf-8")
CALL_KEYS = ["operation", "occurrence", "since", "until", "caller"]
PHASE_KEYS = ["cluster", "occurrence", "since", "until"]

# An entry of each kind with the keys that it must have.
SMALLEST: dict[str, dict[str, Any]] = {
    "access-denied": {"operation": "RunJobFlow"},
    "alter": {"operation": "ListSteps", "member": "Marker", "to": "again"},
    "bootstrap-failure": {},
    "clock-skew": {"operation": "RunJobFlow", "seconds": 1},
    "conflict": {},
    "delay": {"phase": "step", "seconds": 1},
    "drop-reply": {"operation": "RunJobFlow"},
    "end-cluster": {"code": "INTERNAL_ERROR"},
    "end-step": {"state": "FAILED"},
    "error": {"operation": "RunJobFlow", "code": "A"},
    "expired-credentials": {"operation": "RunJobFlow"},
    "ignore-termination": {},
    "list-lag": {"seconds": 1},
    "logs": {"keep": 0},
    "lose-instance": {"role": "CORE"},
    "no-capacity": {},
    "protect": {},
    "quota": {},
    "reclaim-spot": {"role": "CORE"},
    "server-error": {"operation": "RunJobFlow"},
    "slow": {"operation": "RunJobFlow", "seconds": 1},
    "stuck": {"phase": "step"},
    "throttle": {"operation": "RunJobFlow"},
    "user-terminates": {},
}


def part(name: str) -> str:
    assert PAGE.count(f"<!-- {name} -->") == 1
    return PAGE.partition(f"<!-- {name} -->\n")[2].partition(f"<!-- /{name} -->")[0]


def rows(name: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in part(name).splitlines()[2:]]


def keys_of(kind: str) -> list[str]:
    """As the message of a wrong entry lists them."""
    with pytest.raises(WrongFault) as caught:
        Faults().replace([{"kind": kind, **SMALLEST[kind], "nonsense": 1}], 0.0)
    return str(caught.value).rpartition("it has kind, ")[2].split(", ")


def test_the_tables_have_every_kind_once() -> None:
    assert sorted(row[0].strip("`") for row in rows("calls")) == sorted(CALL_KINDS)
    assert sorted(row[0].strip("`") for row in rows("phases")) == sorted(PHASE_KINDS)
    assert set(SMALLEST) == set(KINDS)


@pytest.mark.parametrize(("table", "common"), [("calls", CALL_KEYS), ("phases", PHASE_KEYS)])
def test_every_kind_has_the_keys_that_are_told(table: str, common: list[str]) -> None:
    for kind, told, _ in rows(table):
        further, _, without = told.partition(";")
        missing = {"": set(), "no": {"operation"}, "none": set(common)}[without.split()[0] if without else ""]
        expected = [key for key in common if key not in missing] + re.findall(r"`([a-z]+)`", further)
        assert sorted(keys_of(kind.strip("`"))) == sorted(expected), kind


def test_the_example_is_accepted(tmp_path: Path) -> None:
    text = part("example").removeprefix("```yaml\n").rpartition("```")[0]
    (tmp_path / "faults.yaml").write_text(text)
    example = load_faults(tmp_path / "faults.yaml")
    assert example == yaml.safe_load(text)
    made = Faults()
    made.replace(example, 0.0)
    assert len(made.list()) == 6


def test_the_services_and_codes_are_those_that_are_told() -> None:
    told = re.search(r"any service: ([a-z0-9, -]+) and ([a-z-]+)\.", PAGE)
    assert told is not None
    assert [*told[1].split(", "), told[2]] == list(SERVICES)
    codes = set(botocore.session.get_session().get_service_model("emr").shape_for("ClusterStateChangeReasonCode").enum)
    assert set(REASON_CODES) == codes - {"USER_REQUEST"}
    assert len(ERROR_CODES) == 14 and "fourteen" in PAGE
    assert all(code.startswith(REASON_CODES) for code in ERROR_CODES)


def test_every_kind_that_the_table_of_faults_names_exists() -> None:
    words = {word for row in rows("faults") for word in re.findall(r"`([a-z][a-z-]+)`", row[2])}
    keys = {"interrupts", "occurrence", "since", "until", "remove", "by"}
    assert words - keys == set(KINDS)

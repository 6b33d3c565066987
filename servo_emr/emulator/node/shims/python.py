"""The node's `python3`: its interpreter, except that `-m venv` goes to a program which knows the node's packages.

Usage: python.py INTERPRETER PROGRAM [ARGUMENT ...], where PROGRAM takes what follows `-m venv`
"""

from __future__ import annotations

import os
import sys

_WITH_VALUE = ("W", "X")


def venv_arguments(arguments: list[str]) -> list[str] | None:
    """What follows `-m venv` among an interpreter's arguments; None when they do not run that module."""
    rest = list(arguments)
    while rest and rest[0].startswith("-") and rest[0] not in ("-", "--"):
        option = rest.pop(0)
        if option.startswith("--"):
            if option == "--check-hash-based-pycs" and rest:
                rest.pop(0)
            continue
        for position, letter in enumerate(option[1:], start=1):
            if letter == "c":
                return None
            if letter == "m" or letter in _WITH_VALUE:
                value = option[position + 1 :] or (rest.pop(0) if rest else "")
                if letter == "m":
                    return rest if value == "venv" else None
                break
    return None


def main() -> None:
    """Become the interpreter."""
    interpreter, program, *arguments = sys.argv[1:]
    environment = venv_arguments(arguments)
    if environment is not None:
        arguments = ["-I", program, *environment]
    os.execv(interpreter, [interpreter, *arguments])


if __name__ == "__main__":
    main()

"""The node's `sudo`: drops itself and its options and runs the command as the user who is already there.

Usage: sudo.py [sudo's options] [VAR=VALUE ...] COMMAND [ARGUMENT ...]
"""

from __future__ import annotations

import os
import re
import sys

_WITH_VALUE = {"-u", "-g", "-h", "-p", "-C", "-T", "-r", "-t", "-D", "-R", "--user", "--group", "--host", "--prompt"}
_ASSIGNMENT = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)", re.DOTALL)


def command_of(arguments: list[str]) -> tuple[dict[str, str], list[str]]:
    """The variables that the line sets, and the command with its arguments."""
    rest = list(arguments)
    while rest and rest[0].startswith("-"):
        option = rest.pop(0)
        if option == "--":
            break
        if _takes_next(option) and rest:
            rest.pop(0)
    variables = {}
    while rest and (match := _ASSIGNMENT.fullmatch(rest[0])):
        variables[match[1]] = match[2]
        rest.pop(0)
    return variables, rest


def _takes_next(option: str) -> bool:
    """Whether the option's value is the next argument: -u X, -nu X and --user X, but not -uX or --user=X."""
    if option.startswith("--"):
        return option in _WITH_VALUE
    for position, letter in enumerate(option[1:], start=1):
        if f"-{letter}" in _WITH_VALUE:
            return position == len(option) - 1
    return False


def main() -> None:
    """Become the command; exit status 1 when there is none, or it cannot be run."""
    variables, command = command_of(sys.argv[1:])
    if not command:
        sys.exit("sudo: on this emulated node sudo only runs a command: sudo COMMAND [ARGUMENT ...]")
    os.environ.update(variables)
    try:
        os.execvp(command[0], command)
    except OSError as error:
        sys.exit(f"sudo: {command[0]}: {error.strerror}")


if __name__ == "__main__":
    main()

"""The `servo-emr` command itself: its options, its sub-commands, its exit statuses.

0 done, 1 failed, 2 wrong usage or configuration. An error is one message; a traceback only with --debug.
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Sequence
from typing import Optional

import click
import typer

from servo_emr import __version__
from servo_emr.cli.output import note
from servo_emr.cli.overview import FIRST, LOOK, MEND, RUN, Command, Overview
from servo_emr.domain.errors import RunError, ServoEmrError, UsageError

__all__ = ["app", "run"]

_SECTIONS = {
    FIRST: {"demo": "demo", "import": "import_file", "check": "check", "policy": "policy", "plan": "plan"},
    RUN: {"cycle": "cycle", "optimizer": "optimizer", "emulator": "emulator"},
    LOOK: {
        "runs": "runs",
        "show": "show",
        "logs": "logs",
        "open": "page:open_run",
        "report": "report",
        "prices": "prices",
    },
    MEND: {"sweep": "sweep", "resume": "runs:resume"},
}
"""Each command -> its module, and its function where that is not called as the module."""
_COMMANDS = {name: (section, place) for section, commands in _SECTIONS.items() for name, place in commands.items()}


class _Commands(Overview):
    """Imports a command when it is asked for: an emulator has no use for servox, which takes longest to import."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        if cmd_name not in _COMMANDS:
            return None
        if cmd_name not in self.commands:
            section, place = _COMMANDS[cmd_name]
            module, _, function = place.partition(":")
            alone = typer.Typer(add_completion=False)
            found = getattr(importlib.import_module(f"servo_emr.cli.{module}"), function or module)
            alone.command(cmd_name, cls=Command, rich_help_panel=section)(found)
            self.commands[cmd_name] = typer.main.get_command(alone)
        return self.commands[cmd_name]


app = typer.Typer(
    name="servo-emr",
    cls=_Commands,
    help="Finds the Amazon EMR cluster on which a notebook batch job runs cheapest or fastest: measures the job on "
    "throwaway clusters, in seconds and dollars.",
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"servo-emr {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    config_file: Optional[str] = typer.Option(
        None,
        "-c",
        "--config-file",
        help="The configuration; default: servo.yaml, or SERVO_CONFIG_FILE; may stand anywhere.",
    ),
    debug: bool = typer.Option(False, "--debug", help="Show tracebacks; may stand anywhere."),
    version: bool = typer.Option(False, "--version", callback=_version, is_eager=True, help="Show the version."),
) -> None:
    """Options of all commands."""
    context.obj = config_file


def _file_first(words: Sequence[str]) -> list[str]:
    """The command line with -c, wherever it stands, before the command; no command has an option of that name."""
    first: list[str] = []
    rest: list[str] = []
    left = iter(words)
    for word in left:
        if word == "--":
            rest += [word, *left]
        elif word in ("-c", "--config-file"):
            value = next(left, None)
            if value is None:
                return [word]  # which is refused: it would take the command for its value
            first += [word, value]
        elif word.startswith(("--config-file=", "-c")):
            first.append(word)
        else:
            rest.append(word)
    return [*first, *rest]


def run() -> None:
    """Runs the command line of this process."""
    debug = "--debug" in sys.argv[1:]
    try:
        # --debug is understood wherever it stands: one adds it to the end of a line that has just failed.
        status = app(_file_first([word for word in sys.argv[1:] if word != "--debug"]), standalone_mode=False)
    except click.exceptions.Abort:
        typer.echo("Stopped.", err=True)
        status = 1
    except click.ClickException as error:
        error.show()
        status = 2
    except ServoEmrError as error:
        if debug:
            traceback.print_exc()
        status = 2 if isinstance(error, UsageError) else 1
        told = f"{error.reason}: {error}" if isinstance(error, RunError) else str(error)
        note(f"Error: {told}")
    sys.exit(status or 0)

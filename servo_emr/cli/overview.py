"""Help as plain text: the overview of all commands by what they are for, and the help of each.

Typer would draw boxes, in a pipe too. Knows no command.
"""

from __future__ import annotations

import click
import typer.core

__all__ = ["FIRST", "LOOK", "MEND", "RUN", "Command", "Overview"]

FIRST, RUN, LOOK, MEND = "First steps", "Run", "Look", "Mend"
_SECTIONS = (FIRST, RUN, LOOK, MEND)
_OTHER = "More"

_WAY = """\
From nothing to a report, without an AWS account:
  servo-emr demo

With a job of your own:
  servo generate -f servo.yaml emr   a configuration to fill in
  servo-emr check                    is everything there for a first run
  servo-emr plan                     what a run would launch and cost
  servo-emr cycle --emulated         the dry run, on this machine
  servo-emr cycle                    one run on your account: it asks first
  servo-emr runs                     what was measured; `show` tells all of one
  servo-emr report                   all runs as one page

To let it search, without `optimizer:` in servo.yaml, with OPSANI_OPTIMIZER and
OPSANI_TOKEN of your choice set for both:
  servo-emr optimizer --port 8765    what is tried next; its page shows why
  OPSANI_BASE_URL=http://127.0.0.1:8765 servo run"""
_END = "Each command has -h.\nExit status: 0 done, 1 failed, 2 wrong usage or configuration."


class Command(typer.core.TyperCommand):
    """A command whose help is plain text."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        click.Command.format_help(self, ctx, formatter)


class Overview(typer.core.TyperGroup):
    """The command itself: its help groups its sub-commands by `rich_help_panel`, and begins with the way through."""

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        formatter.write(f"\n{_WAY}\n")
        self.format_options(ctx, formatter)
        formatter.write(f"\n{_END}\n")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        by_section: dict[str, list[tuple[str, str]]] = {}
        found = ((name, self.get_command(ctx, name)) for name in self.list_commands(ctx))
        shown = [(name, command) for name, command in found if command is not None and not command.hidden]
        longest = max(len(name) for name, _ in shown)
        for name, command in shown:
            section = getattr(command, "rich_help_panel", None)
            section = section if section in _SECTIONS else _OTHER
            # All sections' texts stand in one column.
            by_section.setdefault(section, []).append((f"{name:<{longest}}", command.get_short_help_str(200)))
        for section in (*_SECTIONS, _OTHER):
            if section in by_section:
                with formatter.section(section):
                    formatter.write_dl(by_section[section])

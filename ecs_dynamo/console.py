"""Output for people: tables and colours on a terminal, plain lines in a pipe, JSON on request."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ecs_dynamo.model.errors import Problem


def console(*, stderr: bool = False) -> Console:
    """Return the console of a stream. In a pipe it is plain and wide, so that no line is folded."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(
        file=stream, highlight=False, soft_wrap=True, width=None if stream.isatty() else 200
    )


def say(text: str = "", *, style: str | None = None, stderr: bool = False) -> None:
    """Print one line. Markup in ``text`` is not interpreted."""
    console(stderr=stderr).print(text, style=style, markup=False, emoji=False)
    (sys.stderr if stderr else sys.stdout).flush()


def print_json(value: Any) -> None:
    """Print a JSON document to standard output."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_warnings(warnings: Iterable[Problem]) -> None:
    """Print warnings to standard error, so that `--json` output stays parseable."""
    for warning in warnings:
        say(f"warning: {warning}", style="yellow", stderr=True)


def print_table(title: str | None, heads: Iterable[str], rows: Iterable[Iterable[str]]) -> None:
    """Print a table without frame lines, readable in a pipe and on a terminal."""
    table = Table(
        title=None if title is None else Text(title), box=None, pad_edge=False, title_justify="left"
    )
    for head in heads:
        table.add_column(head, overflow="fold")
    for row in rows:
        # ARNs and messages are plain text: ":secret:" is not an emoji, "[prod]" is not a style.
        table.add_row(*(Text(cell) for cell in row))
    console().print(table)


_PLAN_STYLES = {
    "+ ": "green",
    "- ": "red",
    "wait: ": "yellow",
    "short: ": "yellow",
    "note: ": "dim",
}
"""Prefix of a line in a plan -> its style."""


def plan_line(line: str) -> None:
    """Print a line of a plan in the colour of its kind."""
    text = line.strip()
    styles = (style for prefix, style in _PLAN_STYLES.items() if text.startswith(prefix))
    say(line, style=next(styles, None))

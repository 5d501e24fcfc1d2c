"""Printing results as text or JSON; names read from files cannot send control codes to a terminal."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from typing import Any

import rich_click as click

from focus_cli.core.errors import one_line


def print_json(value: Any) -> None:
    """Print JSON; characters that are not printable are written as ``\\uXXXX``."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    click.echo(re.sub(r"[^\n -~]", lambda found: _spelt(found[0]), text))


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values as two columns; a name may contain rich markup, a value is plain text."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, escape(one_line(value)))
    Console(highlight=False).print(table)


def _spelt(character: str) -> str:
    return character if character.isprintable() else json.dumps(character)[1:-1]

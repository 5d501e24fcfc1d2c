"""Progress of long work: a bar on a terminal, a plain line now and then in a log file."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sized
from contextlib import contextmanager, suppress
from typing import Any, Protocol, TypeVar

from focus_cli.core.errors import FocusError, one_line

T = TypeVar("T")
_PLAIN_INTERVAL_S = 10.0
_names: list[tuple[str, str]] = []  # what stands for intermediate paths in messages
_bars: list[Any] = []  # the display that is on the terminal, if there is one


def print_message(message: str) -> None:
    """Print one line about the work to standard error."""
    message = _shown(message)
    with suppress(OSError):  # work continues if standard error is closed
        print(one_line(message), file=sys.stderr, flush=True)


def _shown(text: str) -> str:
    for own, users in reversed(_names):
        text = text.replace(own, users)
    return text


@contextmanager
def named(names: Mapping[str, str]) -> Iterator[None]:
    """Name things of the work as the user named them, in progress and in refusals of the block.

    Parameters
    ----------
    names
        Path of an intermediate file → what the user gave it for.
    """
    before = len(_names)
    _names.extend(names.items())
    try:
        yield
    except FocusError as error:
        error.message, error.hint = _shown(error.message), None if error.hint is None else _shown(error.hint)
        error.args = (error.message,)
        raise
    finally:
        del _names[before:]


def warn(lines: Iterable[str]) -> None:
    """Print warnings, one line each, to standard error."""
    for line in lines:
        print_message(f"warning: {line}")


class Task(Protocol):
    """Handle of a running piece of work."""

    def advance(self, n: float = 1) -> None:
        """Report that `n` more units are done."""

    def note(self, text: str) -> None:
        """Show a short text, such as the loss, beside the progress."""


class _PlainTask:
    def __init__(self, label: str, total: int | None) -> None:
        self._label, self._total, self._done, self._text = label, total, 0.0, ""
        self._last, self._said = time.monotonic(), ""

    def advance(self, n: float = 1) -> None:
        self._done += n
        now = time.monotonic()
        if now - self._last >= _PLAIN_INTERVAL_S:
            self._last = now
            self.print_line()

    def note(self, text: str) -> None:
        self._text = text

    def print_line(self) -> None:
        """Print the state of the work, unless the last printed line is the same."""
        of = f"/{self._total} ({100 * self._done / self._total:.0f} %)" if self._total else ""
        line = f"{self._label}: {self._done:g}{of} {self._text}".rstrip()
        if line != self._said:
            self._said = line
            print_message(line)


class _RichTask:
    def __init__(self, bar, task_id) -> None:
        self._bar, self._id = bar, task_id

    def advance(self, n: float = 1) -> None:
        self._bar.advance(self._id, n)

    def note(self, text: str) -> None:
        self._bar.update(self._id, note=text)


@contextmanager
def task(label: str, total: int | None = None) -> Iterator[Task]:
    """Show the progress of one piece of work.

    Parameters
    ----------
    label
        What is being done, as a gerund: ``"training"``.
    total
        Number of units, if it is known.
    """
    if _bars:  # work within work: one display holds both, a terminal shows no two
        bar = _bars[-1]
        added = bar.add_task(label, total=total, note="")
        try:
            yield _RichTask(bar, added)
        finally:
            bar.remove_task(added)
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}"),
        )
        with Progress(*columns, console=Console(stderr=True)) as bar:
            _bars.append(bar)
            try:
                yield _RichTask(bar, bar.add_task(label, total=total, note=""))
            finally:
                _bars.remove(bar)
    else:
        plain = _PlainTask(label, total)
        yield plain
        plain.print_line()


def track(items: Iterable[T], label: str, total: int | None = None) -> Iterator[T]:
    """Iterate over `items`, showing progress."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    with task(label, total) as running:
        for item in items:
            yield item
            running.advance()

"""Signals that end a command: it unwinds, removes what it left half-done, and ends with 128 + the signal's number.

An exception that is raised in a signal's handler can be lost: in a callback of a C library, in ``__del__``, in an
import that is tried. So the signal is noted as well, checked where an output takes its name, and a process that
continues is ended.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE_S = 10.0  # for unwinding


class Interrupted(KeyboardInterrupt):
    """A signal ended the process."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class _State:
    noted: int | None = None
    shields: int = 0
    process: int = 0
    last_act: Callable[[], None] = staticmethod(lambda: None)


_state = _State()


def end_on_signals(last_act: Callable[[], None] | None = None) -> None:
    """End this process on SIGINT, SIGTERM and SIGHUP by raising `Interrupted` in the main thread.

    A signal that is ignored, as under nohup, stays so. May be called again, to name `last_act`.

    Parameters
    ----------
    last_act
        Called before a process that does not unwind in time is ended.
    """
    if last_act is not None:
        _state.last_act = last_act
    if _state.process == os.getpid():
        return
    _state.noted, _state.shields, _state.process = None, 0, os.getpid()
    for number in SIGNALS:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            signal.signal(number, _note)


def noted_signal() -> int | None:
    """The signal that ended this process; None if none did."""
    return _state.noted if _state.process == os.getpid() else None


def check_interrupted() -> None:
    """Raise `Interrupted` again where a signal came and its exception was lost."""
    if (number := noted_signal()) is not None and not _state.shields:
        raise Interrupted(number)


@contextmanager
def shielded() -> Iterator[None]:
    """Let nothing interrupt a few steps that belong together; a signal that comes meanwhile is raised after them."""
    before = _state.noted
    _state.shields += 1
    try:
        yield
    finally:
        _state.shields -= 1
    if before is None:
        check_interrupted()


def _note(number: int, frame) -> None:
    if os.getpid() != _state.process:  # a fork of it, which has nothing to remove
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
        return
    if _state.noted is None:
        _state.noted = number
        threading.Thread(target=_end_late, args=(number,), name="focus-end", daemon=True).start()
    if not _state.shields:
        raise Interrupted(number)


def _end_late(number: int) -> None:
    threading.Event().wait(GRACE_S)
    _state.last_act()
    try:
        sys.stderr.write("focus: interrupted\n")
        sys.stderr.flush()
    finally:
        os._exit(128 + number)

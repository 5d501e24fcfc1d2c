"""Signals of a time limit are handled between two steps: training ends where it can be resumed."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from focus_cli.core.errors import Preempted

STOP_SIGNALS = (signal.SIGTERM, signal.SIGUSR1)


class StopRequest:
    """Whether a signal has requested this process to stop.

    Attributes
    ----------
    at_once
        Whether it does so by itself, as long as there is nothing to save; else who works looks at the request.
    """

    def __init__(self) -> None:
        self.at_once, self._asked = True, False

    def __bool__(self) -> bool:
        return self._asked

    def hear(self, number: int, frame) -> None:
        """Be the handler of a signal."""
        self._asked = True
        if self.at_once:
            self.at_once = False
            raise Preempted(
                f"stopped by {signal.Signals(number).name} before the first step",
                hint="the same command starts again where the last state was saved",
            )


_heard: StopRequest | None = None


@contextmanager
def stop_on_signal() -> Iterator[StopRequest]:
    """Note SIGTERM and SIGUSR1 in place of dying of them, within the block; a block within another shares its request.

    Only the main thread can; elsewhere the request never comes, and the signals do what they did.

    Raises
    ------
    Preempted
        From wherever the work is, as long as the request is ``at_once``.
    """
    global _heard
    if _heard is not None:
        yield _heard
        return
    if threading.current_thread() is not threading.main_thread():
        yield StopRequest()
        return
    _heard = StopRequest()
    before = {number: signal.signal(number, _heard.hear) for number in STOP_SIGNALS}
    try:
        yield _heard
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _heard = None


def ignore_stop_signals() -> None:
    """Let a signal that comes while the process ends change nothing of how it ended."""
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)

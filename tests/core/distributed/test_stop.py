"""Signals that ask to stop."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from focus_cli.core.distributed.stop import STOP_SIGNALS, stop_on_signal
from focus_cli.core.errors import Preempted


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_before_there_is_anything_to_save_stops_at_once(number):
    before = signal.getsignal(number)
    with pytest.raises(Preempted, match=signal.Signals(number).name), stop_on_signal():
        os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize("number", STOP_SIGNALS)
def test_a_signal_in_the_loop_is_only_noted_and_blocks_share_it(number):
    with stop_on_signal() as outer, stop_on_signal() as inner:
        inner.at_once = False
        assert not inner
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert inner and outer is inner


def test_a_thread_leaves_signals_alone():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def run():
        with stop_on_signal():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == [before]

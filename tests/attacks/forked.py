"""The `focus` command forked from the process that has imported everything, with the interface of `subprocess.Popen`.

What a verb does from its first line to its exit code is as in a process started by a shell; only the start of the
interpreter and the imports are missing, which are most of the time of a small verb.
"""

from __future__ import annotations

import atexit
import os
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path

from running import context


class Forked:
    """A running verb.

    Parameters
    ----------
    words
        As typed after ``focus``.
    scratch
        Its TMPDIR.
    file_limit
        Largest size of a file that it writes, in bytes.
    together
        Whether what it writes to stdout is kept, with what it writes to stderr.
    """

    def __init__(
        self, words: list[str], scratch: Path, file_limit: int | None = None, *, together: bool = False
    ) -> None:
        self.args = words
        self._stderr, there = Pipe(duplex=False)
        self._process = context().Process(
            target=_focus, args=(words, str(scratch), file_limit, together, there), daemon=True
        )
        self._process.start()
        there.close()
        os.read(self._stderr.fileno(), 1)  # it handles signals from here on

    @property
    def returncode(self) -> int | None:
        """Exit code, negative where a signal ended it; None while it runs."""
        return self._process.exitcode

    def poll(self) -> int | None:
        """As `returncode`."""
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Send a signal to it, unless it has ended."""
        if self.poll() is None:
            os.kill(self._process.pid, number)

    def communicate(self, timeout: float) -> tuple[str, str]:
        """Wait for its end; return nothing for stdout, and what was kept."""
        content, until = b"", time.monotonic() + timeout
        while True:
            if not select.select([self._stderr], [], [], max(0.0, until - time.monotonic()))[0]:
                self._process.kill()
                raise subprocess.TimeoutExpired(self.args, timeout)
            part = os.read(self._stderr.fileno(), 1 << 16)
            if not part:
                break
            content += part
        self._process.join(timeout)
        self._stderr.close()
        return "", content.decode(errors="replace")


def run(
    words: list[str], scratch: Path, timeout: float, file_limit: int | None = None, *, together: bool = False
) -> subprocess.CompletedProcess:
    """Run a verb to its end."""
    process = Forked(words, scratch, file_limit, together=together)
    _, stderr = process.communicate(timeout)
    return subprocess.CompletedProcess(words, process.returncode, "", stderr)


def _focus(words: list[str], scratch: str, file_limit: int | None, together: bool, stderr: Connection) -> None:
    from focus_cli.cli.entry import main
    from focus_cli.core.interrupts import end_on_signals

    quiet = os.open(os.devnull, os.O_RDWR)
    for number, target in ((0, quiet), (1, stderr.fileno() if together else quiet), (2, stderr.fileno())):
        os.dup2(target, number)
    stderr.close()
    # Those of the process that it was forked from may be files, and know how far they were written.
    sys.stdout = open(1, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False, errors="backslashreplace")  # noqa: SIM115
    os.environ["TMPDIR"], tempfile.tempdir = scratch, None
    if file_limit is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (file_limit, resource.RLIM_INFINITY))
    sys.argv, code = ["focus", *words], 0
    signal.signal(signal.SIGINT, signal.default_int_handler)
    end_on_signals()
    os.write(2, b"\0")
    try:
        main()
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException as error:
        sys.excepthook(type(error), error, error.__traceback__)
        code = 1
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code)

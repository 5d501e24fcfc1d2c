"""Commands in processes of their own that are forked from one that has imported everything: some dozens a second."""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

TIMEOUT_S = 300  # of a machine with much else to do; all but two commands take about a second
MEMORY = 12 << 30


@dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes
    ----------
    kind
        ``"done"``, ``"refused"``, or one of the faults ``"traceback"``, ``"hang"``, ``"crash"`` and ``"memory"``.
    code
        Exit code of a refusal.
    text
        The refusal's line, or where the fault happened.
    seconds
        Of one core, where it ended by itself.
    """

    kind: str
    code: int = 0
    text: str = ""
    seconds: float = 0.0

    @property
    def fault(self) -> bool:
        """Whether it is a defect of FOCUS."""
        return self.kind not in ("done", "refused")


def context() -> multiprocessing.context.BaseContext:
    """Where processes are forked from."""
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(["warm"])
    return found


def run(words: list[str], folder: Path, timeout_s: float = TIMEOUT_S) -> Outcome:
    """Run ``focus WORDS`` in `folder`."""
    here, there = multiprocessing.Pipe(duplex=False)
    process = context().Process(target=_child, args=(words, str(folder), there), daemon=True)
    process.start()
    there.close()
    outcome = Outcome("crash", text="it ended without a word")
    if not here.poll(timeout_s):
        outcome = Outcome("hang", text=f"after {timeout_s} s")
        process.kill()
    else:
        try:
            outcome = Outcome(*here.recv())
        except EOFError:
            process.join(10)
            outcome = Outcome("crash", text=f"exit code {process.exitcode}")
    process.join(10)
    here.close()
    process.close() if process.exitcode is not None else process.kill()
    return outcome


def _child(words: list[str], folder: str, answer: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    os.chdir(folder)
    quiet = os.open(os.devnull, os.O_RDWR)
    for number in (0, 1, 2):
        os.dup2(quiet, number)
    answer.send((*_outcome(words), time.process_time()))
    answer.close()
    os._exit(0)


def _outcome(words: list[str]) -> tuple[str, int, str]:
    import click

    from focus_cli.cli.main import cli
    from focus_cli.core.errors import FocusError

    try:
        cli.main(words, standalone_mode=False)
    except FocusError as error:
        return "refused", error.exit_code, error.message
    except click.exceptions.Exit as error:
        return "done", error.exit_code, ""
    except click.ClickException as error:
        return "refused", error.exit_code, error.format_message()
    except MemoryError:
        return "memory", 0, _place()
    except BaseException as error:
        return "traceback", 0, f"{type(error).__name__}: {str(error)[:150]} at {_place()}"
    return "done", 0, ""


def _place() -> str:
    """The last line of ours in a traceback, and the last of all."""
    frames = traceback.extract_tb(sys.exc_info()[2])
    ours = [frame for frame in frames if "focus_cli" in frame.filename]
    chosen = [*ours[-2:], *([frames[-1]] if frames and frames[-1] not in ours else [])]
    return " < ".join(f"{Path(f.filename).name}:{f.lineno} {f.name}" for f in reversed(chosen))

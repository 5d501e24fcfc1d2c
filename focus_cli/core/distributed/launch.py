"""Starting a command of FOCUS again as several processes, on this node or on several."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path

from focus_cli.core.distributed import exit_report, slurm
from focus_cli.core.errors import JOB_VARIABLE, FocusError, UsageError

FORWARDED = {signal.SIGTERM: signal.SIGTERM, signal.SIGUSR1: signal.SIGUSR1, signal.SIGHUP: signal.SIGTERM}


def is_launched() -> bool:
    """Whether this process is one of several that `launch` has started."""
    return exit_report.VARIABLE in os.environ


def check_launch(processes: int, nodes: int) -> None:
    """Refuse what cannot be started, before anything is read.

    Raises
    ------
    UsageError
        Within torchrun, or if Slurm has not given the nodes.
    """
    if "WORLD_SIZE" in os.environ:
        raise UsageError("--processes and --nodes within torchrun", hint="use one of the two")
    if nodes > 1:
        slurm.check_allocation(nodes)


def launch(arguments: Sequence[str], out: Path, processes: int, nodes: int = 1) -> None:
    """Run ``focus ARGUMENT…`` as several processes and wait for them.

    Parameters
    ----------
    arguments
        What follows the command's name.
    out
        What they will write; their exit report is written beside it, where all nodes can read it.
    processes
        On each node.
    nodes
        Of the Slurm allocation, if more than one.

    Raises
    ------
    FocusError
        The refusal of the first process that failed, with its exit code.
    """
    report = Path(out).absolute().with_name(f".{Path(out).name}.{uuid.uuid4().hex[:8]}.exit_report")
    report.parent.mkdir(parents=True, exist_ok=True)
    environment = {k: v for k, v in os.environ.items() if k != JOB_VARIABLE} | {exit_report.VARIABLE: str(report)}
    environment.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // processes)))
    environment.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # else a warning of every process
    name, meeting = (uuid.uuid4().hex, "localhost:0") if nodes == 1 else slurm.rendezvous()
    agent = [sys.executable, "-P", "-m", "focus_cli.core.distributed.agent", str(nodes), str(processes), name, meeting]
    command = ([] if nodes == 1 else slurm.srun_command(nodes)) + [*agent, *arguments]
    try:
        code = _wait(subprocess.Popen(command, env=environment))
        if refusal := exit_report.read_exit_report(report):
            raise refusal
    finally:
        report.unlink(missing_ok=True)
    if code:
        error = FocusError(f"a training process ended with {_ending(code)}", hint="the lines above give the reason")
        error.exit_code = code
        raise error


def _wait(child: subprocess.Popen) -> int:
    """Wait for the processes, forwarding signals to stop; returns the exit code as a shell reports it."""

    def forward(number: int, frame) -> None:
        if child.poll() is None:
            child.send_signal(FORWARDED[signal.Signals(number)])

    before = {number: signal.signal(number, forward) for number in FORWARDED}
    try:
        code = child.wait()
    except KeyboardInterrupt:  # the terminal has signalled them too
        child.wait()
        raise
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return code if code >= 0 else 128 - code


def _ending(code: int) -> str:
    try:
        return f"signal {signal.Signals(code - 128).name}"
    except ValueError:
        return f"exit code {code}"

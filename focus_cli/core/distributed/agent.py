"""What starts the training processes of one node: torchrun's engine, with handling of time limits.

``python -m focus_cli.core.distributed.agent NODES PROCESSES RUN_ID HOST:PORT ARGUMENT…`` starts PROCESSES times
``python -m focus_cli ARGUMENT…``. It ends with the exit code of the first process that failed. SIGTERM, SIGUSR1 and
SIGINT are passed on, and the processes have the time that they need: torchrun itself kills them after 30 s, and dies
of SIGUSR1.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

import psutil

PASSED_ON = (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT)
WATCH_S = 1.0


def _pass_on(number: int, frame=None) -> None:
    for child in psutil.Process().children():
        try:
            child.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _run(nodes: int, processes: int, run_id: str, endpoint: str, arguments: list[str]) -> int:
    """Start the processes and wait for them; the first failure's exit code, as a shell reports it."""
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # Its report on a failed process would hide the line that the process has left.
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL + 1)
    config = LaunchConfig(
        min_nodes=nodes,
        max_nodes=nodes,
        nproc_per_node=processes,
        run_id=run_id,
        rdzv_endpoint=endpoint,
        rdzv_backend="c10d",
        max_restarts=0,
        local_addr="localhost" if nodes == 1 else None,
    )
    try:
        elastic_launch(config, sys.executable)("-P", "-m", "focus_cli", *arguments)
    except ChildFailedError as error:
        _, failure = error.get_first_failure()
        return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    return 0


def main(nodes: str, processes: str, run_id: str, endpoint: str, *arguments: str) -> int:
    """Run the engine in a separate thread, where it leaves the signals to us."""
    parent, ended = os.getppid(), []

    def run() -> None:
        ended.append(_run(int(nodes), int(processes), run_id, endpoint, list(arguments)))

    engine = threading.Thread(target=run, name="focus-agent")
    for number in PASSED_ON:
        signal.signal(number, _pass_on)
    engine.start()
    while engine.is_alive():
        engine.join(WATCH_S)
        if os.getppid() != parent:  # killed before it could pass on anything
            parent = os.getppid()
            _pass_on(signal.SIGTERM)
    for number in PASSED_ON:  # what comes now changes nothing of how it ended
        signal.signal(number, signal.SIG_IGN)
    return ended[0] if ended else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

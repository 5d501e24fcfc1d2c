"""Limits of this process: cores, memory, open files, shared memory."""

from __future__ import annotations

import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

from focus_cli.workflow.health.check import PASS, WARN, Check

_MIN_MEMORY_GB = 8.0
_MIN_FILES = 4096
_MIN_SHARED_GB = 1.0
_SHARED = Path("/dev/shm")


def cores_and_memory() -> Iterator[Check]:
    """Cores and memory that this process may use, and what bounds the memory (control group, Slurm, ulimit)."""
    from focus_cli.core.resources.memory import available_mb

    memory, bound = available_mb()
    cores = len(os.sched_getaffinity(0))
    found = f"{cores} cores, {memory / 1000:.0f} GB of memory ({bound})"
    if memory / 1000 < _MIN_MEMORY_GB:
        fix = f"{_MIN_MEMORY_GB:.0f} GB are needed for Visium HD at 8 µm; request more from the scheduler"
        yield Check("memory", WARN, found, fix)
    else:
        yield Check("memory", PASS, found)


def open_files() -> Iterator[Check]:
    """Limit of open files: zarr stores and cohorts of slides open many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < _MIN_FILES:
        wanted = _MIN_FILES if hard == resource.RLIM_INFINITY or hard >= _MIN_FILES else hard
        yield Check("open files", WARN, f"at most {soft}", f"ulimit -n {wanted}")
    else:
        yield Check("open files", PASS, "unlimited" if soft == resource.RLIM_INFINITY else f"at most {soft}")


def shared_memory() -> Iterator[Check]:
    """``/dev/shm``, through which processes of one node hand tensors to each other (NCCL, torch)."""
    if not _SHARED.is_dir():
        yield Check(
            "shared memory", WARN, f"no {_SHARED}", "several processes per node need it: bind it into the container"
        )
        return
    free = shutil.disk_usage(_SHARED).free / 1e9
    found = f"{free:.1f} GB free in {_SHARED}"
    if not os.access(_SHARED, os.W_OK):
        yield Check("shared memory", WARN, f"{_SHARED} cannot be written", "bind it into the container")
    elif free < _MIN_SHARED_GB:
        yield Check("shared memory", WARN, found, "docker run --shm-size=2g, or remove files there")
    else:
        yield Check("shared memory", PASS, found)

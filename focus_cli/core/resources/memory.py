"""How much memory a job may take, and the word before work begins that it will not be enough."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from focus_cli.core.errors import MissingResourceError
from focus_cli.core.resources.estimates import MARGIN, needs
from focus_cli.core.resources.size import Size

# Shares of the estimate that must fit: a refusal should be right, and sizes that are guessed are off by more.
_SURE, _GUESSED = 0.8, 0.4
# Of a limit on what is mapped no page can be given back for another, and libraries that are loaded later count as well.
_HARD = 1.25
_MB = 1_000_000
_CGROUPS, _OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
# Of address space: stacks, and the arenas that the allocator reserves for threads.
_THREADS, _PER_THREAD = min(4, os.cpu_count() or 1), (8 + 64) << 20
_NO_LIMIT = 1 << 60  # what a cgroup of version 1 states where it limits nothing


def available_mb() -> tuple[int, str]:
    """Memory in MB (10⁶ bytes) that this process may take, and what bounds it.

    The least of the cgroup's limit, the allocation of Slurm, the limit on the address space, and what the machine has
    available now.
    """
    bounds = [*_cgroup(), *_slurm(), *_rlimit(), *_machine()]
    return min(bounds, key=lambda bound: bound[0], default=(1 << 40, "nothing"))


def check_memory(stage: str, size: Size | Sequence[Size], lower: str = "", **options: Any) -> None:
    """Refuse a stage that would be killed for its memory, before any of its work.

    The need is taken without the margin that is requested from a scheduler, and must clearly exceed what there is: a
    job that may just fit continues.

    Parameters
    ----------
    stage, size, options
        As for `needs`.
    lower
        What the user can lower, for the hint.

    Raises
    ------
    MissingResourceError
        Naming what is needed and what there is.
    """
    sizes = [size] if isinstance(size, Size) else list(size)
    wanted = needs(stage, sizes, **options).mem_mb / MARGIN
    there, bound = available_mb()
    share = _SURE if all(part.known for part in sizes) else _GUESSED
    if bound.startswith("ulimit"):
        wanted, share = wanted * _HARD, share / _SURE
    if wanted * share <= there:
        return
    raise MissingResourceError(
        f"{stage} needs about {wanted / 1000:.1f} GB of memory, {there / 1000:.1f} GB are available ({bound})",
        hint=f"{lower}; or request more memory" if lower else "request more memory, or take a machine with more",
    )


def _read_int(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="utf-8").split()[0])
    except (OSError, ValueError, IndexError):
        return None


def _cgroup() -> Iterator[tuple[int, str]]:
    """Limits of the control groups that this process lies in, from its own up to the root (versions 1 and 2)."""
    try:
        lines = _OWN_CGROUP.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        controllers, _, group = line.partition(":")[2].partition(":")
        if controllers == "":
            base, name = _CGROUPS, "memory.max"
        elif "memory" in controllers.split(","):
            base, name = _CGROUPS / "memory", "memory.limit_in_bytes"
        else:
            continue
        own = base / group.lstrip("/")
        for folder in (own, *own.parents):
            limit = _read_int(folder / name)
            if limit is not None and limit < _NO_LIMIT:
                yield limit // _MB, "limit of the control group"
            if folder == base:
                break


def _slurm() -> Iterator[tuple[int, str]]:
    """What Slurm granted on this node, in its MB of 2²⁰ bytes."""
    try:
        if whole := int(os.environ.get("SLURM_MEM_PER_NODE") or 0):  # 0: all of the node
            yield whole * 2**20 // _MB, "SLURM_MEM_PER_NODE"
        elif each := int(os.environ.get("SLURM_MEM_PER_CPU") or 0):
            cpus = int(os.environ.get("SLURM_CPUS_ON_NODE") or 1)
            yield each * cpus * 2**20 // _MB, "SLURM_MEM_PER_CPU"
    except ValueError:
        return


def _rlimit() -> Iterator[tuple[int, str]]:
    """What the limits on address space and on data leave for memory that is used.

    Libraries map far more than they use; needs are stated in memory that is used. What is mapped by now beyond it is
    gone from the limit, and so is what the threads that are still to come will reserve.
    """
    import resource

    used = _status()
    for name, kind, mapped, resident in (
        ("ulimit -v", resource.RLIMIT_AS, "VmSize", "VmRSS"),
        ("ulimit -d", resource.RLIMIT_DATA, "VmData", "RssAnon"),
    ):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY:
            idle = max(0, used.get(mapped, 0) - used.get(resident, 0))
            yield max(0, limit - idle - _THREADS * _PER_THREAD) // _MB, name


def _status() -> dict[str, int]:
    """Figures of this process in bytes, by their names in /proc."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    parts = [line.split() for line in lines if line.endswith(" kB")]
    return {part[0].rstrip(":"): int(part[1]) * 1024 for part in parts}


def _machine() -> Iterator[tuple[int, str]]:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                yield int(line.split()[1]) * 1024 // _MB, "free on this machine"
                return
    except (OSError, ValueError, IndexError):
        pass
    try:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // _MB, "memory of this machine"
    except (OSError, ValueError):
        return

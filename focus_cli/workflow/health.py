"""What a run needs of the machine, looked at before hours are spent."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

from focus_cli.errors import FocusError

_MIN_PYTHON, _BELOW_PYTHON = (3, 11), (3, 14)
_MIN_FREE_GB = 10.0
_MIN_MEMORY_GB = 8.0
_SLOW_MB_S = 50.0
_PROBE_MB = 32


@dataclass(frozen=True)
class Check:
    """One line of the doctor: what was looked at, how it is, and what to do about it."""

    name: str
    status: str  # PASS, WARN or FAIL
    found: str
    fix: str = ""


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    fits = _MIN_PYTHON <= sys.version_info[:2] < _BELOW_PYTHON
    return Check("python", "PASS" if fits else "FAIL", found, "" if fits else "install Python 3.11 to 3.13")


def _packages() -> Check:
    from packaging.requirements import Requirement

    try:
        required = [Requirement(line) for line in metadata.requires("focus-st") or []]
    except metadata.PackageNotFoundError:
        return Check("packages", "FAIL", "focus-st is not installed", "pip install .")
    wrong = []
    for requirement in required:
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            wrong.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            wrong.append(f"{requirement.name} {version}, needs {requirement.specifier}")
    if wrong:
        return Check("packages", "FAIL", "; ".join(wrong), "pip install --upgrade focus-st")
    shown = ("anndata", "scanpy", "numpy", "zarr")
    return Check("packages", "PASS", ", ".join(f"{name} {metadata.version(name)}" for name in shown))


def _torch() -> Check:
    import torch

    if torch.cuda.is_available():
        name = torch.cuda.get_device_name(0)
        return Check("torch", "PASS", f"{torch.__version__}, CUDA {torch.version.cuda}, {name}")
    found = f"{torch.__version__}, CPU"
    if shutil.which("nvidia-smi"):
        return Check("torch", "WARN", f"{found}, though there is a GPU", "make install TORCH_SPEC=torch")
    return Check("torch", "PASS", found)


def _jpeg() -> Check:
    import imagecodecs
    import numpy as np

    tile = np.full((32, 32, 3), 128, np.uint8)
    decoded = imagecodecs.jpeg_decode(imagecodecs.jpeg_encode(tile, level=95))
    if decoded.shape != tile.shape or abs(decoded.astype(int) - 128).max() > 2:
        return Check("jpeg", "FAIL", "imagecodecs decodes JPEG wrongly", "reinstall imagecodecs")
    return Check("jpeg", "PASS", f"imagecodecs {imagecodecs.__version__} decodes JPEG tiles")


def _snakemake() -> Check:
    from focus_cli.workflow.locate import snakefile

    version = metadata.version("snakemake")
    return Check("snakemake", "PASS", f"{version}, {snakefile()}")


def _slurm() -> Check:
    absent = [name for name in ("sbatch", "squeue", "scancel") if not shutil.which(name)]
    if absent:
        return Check("slurm", "WARN", f"no {', '.join(absent)}", "only needed for focus run --profile slurm")
    try:
        version = metadata.version("snakemake-executor-plugin-slurm")
    except metadata.PackageNotFoundError:
        return Check("slurm", "WARN", "no Snakemake executor for Slurm", 'pip install "focus-st[slurm]"')
    return Check("slurm", "PASS", f"commands found, executor {version}")


def _cores_and_memory() -> Check:
    import psutil

    memory = psutil.virtual_memory().total / 1e9
    found = f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GB"
    if memory < _MIN_MEMORY_GB:
        return Check("memory", "WARN", found, f"{_MIN_MEMORY_GB:.0f} GB are needed for Visium HD at 8 µm")
    return Check("memory", "PASS", found)


def _disk() -> Check:
    here = Path.cwd()
    free = shutil.disk_usage(here).free / 1e9
    block = os.urandom(1 << 20)
    try:
        with tempfile.TemporaryFile(dir=here) as probe:
            start = time.perf_counter()
            for _ in range(_PROBE_MB):
                probe.write(block)
            probe.flush()
            os.fsync(probe.fileno())
            speed = _PROBE_MB / (time.perf_counter() - start)
    except OSError as error:
        return Check("disk", "FAIL", f"cannot write here: {error.strerror}", "go to a folder of your own")
    found = f"{free:.0f} GB free here, writes {speed:.0f} MB/s"
    if free < _MIN_FREE_GB:
        return Check("disk", "WARN", found, f"keep {_MIN_FREE_GB:.0f} GB free for a Visium HD section")
    if speed < _SLOW_MB_S:
        return Check("disk", "WARN", found, "run on a local or scratch file system")
    return Check("disk", "PASS", found)


def _data() -> Check:
    path = os.environ.get("FOCUS_DATA")
    if not path:
        return Check("FOCUS_DATA", "WARN", "not set", "only needed for make demo-breast and make demo-kidney")
    if not Path(path).is_dir():
        return Check("FOCUS_DATA", "FAIL", f"no such folder: {path}", "set it to the folder of the real data")
    return Check("FOCUS_DATA", "PASS", path)


_CHECKS: dict[str, Callable[[], Check]] = {
    "python": _python,
    "packages": _packages,
    "torch": _torch,
    "jpeg": _jpeg,
    "snakemake": _snakemake,
    "slurm": _slurm,
    "memory": _cores_and_memory,
    "disk": _disk,
    "FOCUS_DATA": _data,
}


def checks() -> list[Check]:
    """Make every check; one that breaks is a FAIL and never stops the others."""
    results = []
    for name, look in _CHECKS.items():
        try:
            results.append(look())
        except FocusError as error:
            results.append(Check(name, "FAIL", error.message, error.hint or ""))
        except Exception as error:
            # A broken installation fails in any way it likes; that it does is the finding.
            said = f"{type(error).__name__}: {' '.join(str(error).split())}"
            results.append(Check(name, "FAIL", said, "make install"))
    return results


def as_text(results: list[Check]) -> str:
    """One line per check, its fix below."""
    lines = []
    for check in results:
        lines.append(f"{check.status}  {check.name:<11} {check.found}")
        if check.fix:
            lines.append(f"      {'':<11} → {check.fix}")
    return "\n".join(lines)


def to_json(results: list[Check]) -> str:
    """The checks as a JSON list."""
    return json.dumps([asdict(check) for check in results], indent=2, ensure_ascii=False)

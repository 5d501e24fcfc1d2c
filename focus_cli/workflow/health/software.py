"""Python, the packages that FOCUS needs, and Snakemake with its workflow."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from focus_cli.workflow.health.check import FAIL, PASS, WARN, Check

_MIN_PYTHON, _BELOW_PYTHON = (3, 11), (3, 14)
_SHOWN = ("anndata", "scanpy", "numpy", "zarr")


def python() -> Iterator[Check]:
    """The interpreter's version."""
    found = ".".join(map(str, sys.version_info[:3]))
    fits = _MIN_PYTHON <= sys.version_info[:2] < _BELOW_PYTHON
    yield Check("python", PASS if fits else FAIL, found, "" if fits else "install Python 3.11 to 3.13")


def packages() -> Iterator[Check]:
    """Every package that is required, in a version that fits."""
    from packaging.requirements import Requirement

    try:
        required = [Requirement(line) for line in metadata.requires("focus-st") or []]
    except metadata.PackageNotFoundError:
        yield Check("packages", FAIL, "focus-st is not installed", "pip install focus-st")
        return
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
        yield Check("packages", FAIL, "; ".join(wrong), "pip install --upgrade focus-st")
    else:
        yield Check("packages", PASS, ", ".join(f"{name} {metadata.version(name)}" for name in _SHOWN))


def snakemake() -> Iterator[Check]:
    """Snakemake, and the location of the workflow."""
    from focus_cli.workflow.locate import snakefile

    yield Check("snakemake", PASS, f"{metadata.version('snakemake')}, {snakefile()}")


def data() -> Iterator[Check]:
    """The real data of the demos and tests."""
    path = os.environ.get("FOCUS_DATA")
    if not path:
        yield Check("FOCUS_DATA", WARN, "not set", "only needed for make demo-breast and make demo-kidney")
    elif not Path(path).is_dir():
        yield Check("FOCUS_DATA", FAIL, f"no such folder: {path}", "set it to the folder of the real data")
    else:
        yield Check("FOCUS_DATA", PASS, path)

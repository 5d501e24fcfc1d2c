"""Every check of a machine, in the order of their output."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict

from focus_cli.core.errors import FocusError
from focus_cli.workflow.health import codecs, gpu, limits, schedulers, software, storage, weights
from focus_cli.workflow.health.check import FAIL, Check, Look

LOOKS: Mapping[str, Look] = {
    "python": software.python,
    "packages": software.packages,
    "torch": gpu.torch_build,
    "gpu": gpu.devices,
    "distributed": gpu.distributed,
    "codecs": codecs.codecs,
    "snakemake": software.snakemake,
    "schedulers": schedulers.schedulers,
    "memory": limits.cores_and_memory,
    "open files": limits.open_files,
    "shared memory": limits.shared_memory,
    "disk": storage.here,
    "scratch": storage.scratch,
    "encoders": weights.encoders,
    "FOCUS_DATA": software.data,
}


def checks(looks: Mapping[str, Look] = LOOKS) -> Iterator[Check]:
    """Run every check; a check that raises is a FAIL and does not stop the others."""
    for name, look in looks.items():
        try:
            yield from look()
        except FocusError as error:
            yield Check(name, FAIL, error.message, error.hint or "")
        except Exception as error:
            # A broken installation fails in any way it likes; that it does is the finding.
            problem = f"{type(error).__name__}: {' '.join(str(error).split())}"
            yield Check(name, FAIL, problem, "pip install --force-reinstall focus-st")


def as_text(check: Check) -> str:
    """One line for a check, its fix below."""
    line = f"{check.status}  {check.name:<17} {check.found}"
    return f"{line}\n      {'':<17} → {check.fix}" if check.fix else line


def to_json(results: list[Check]) -> str:
    """The checks as a JSON list of ``name``, ``status``, ``found``, ``fix``."""
    return json.dumps([asdict(check) for check in results], indent=2, ensure_ascii=False)

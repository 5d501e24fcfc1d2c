"""Seconds and memory of a job, as Snakemake's benchmark files hold them."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from focus_cli.core.errors import FocusError
from focus_cli.core.storage.regular import read_text_bounded

_MB_PER_MIB = 1.048576


def read_benchmark(path: Path) -> dict[str, float]:
    """``seconds`` and ``max_memory_mb`` of the last repeat in a benchmark file of Snakemake (which counts MiB).

    Empty where there is none; a job shorter than the first measurement has no memory.
    """
    try:
        row = list(csv.DictReader(io.StringIO(read_text_bounded(Path(path))), delimiter="\t"))[-1]
        measured = {"seconds": float(row["s"])}
        if row["max_rss"] not in ("NA", "-"):
            measured["max_memory_mb"] = float(row["max_rss"]) * _MB_PER_MIB
        return measured
    except (FocusError, csv.Error, IndexError, KeyError, ValueError, TypeError):
        return {}

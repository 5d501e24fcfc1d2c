"""Memory, time and threads of one job of each stage: straight lines in what the stage works on, measured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from focus_cli.core.errors import UsageError
from focus_cli.core.resources.costs import COSTS, PARAMETERS
from focus_cli.core.resources.size import Size, total

MARGIN = 1.4  # on what was measured: other libraries, other allocators, other samples
TIME_MARGIN = 4.0  # processors and file systems differ more than memory does
FLOOR_MB = 1000  # a nested Snakemake alone takes a quarter of it
KEPT_CELLS = 20_000  # of a reference
BLOCK = 4_000_000  # values that scoring works on at once
WINDOW = 3000  # locations of a section on which what is fitted at enhancement is fitted
FITTED = 10_000  # locations of all samples together that domains are fitted on, and a block of others
SCORED_GENES = 1000  # of a hold-out, where it is not stated
FLOOR_MIN = 10
_ROUND_MB, _ROUND_MIN = 100, 5
STAGES = tuple(COSTS)


@dataclass(frozen=True)
class Needs:
    """Request to a scheduler for one job: MB (10⁶ bytes), minutes, threads."""

    mem_mb: int
    runtime_min: int
    threads: int

    def at_attempt(self, attempt: int) -> Needs:
        """The same for the `attempt`-th try of a job, 1 for the first: memory and time grow with it."""
        return Needs(self.mem_mb * attempt, self.runtime_min * attempt, self.threads)


def needs(
    stage: str, size: Size | Sequence[Size], *, threads: int | None = None, processes: int = 1, **options: Any
) -> Needs:
    """What one job of a stage needs.

    Parameters
    ----------
    stage
        One of `STAGES`.
    size
        Of the sample that it works on, of the file of cells (reference), or of all samples (train, pack).
    threads
        Threads of the job; by default as many as it can use.
    processes
        Processes of the job on one node, each of which holds all that one does.
    options
        Of the stage, those that matter:
        ``genes`` that are written or scored (the panel's where not given);
        ``resolution_um``, pitch of the refined grid, where one is written;
        ``layers``, number of matrices beside X (4); ``samples``, posterior draws that are kept;
        ``preset``, size of the model; ``steps``, of training, or of adaptation before enhancement;
        ``reference``, whether one takes part; ``encoder``, whether a learned one measures the image; ``gpu``, whether
        the job computes on one; ``corpus``, whether training streams from one;
        ``training``, sizes of further samples that baselines are trained on.

    Raises
    ------
    UsageError
        If there is no such stage or preset.
    """
    if stage not in COSTS:
        raise UsageError(f"no stage is called {stage!r}", hint="one of " + ", ".join(STAGES))
    if stage == "score" and options.get("genes") is None:
        panel = size.genes if isinstance(size, Size) else total(size).genes
        options["genes"] = min(panel, SCORED_GENES)
    amounts = work(size, **options)
    memory = processes * sum(amounts[unit] * cost.bytes for unit, cost in COSTS[stage].items())
    seconds = sum(amounts[unit] * cost.seconds for unit, cost in COSTS[stage].items())
    mem_mb = max(FLOOR_MB, _up(MARGIN * memory / 1e6, _ROUND_MB))
    return Needs(
        mem_mb, max(FLOOR_MIN, _up(TIME_MARGIN * seconds / 60, _ROUND_MIN)), threads or _useful_threads(seconds)
    )


def work(
    size: Size | Sequence[Size],
    *,
    genes: int | None = None,
    resolution_um: float | None = None,
    layers: int = 4,
    samples: int = 0,
    preset: str = "nano",
    steps: int = 0,
    reference: bool = False,
    encoder: bool = False,
    gpu: bool = False,
    corpus: bool = False,
    training: Sequence[Size] = (),
) -> dict[str, float]:
    """Amounts of what stages work on, by the names of the units in `costs`; options as for `needs`.

    Raises
    ------
    UsageError
        If there is no such preset.
    """
    if preset not in PARAMETERS:
        raise UsageError(f"no preset is called {preset!r}", hint="one of " + ", ".join(PARAMETERS))
    one = size if isinstance(size, Size) else total(size)
    largest = one if isinstance(size, Size) else max(size, key=lambda part: part.nonzeros)
    written = one.genes if genes is None else genes
    fine = one.locations * max(1.0, one.pitch_um / resolution_um) ** 2 if resolution_um else 0.0
    return {
        "start": 1.0,
        "sample": 1 if isinstance(size, Size) else len(size),
        "location": one.locations,
        "fitted_location": min(one.locations, FITTED),
        "nonzero": one.nonzeros,
        "kept_nonzero": one.nonzeros * min(1.0, KEPT_CELLS / max(one.locations, 1)),
        "held_nonzero": 0 if corpus else one.nonzeros,
        "held_location": 0 if corpus else one.locations,
        "corpus": float(corpus),
        "largest_nonzero": largest.nonzeros,
        "gene": one.genes,
        "written_gene": written,
        "value": one.locations * written * (1 + layers),
        "block_value": min(one.locations * written, BLOCK),
        "window_value": min(one.locations, WINDOW) * one.genes,
        "fine_place": fine,
        "fine_value": fine * written * (1 + layers),
        "draw": (one.locations + fine) * samples,
        "raw_byte": one.raw_bytes,
        "pixel": one.image_px,
        "whole_pixel": one.whole_px,
        "encoder": float(encoder),
        "gpu": float(gpu),
        "encoded_pixel": float(one.image_px * encoder),
        "reference": float(reference),
        "training_nonzero": sum(part.nonzeros for part in training),
        "parameter": PARAMETERS[preset],
        "parameter_place": PARAMETERS[preset] * (one.locations + fine),
        "parameter_step": PARAMETERS[preset] * steps,
        "step": steps,
    }


def _useful_threads(seconds: float) -> int:
    """One for work of a minute, up to eight for hours: requested processors that idle are taken from others."""
    return next((n for n, bound in ((1, 60), (2, 600), (4, 3600)) if seconds <= bound), 8)


def _up(value: float, step: int) -> int:
    return math.ceil(value / step) * step

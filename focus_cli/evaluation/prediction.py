"""A prediction of scored genes at the truth's locations, made a few genes at a time."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.evaluation.matching import Match
from focus_cli.evaluation.normalise import column_chunks
from focus_cli.evaluation.reading import EstimateFile

_IN_MEMORY = 256 << 20


@dataclass(frozen=True)
class Prediction:
    """Prediction of one method.

    Attributes
    ----------
    method
        Name of the method in the tables.
    covered
        Whether the method predicts each scored gene, bool (G,).
    columns
        Positions among the scored genes (covered ones only) → log1p CP10k, float32 (n, len).
    rate
        The same for the expected counts of the hidden part, if the method estimates them.
    share
        The same for the shares of a location's counts, where `columns` are read at a depth and do not show them.
    """

    method: str
    covered: np.ndarray
    columns: Callable[[np.ndarray], np.ndarray]
    rate: Callable[[np.ndarray], np.ndarray] | None = None
    share: Callable[[np.ndarray], np.ndarray] | None = None


class GatheredColumns:
    """Columns of an estimate at the truth's locations; on disk when they are many.

    Parameters
    ----------
    file, layer
        File and layer to read.
    match
        Matched locations of truth and file.
    columns
        Position of each scored gene in the file, −1 where it is missing, (G,).
    scale
        ``"log1p"``, ``"counts"``, ``"per_exposure"`` (counts at the exposure that the file states) or ``"linear"``
        (read as it is).
    exposure
        counts: total counts that each matched location is divided by, (m,); None to take the file's own totals
        over its measured genes.
    scratch
        Folder for columns that do not fit into memory.
    """

    def __init__(
        self,
        file: EstimateFile,
        layer: str,
        match: Match,
        columns: np.ndarray,
        scale: str,
        scratch: Path,
        exposure: np.ndarray | None = None,
    ) -> None:
        self._position = np.full(len(columns), -1)
        held = np.flatnonzero(columns >= 0)
        self._position[held] = np.arange(len(held))
        shape = (len(held), len(match.truth_rows))
        if 4 * shape[0] * shape[1] > _IN_MEMORY:
            self._values = np.memmap(scratch / f"{layer}.{scale}.f32", dtype=np.float32, mode="w+", shape=shape)
        else:
            self._values = np.zeros(shape, dtype=np.float32)
        self._gather(file, layer, match, columns[held], scale, exposure)

    def _gather(
        self,
        file: EstimateFile,
        layer: str,
        match: Match,
        columns: np.ndarray,
        scale: str,
        exposure: np.ndarray | None,
    ) -> None:
        rows, back = np.unique(match.pair_file, return_inverse=True)
        share = 1.0 / np.bincount(match.pair_truth)[match.pair_truth]
        order = np.argsort(back, kind="stable")
        ends = np.searchsorted(back[order], np.arange(len(rows) + 1))
        own = None
        if scale == "per_exposure":
            own = file.exposure()[rows]
        elif scale == "counts" and exposure is None:
            own = file.totals(layer, rows)
        # A mean over locations is a mean of counts, not of logarithms; a single partner needs no mean.
        averaged = not match.one_to_one and scale == "log1p"
        for where, values in file.blocks(layer, rows, columns):
            if not np.isfinite(values).all():
                bad = columns[np.flatnonzero(~np.isfinite(values).all(axis=0))[0]]
                raise BadInputError(
                    f"{file.path}: {layer} of gene {file.var_names[bad]} is not finite",
                    hint="fill or drop what the method could not estimate",
                )
            if scale == "counts" and (values < 0).any():
                raise BadInputError(
                    f"{file.path}: {layer} was taken for counts and holds negative values",
                    hint="give --scale log1p if it is on a log scale",
                )
            pairs = order[ends[where[0]] : ends[where[-1] + 1]]
            target = match.pair_truth[pairs]
            picked = values[back[pairs] - where[0]]
            if scale in ("counts", "per_exposure"):
                depth = exposure[target] if own is None else own[back[pairs]]
                depth = depth[:, None]
                picked = np.divide(
                    keys.TARGET_SUM * picked,
                    depth,
                    out=np.zeros_like(picked),
                    where=depth > 0,
                    casting="unsafe",
                )
                if match.one_to_one:
                    picked = np.log1p(picked)
            elif averaged:
                picked = np.expm1(picked)
            if match.one_to_one:
                self._values[:, target] = picked.T
            else:
                np.add.at(self._values.T, target, (picked * share[pairs][:, None]).astype(np.float32))
        if not match.one_to_one and scale != "linear":
            for chunk in column_chunks(self._values.shape[1], len(self._values)):
                self._values[chunk] = np.log1p(self._values[chunk])

    def __call__(self, genes: np.ndarray) -> np.ndarray:
        """Values of some scored genes, float32 (m, len(genes))."""
        return np.ascontiguousarray(self._values[self._position[genes]].T)

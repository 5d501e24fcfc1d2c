"""Whether values that are no counts were divided by a figure of each gene, so that genes cannot be compared.

`sc.pp.scale` without centring, and scaling to the maximum, leave values that look log-normalised. They are recognised
by what they do to genes: one standard deviation or one maximum for all. Values that were divided by a figure of each
cell are recognised within the cell: its values are whole multiples of one number once the right logarithm is undone.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.scales import TRANSFORMS, Scale, base_name, undo_log
from focus_cli.genes.reference.matrix import GeneFacts, MatrixOnDisk

_DRAWN = 2000  # cells whose multiples are looked at
_FILLED = 0.02  # of the cells, in a gene of which the spread means something
_FEWEST = 5  # cells, or genes
_MOST = 0.8  # of the genes, or of the cells
_SAME = 2e-3  # of spreads or maxima that are one
_NEAR = 0.15  # of spreads that may have been one in more cells than these
_DISTINCT = 4  # values of a cell or gene that determine a unit
_EQUAL = 1e-5
_ERROR, _LARGEST_RATIO = 0.05, 100.0  # of multiples: from a whole number, and up to where it is informative
_LARGEST_EXPONENT = 60.0


def examine(matrix: MatrixOnDisk, var: pd.DataFrame, scale: Scale) -> tuple[Scale, str, str]:
    """Look again at values whose scale was assumed.

    Parameters
    ----------
    var
        Of the genes; ``std`` beside ``mean``, as `sc.pp.scale` writes them, is tried.
    scale
        What was found of the values so far.

    Returns
    -------
    scale
        Of the values.
    problem
        Why they cannot be used: genes were scaled; "" if they can.
    note
        Note on values that can be used; "" if nothing.
    """
    if scale.proven:
        return scale, "", ""
    cells = matrix.take(np.unique(np.linspace(0, matrix.shape[0] - 1, _DRAWN).astype(int)))
    cells.data = cells.data.astype(np.float64)
    by_gene = _genes_are_multiples(cells)
    assumed = scale.kind in ("log1p", "linear") and "states" not in scale.reason
    if not by_gene and (found := _recognised(cells)) is not None:
        return (_proven(*found) if assumed else scale), "", ""
    if by_gene:
        return scale, "was scaled: the values of each gene are multiples of a gene-specific number", ""
    genes = matrix.spread()
    if problem := _one_for_all(genes):
        return scale, problem, ""
    if _fits_stored_spread(cells, var):
        return scale, "was scaled: times var['std'], its values are counts or their logarithms", ""
    note = ""
    if _nearly_one_spread(genes):
        note = "genes have nearly one standard deviation: were the values scaled? Raw counts are better"
    return scale, "", note


def _recognised(cells: sparse.csr_matrix) -> tuple[float | None] | None:
    """The logarithm (None for none) without which the values of most cells are multiples of one number."""
    for base in TRANSFORMS:
        if base is not None and cells.nnz and cells.data.max() > _LARGEST_EXPONENT:
            continue
        if _multiples(cells.indptr, undo_log(cells.data, base)):
            return (base,)
    return None


def _proven(base: float | None) -> Scale:
    if base is None:
        return Scale("linear", reason="a cell's values are multiples of one number", proven=True)
    reason = f"base {base_name(base)}, without which a cell's values are multiples of one number"
    return Scale("log1p", base, reason, proven=True)


def _genes_are_multiples(cells: sparse.csr_matrix) -> bool:
    """Whether the values of most genes are multiples of a number, and not all of one number."""
    by_gene = cells.tocsc()
    units = _units(by_gene.indptr, by_gene.data)
    if not _multiples(by_gene.indptr, by_gene.data):
        return False
    units = units[np.isfinite(units)]
    return bool(np.mean(np.abs(units / np.median(units) - 1) < _SAME) < 0.5)


def _units(starts: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The least difference between values of each run, 0 among them; NaN for runs with fewer than `_DISTINCT`."""
    n = len(starts) - 1
    runs = np.repeat(np.arange(n), np.diff(starts))
    used = (values > 0) & np.isfinite(values)
    order = np.lexsort((values[used], runs[used]))
    runs, values = runs[used][order], values[used][order]
    first = np.diff(runs, prepend=-1) > 0
    steps = np.where(first, values, np.diff(values, prepend=0.0))
    real = steps > _EQUAL * values  # equal values may differ by an error of rounding
    least = np.full(n, np.inf)
    np.minimum.at(least, runs[real], steps[real])
    return np.where(np.bincount(runs[real], minlength=n) >= _DISTINCT, least, np.nan)


def _multiples(starts: np.ndarray, values: np.ndarray) -> bool:
    """Whether most runs with several values hold whole multiples of their unit."""
    n = len(starts) - 1
    units = _units(starts, values)
    judged = np.isfinite(units)
    if judged.sum() < _FEWEST:
        return False
    runs = np.repeat(np.arange(n), np.diff(starts))
    inside = judged[runs] & (values > 0) & np.isfinite(values)
    runs, ratio = runs[inside], values[inside] / units[runs[inside]]
    small = ratio <= _LARGEST_RATIO
    wrong = small & (np.abs(ratio - np.rint(ratio)) > _ERROR)
    decided = np.bincount(runs[small], minlength=n) >= 0.5 * np.bincount(runs, minlength=n)
    good = decided & (np.bincount(runs[wrong], minlength=n) == 0)
    return bool(good[judged].mean() >= _MOST)


def _expressed(genes: GeneFacts) -> np.ndarray:
    """Genes that enough cells express, bool."""
    return (genes.filled >= max(_FEWEST, _FILLED * genes.n_cells)) & (genes.sd > 0)


def _one_for_all(genes: GeneFacts) -> str:
    """What all genes have in common that none has of itself; "" if nothing."""
    used = _expressed(genes)
    if used.sum() < _FEWEST:
        return ""
    n = genes.n_cells
    for sd in (genes.sd[used], genes.sd[used] * np.sqrt((n - 1) / n)):
        if np.mean(np.abs(sd / np.median(sd) - 1) < _SAME) >= 0.5:
            return f"was scaled: genes have one standard deviation ({np.median(sd):.3g})"
    most = genes.most[used]
    if np.mean(np.abs(most / np.median(most) - 1) < 1e-6) >= _MOST:
        return f"was scaled: genes have one maximum ({np.median(most):.3g})"
    return ""


def _nearly_one_spread(genes: GeneFacts) -> bool:
    used = _expressed(genes)
    return used.sum() >= 4 * _FEWEST and bool(np.mean(np.abs(np.log(genes.sd[used])) < _NEAR) >= _MOST)


def _fits_stored_spread(cells: sparse.csr_matrix, var: pd.DataFrame) -> bool:
    """Whether values times the standard deviations that `sc.pp.scale` stored are counts or their logarithms."""
    if not {"mean", "std"} <= set(var.columns) or len(var) != cells.shape[1]:
        return False
    sd = pd.to_numeric(var["std"], errors="coerce").to_numpy(np.float64)
    if not np.isfinite(sd).all() or not (sd > 0).any():
        return False
    return _recognised(cells @ sparse.diags(sd)) is not None

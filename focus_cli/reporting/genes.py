"""Which genes a report shows: a rule that is written on the page, not a choice by eye."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import UsageError
from focus_cli.core.h5ad.matrices import CountSummary, read_columns, read_raw_columns
from focus_cli.core.h5ad.spatial_file import SpatialFile

N_MEASURED, N_IMPUTED = 4, 3
# Few candidates whose estimates must be read: each may cost a column of chunks of a file of tens of GB.
_VARIABLE, _RANKED, _RELIABLE, _NEIGHBOURS = 200, 24, 8, 6
_ALIKE = 0.7
_HOUSEKEEPING = re.compile(r"(MT-|RPL\d|RPS\d|MTRNR)", re.IGNORECASE)
RULE_MEASURED = (
    f"Measured genes: of the {_VARIABLE} whose raw log1p CP10k varies most (detected in at least 1 % of "
    "locations; mitochondrial and ribosomal genes left out), those with the highest Moran's I of the raw "
    f"values over {_NEIGHBOURS} nearest neighbours, passing over a gene whose neighbourhood means correlate "
    f"above {_ALIKE} with one that is shown."
)
RULE_IMPUTED = (
    f"Imputed genes: of the {_RELIABLE} with the highest reliability, those whose estimate varies most over "
    "the tissue, with the same rule against look-alikes."
)


@dataclass(frozen=True)
class Choice:
    """The genes of one section, in the order of the page.

    Attributes
    ----------
    columns
        Column numbers (k,).
    requested
        How many of the first ones were requested by name.
    raw, enhanced
        log1p CP10k of the counts and X for these genes, float32 (n, k); None without counts.
    moran_raw, moran_enhanced
        Moran's I (k,); NaN where it cannot be had.
    """

    columns: np.ndarray
    requested: int
    raw: np.ndarray | None
    enhanced: np.ndarray
    moran_raw: np.ndarray
    moran_enhanced: np.ndarray


def neighbour_weights(xy: np.ndarray, k: int = _NEIGHBOURS) -> sparse.csr_matrix:
    """Row-normalised weights of the `k` nearest other locations, CSR (n, n)."""
    from scipy.spatial import cKDTree

    n = len(xy)
    k = min(k, n - 1)
    if k < 1:
        return sparse.csr_matrix((n, n), dtype=np.float32)
    index = cKDTree(xy).query(xy, k=k + 1)[1][:, 1:]
    values = np.full(n * k, 1.0 / k, dtype=np.float32)
    return sparse.csr_matrix((values, index.ravel(), np.arange(0, n * k + 1, k)), shape=(n, n))


def morans_i(values: np.ndarray, weights: sparse.csr_matrix) -> np.ndarray:
    """Moran's I of each column with row-normalised weights: ``z'Wz / z'z``.

    Parameters
    ----------
    values
        (n, k).
    weights
        CSR (n, n), rows summing to 1.

    Returns
    -------
    numpy.ndarray
        (k,); NaN for a column that is constant.
    """
    out = np.full(values.shape[1], np.nan)
    for start in range(0, values.shape[1], 16):
        z = values[:, start : start + 16].astype(np.float64)
        z -= z.mean(axis=0)
        power = (z * z).sum(axis=0)
        lagged = (z * (weights @ z)).sum(axis=0)
        out[start : start + 16] = np.divide(lagged, power, out=np.full(len(power), np.nan), where=power > 1e-12)
    return out


def find_genes(file: SpatialFile, names: list[str]) -> dict[str, int]:
    """Column numbers of genes by name or, where no name fits, by symbol; others are left out."""
    by_name = {name: i for i, name in reversed(list(enumerate(file.var.index)))}
    by_symbol: dict[str, int] = {}
    if keys.SYMBOL in file.var:
        by_symbol = {str(s): i for i, s in reversed(list(enumerate(file.var[keys.SYMBOL])))}
    found = {}
    for name in names:
        column = by_name.get(name, by_symbol.get(name))
        if column is not None:
            found[name] = column
    return found


def refuse_unknown(names: list[str], known: list[list[str]]) -> None:
    """Refuse a gene that none of the files holds, naming the nearest ones.

    Raises
    ------
    UsageError
        With the first such gene.
    """
    every = {gene for genes in known for gene in genes}
    for name in names:
        if name not in every:
            upper = {gene.upper(): gene for gene in sorted(every)}
            near = difflib.get_close_matches(name.upper(), list(upper), n=3, cutoff=0.7)
            hint = "nearest: " + ", ".join(upper[g] for g in near) if near else "see var_names of the files"
            raise UsageError(f"gene {name!r} is in none of the files", hint=hint)


def choose_genes(
    file: SpatialFile,
    summary: CountSummary | None,
    totals: np.ndarray,
    measured: np.ndarray,
    requested: list[str],
) -> Choice:
    """Choose the genes to show by the rules of this module, after those that were requested.

    Parameters
    ----------
    file
        The open file.
    summary
        Sums of the counts; None for a file without them.
    totals
        Counts of each location (n,), for CP10k.
    measured
        Whether each gene is on the panel, bool (m,).
    requested
        Genes to show first, by name or symbol.
    """
    weights = neighbour_weights(file.xy)
    wanted = list(dict.fromkeys(find_genes(file, requested).values()))
    if summary is not None:
        picked = _pick_measured(file, summary, totals, measured, weights, set(wanted))
    else:
        picked = [c for c in _by_reliability(file, measured) if c not in wanted][:N_MEASURED]
    candidates = [c for c in _by_reliability(file, ~measured) if c not in wanted][:_RELIABLE]
    pool = np.array([*wanted, *picked, *candidates], dtype=np.int64)
    enhanced = _estimates(file, pool, totals)
    if enhanced is None:
        return Choice(pool[:0], 0, None, np.zeros((len(totals), 0)), np.zeros(0), np.zeros(0))
    kept = len(wanted) + len(picked)
    spread = np.nan_to_num(enhanced[:, kept:].std(axis=0))
    moving = np.argsort(-spread, kind="stable")
    imputed = kept + moving[_unlike(enhanced[:, kept + moving], N_IMPUTED)]
    shown = np.concatenate([np.arange(kept), imputed]).astype(np.int64)
    columns, enhanced = pool[shown], enhanced[:, shown]
    raw = read_raw_columns(file.counts(), columns, totals) if summary is not None else None
    moran_raw = np.full(len(columns), np.nan)
    if raw is not None:
        seen = np.flatnonzero(measured[columns])
        moran_raw[seen] = morans_i(raw[:, seen], weights)
    return Choice(columns, len(wanted), raw, enhanced, moran_raw, morans_i(enhanced, weights))


def reliable_genes(file: SpatialFile, most: int) -> np.ndarray:
    """Columns of the most reliable genes that vary over the tissue and look unlike each other, int64 (≤ most,)."""
    candidates = np.array(_by_reliability(file, np.ones(len(file.var), bool))[:_RELIABLE], np.int64)
    values = read_expression(file, candidates)
    if values is None:
        return candidates[:0]
    moving = np.argsort(-np.nan_to_num(values.std(axis=0)), kind="stable")
    return candidates[moving[_unlike(values[:, moving], most)]]


def _estimates(file: SpatialFile, columns: np.ndarray, totals: np.ndarray) -> np.ndarray | None:
    """Expression of some genes; of a file of another program log1p CP10k, for its X may hold counts."""
    if file.is_focus:
        return read_expression(file, columns)
    source = file.counts()
    return None if source is None else read_raw_columns(source, columns, totals)


def states_expression(file: SpatialFile) -> bool:
    """Whether the file holds what it takes to take the depth out of an estimate."""
    return file.is_focus and file.matrix(keys.MEAN_COUNTS) is not None and keys.EXPOSURE in file.obs


def read_expression(file: SpatialFile, columns: np.ndarray) -> np.ndarray | None:
    """FOCUS's estimate of some genes with the depth taken out, (n, k): log1p of 10,000 times the share.

    X, which is stated at each location's depth, where the file does not hold what it takes.
    """
    if states_expression(file):
        mean = file.matrix(keys.MEAN_COUNTS)
        exposure = file.obs[keys.EXPOSURE].to_numpy(dtype=float)[:, None]
        scale = np.divide(keys.TARGET_SUM, exposure, out=np.zeros_like(exposure), where=exposure > 0)
        return np.log1p(read_columns(mean, columns) * scale).astype(np.float32)
    x = file.matrix(None)
    return None if x is None else read_columns(x, columns)


def _pick_measured(
    file: SpatialFile,
    summary: CountSummary,
    totals: np.ndarray,
    measured: np.ndarray,
    weights: sparse.csr_matrix,
    taken: set[int],
) -> list[int]:
    names = file.var.index
    floor = max(2, int(np.ceil(0.01 * len(totals))))
    fit = np.flatnonzero(measured & (summary.gene_detected >= floor) & (summary.gene_variance > 0))
    fit = np.array([c for c in fit if c not in taken], dtype=np.int64)
    plain = np.array([c for c in fit if not _HOUSEKEEPING.match(names[c])], dtype=np.int64)
    fit = plain if len(plain) else fit
    pool = fit[np.lexsort((fit, -summary.gene_variance[fit]))][:_VARIABLE]
    if not len(pool):
        return []
    raw = read_raw_columns(file.counts(), pool, totals)
    moran = np.nan_to_num(morans_i(raw, weights), nan=-1.0)
    top = np.lexsort((pool, -moran))[:_RANKED]
    # Neighbourhood means: single locations hold too few counts for two like genes to correlate.
    return [int(c) for c in pool[top[_unlike(weights @ raw[:, top], N_MEASURED)]]]


def _by_reliability(file: SpatialFile, among: np.ndarray) -> list[int]:
    """The most reliable of some genes, best first, then in the order of the file."""
    columns = np.flatnonzero(among)
    trust = np.zeros(len(columns))
    if keys.VAR_RELIABILITY in file.var:
        trust = np.nan_to_num(file.var[keys.VAR_RELIABILITY].to_numpy(dtype=float), nan=-1.0)[columns]
    return columns[np.lexsort((columns, -trust))].tolist()


def _unlike(values: np.ndarray, most: int) -> np.ndarray:
    """Take columns in order, passing over those that look like one taken; fill up if too few are left."""
    z = values.astype(np.float64)
    z -= z.mean(axis=0)
    z /= np.maximum(np.sqrt((z * z).sum(axis=0)), 1e-12)
    alike = z.T @ z
    taken: list[int] = []
    for i in range(values.shape[1]):
        if len(taken) < most and all(alike[i, j] <= _ALIKE for j in taken):
            taken.append(i)
    taken += [i for i in range(values.shape[1]) if i not in taken][: max(0, most - len(taken))]
    return np.array(sorted(taken), dtype=np.int64)

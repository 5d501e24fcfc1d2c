"""Which genes a report shows: a rule that is written on the page, not a choice by eye."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from focus_cli import keys
from focus_cli.errors import UsageError
from focus_cli.reporting.h5file import SpatialFile
from focus_cli.reporting.matrices import CountSummary, read_columns, read_raw_columns

N_MEASURED, N_IMPUTED = 4, 3
# Few candidates: each may cost a column of chunks of a file that holds tens of GB.
_VARIABLE, _RANKED, _RELIABLE, _NEIGHBOURS = 200, 12, 16, 6
_ALIKE = 0.7
_HOUSEKEEPING = re.compile(r"(MT-|RPL\d|RPS\d|MTRNR)", re.IGNORECASE)
RULE_MEASURED = (
    f"Measured genes: of the {_VARIABLE} whose raw log1p CP10k varies most (detected in at least 1 % of "
    "locations; mitochondrial and ribosomal genes left out), those with the highest Moran's I of the raw "
    f"values over {_NEIGHBOURS} nearest neighbours, passing over a gene that correlates above {_ALIKE} with "
    "one shown."
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
    asked
        How many of the first ones were asked for by name.
    raw, enhanced
        log1p CP10k of the counts and X for these genes, float32 (n, k); None without counts.
    moran_raw, moran_enhanced
        Moran's I (k,); NaN where it cannot be had.
    """

    columns: np.ndarray
    asked: int
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
        out[start : start + 16] = np.divide(
            lagged, power, out=np.full(len(power), np.nan), where=power > 1e-12
        )
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
    asked: list[str],
) -> Choice:
    """Choose the genes to show by the rules of this module, after those that were asked for.

    Parameters
    ----------
    file
        The open file.
    summary
        Sums of the counts; None for a file without them.
    totals
        Molecules of each location (n,), for CP10k.
    measured
        Whether each gene is on the panel, bool (m,).
    asked
        Genes to show first, by name or symbol.
    """
    weights = neighbour_weights(file.xy)
    wanted = list(dict.fromkeys(find_genes(file, asked).values()))
    ranked, raw_moran = _rank_measured(file, summary, totals, measured, weights)
    ranked = ranked or _rank_reliable(file, measured)[:_RANKED]
    reliable = _rank_reliable(file, ~measured)
    pool = np.array(list(dict.fromkeys([*wanted, *ranked, *reliable])), dtype=np.int64)
    x = file.matrix(None)
    # A file of another program may hold counts in X: then X is shown as log1p CP10k, like the counts.
    if x is None or not file.is_focus:
        source = file.counts()
        enhanced = (
            read_raw_columns(source, pool, totals) if source is not None else np.zeros((len(totals), 0))
        )
        pool = pool if source is not None else pool[:0]
    else:
        enhanced = read_columns(x, pool)
    place = {int(c): i for i, c in enumerate(pool)}
    spread = np.nan_to_num(enhanced.std(axis=0))
    moving = sorted((c for c in reliable if c in place), key=lambda c: (-spread[place[c]], c))
    chosen = [c for c in wanted if c in place]
    for candidates, most in ((ranked, N_MEASURED), (moving, N_IMPUTED)):
        chosen += _unlike([c for c in candidates if c in place and c not in chosen], most, enhanced, place)
    columns = np.array(chosen, dtype=np.int64)
    shown = enhanced[:, [place[c] for c in chosen]]
    raw = None
    if summary is not None and len(columns):
        raw = read_raw_columns(file.counts(), columns, totals)
    moran_raw = np.array([raw_moran.get(int(c), np.nan) for c in columns])
    for i in np.flatnonzero(np.isnan(moran_raw) & measured[columns] if len(columns) else []):
        moran_raw[i] = morans_i(raw[:, [i]], weights)[0] if raw is not None else np.nan
    return Choice(columns, len(wanted), raw, shown, moran_raw, morans_i(shown, weights))


def _rank_measured(
    file: SpatialFile,
    summary: CountSummary | None,
    totals: np.ndarray,
    measured: np.ndarray,
    weights: sparse.csr_matrix,
) -> tuple[list[int], dict[int, float]]:
    if summary is None:
        return [], {}
    names = file.var.index
    floor = max(2, int(np.ceil(0.01 * len(totals))))
    fit = np.flatnonzero(measured & (summary.gene_detected >= floor) & (summary.gene_variance > 0))
    plain = np.array([c for c in fit if not _HOUSEKEEPING.match(names[c])], dtype=np.int64)
    fit = plain if len(plain) else fit
    order = np.lexsort((fit, -summary.gene_variance[fit]))
    pool = fit[order][:_VARIABLE]
    if not len(pool):
        return [], {}
    moran = np.nan_to_num(morans_i(read_raw_columns(file.counts(), pool, totals), weights), nan=-1.0)
    top = np.lexsort((pool, -moran))[:_RANKED]
    return [int(c) for c in pool[top]], {int(pool[i]): float(moran[i]) for i in top}


def _rank_reliable(file: SpatialFile, among: np.ndarray) -> list[int]:
    columns = np.flatnonzero(among)
    if keys.VAR_RELIABILITY in file.var:
        trust = np.nan_to_num(file.var[keys.VAR_RELIABILITY].to_numpy(dtype=float), nan=-1.0)[columns]
    else:
        trust = np.zeros(len(columns))
    return [int(c) for c in columns[np.lexsort((columns, -trust))][:_RELIABLE]]


def _unlike(candidates: list[int], most: int, values: np.ndarray, place: dict[int, int]) -> list[int]:
    """Take candidates in order, passing over those that look like one taken; fill up if too few are left."""
    if not candidates:
        return []
    z = values[:, [place[c] for c in candidates]].astype(np.float64)
    z -= z.mean(axis=0)
    z /= np.maximum(np.sqrt((z * z).sum(axis=0)), 1e-12)
    alike = z.T @ z
    taken: list[int] = []
    for i in range(len(candidates)):
        if len(taken) < most and all(alike[i, j] <= _ALIKE for j in taken):
            taken.append(i)
    taken += [i for i in range(len(candidates)) if i not in taken][: max(0, most - len(taken))]
    return [candidates[i] for i in sorted(taken)]

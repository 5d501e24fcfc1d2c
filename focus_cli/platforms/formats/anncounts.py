"""Which matrix of an AnnData holds the raw counts."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.errors import BadInputError, FocusError
from focus_cli.core.scales import HEAD, are_other_counts
from focus_cli.platforms.checks import (
    GENE_EXPRESSION,
    PROTEIN,
    check_unique,
    is_protein,
    whole_numbers,
    why_not_counted,
)
from focus_cli.platforms.count_scale import RAW_HINT, why_not_counts
from focus_cli.platforms.formats.annparts import AnnTable, Matrix
from focus_cli.platforms.formats.features import check_orientation, feature_table

_MOST_PROTEIN_VALUES = 50_000_000


@dataclass(frozen=True)
class Chosen:
    """Raw counts (or intensities of proteins), and their features.

    Attributes
    ----------
    counts
        CSR, locations × features.
    genes
        Columns ``id``, ``name``, ``type``, as `assemble` requires.
    where
        The place, for messages.
    intensities
        Whether the panel holds proteins alone.
    proteins
        Locations × proteins, where the panel holds genes beside them; else None.
    warnings
        One line each.
    """

    counts: sparse.csr_matrix
    genes: pd.DataFrame
    where: str
    intensities: bool = False
    proteins: pd.DataFrame | None = None
    warnings: list[str] = field(default_factory=list)


def choose_counts(table: AnnTable) -> Chosen:
    """Find the raw counts: ``layers["counts"]``, else ``X``, else ``raw.X``, whichever first holds them.

    Where none of these does, layers whose names indicate counts are tried. A panel of proteins alone needs no whole
    numbers. Proteins beside genes are set apart. A matrix that was passed over is stated, as is an ``X`` of other
    whole numbers beside ``layers["counts"]``.

    Raises
    ------
    BadInputError
        If there is no matrix, none holds raw counts, or names repeat.
    """
    if not table.matrices:
        raise BadInputError(f"{table.name}: no counts: X is empty", hint="put raw counts in X or layers['counts']")
    refused: list[tuple[str, str, str]] = []
    for matrix in table.matrices:
        counts, genes, apart = _features(table, matrix)
        if apart.any() and not genes["type"].isin([GENE_EXPRESSION, ""]).any():
            return _proteins_alone(counts, genes, matrix.where, refused)
        kept = counts[:, np.flatnonzero(~apart)] if apart.any() else counts
        problem = _why_no_counts(kept)
        if problem is None:
            break
        refused.append((matrix.where, *problem))
    else:
        reasons = "; ".join(f"{where}: {reason}" for where, reason, _ in refused)
        raise BadInputError(reasons, hint=next((hint for _, _, hint in refused if hint != RAW_HINT), RAW_HINT))
    notes = _passed_over(refused, matrix.where) + _other_counts(table, matrix)
    if not apart.any():
        return Chosen(counts, genes, matrix.where, warnings=notes)
    beside, notes_apart = _set_apart(
        counts[:, np.flatnonzero(apart)], genes.loc[apart, "name"], table.obs.index, matrix.where
    )
    return Chosen(kept, genes.iloc[np.flatnonzero(~apart)], matrix.where, proteins=beside, warnings=notes + notes_apart)


def _features(table: AnnTable, matrix: Matrix) -> tuple[sparse.csr_matrix, pd.DataFrame, np.ndarray]:
    """Values of a matrix, its features, and which of them are proteins."""
    check_orientation(table.obs.index, matrix.var.index, table.name)
    genes, counts = feature_table(matrix.var, matrix.where), matrix.load()
    if counts.shape != (len(table.obs), len(genes)):
        raise BadInputError(
            f"{matrix.where}: {counts.shape[0]} × {counts.shape[1]} values for {len(table.obs)} locations and "
            f"{len(genes)} features",
            hint="write the file again",
        )
    return counts, genes, is_protein(genes["type"])


def _proteins_alone(
    counts: sparse.csr_matrix, genes: pd.DataFrame, where: str, refused: list[tuple[str, str, str]]
) -> Chosen:
    note = (
        f"{where}: the panel is of {len(genes)} proteins: the model is one of counts and does "
        "not hold for intensities; train and enhance need a panel of genes"
    )
    return Chosen(counts, genes, where, intensities=True, warnings=[note, *_passed_over(refused, where)])


def _why_no_counts(matrix: sparse.csr_matrix) -> tuple[str, str] | None:
    """What values are instead of counts, and a hint; None where they are counts, or too few to decide."""
    values = matrix.data
    if odd := int(np.sum(~np.isfinite(values))):
        return f"{odd} counts are NaN or infinite", RAW_HINT
    if len(values) and values.min() < 0:
        centred = "" if whole_numbers(values) else "; scaled or centred?"
        return f"{int(np.sum(values < 0))} counts are negative (lowest {values.min():.4g}){centred}", RAW_HINT
    return why_not_counted(matrix) if whole_numbers(values) else why_not_counts(matrix)


def _passed_over(refused: list[tuple[str, str, str]], taken: str) -> list[str]:
    return [f"raw counts are taken from {taken}: {where} holds none ({reason})" for where, reason, _ in refused]


def _other_counts(table: AnnTable, chosen: Matrix) -> list[str]:
    """Note where X holds whole numbers that are not those of ``layers["counts"]``."""
    other = next((m for m in table.matrices if m.where.endswith(" X")), None)
    if other is None or not chosen.is_counts_layer:
        return []
    try:
        ours, theirs = chosen.head(HEAD), other.head(HEAD)
    except FocusError:  # a damaged X does no harm beside counts that are whole
        return []
    if not are_other_counts(ours, theirs):
        return []
    return [f"raw counts are taken from {chosen.where}: {other.where} holds other whole numbers"]


def _set_apart(
    values: sparse.csr_matrix, names: pd.Series, obs_names: pd.Index, where: str
) -> tuple[pd.DataFrame | None, list[str]]:
    n = values.shape[1]
    if values.shape[0] * n > _MOST_PROTEIN_VALUES:
        return None, [f"{where}: {n} proteins beside the genes were left out: too many to keep"]
    # A name becomes a key of the file, where a slash would open a group.
    columns = pd.Index([str(name).replace("/", "_") for name in names])
    check_unique(columns, "proteins", where)
    frame = pd.DataFrame(values.toarray().astype(np.float32), index=obs_names.astype(str), columns=columns)
    return frame, [f"{where}: {n} proteins are kept aside in obsm[{PROTEIN!r}]; the genes alone are enhanced"]

"""Counts and positions brought together by barcode, whatever software has made of the barcodes' ends."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from anndata import AnnData

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError

# A barcode: what a laboratory put in front, the sequence or the number of a bin or cell, and the number of its library.
_PARTS = re.compile(
    r"(?P<front>.*[^A-Za-z0-9])?(?P<core>[ACGTN]{6,}|s_\d+um_\d+_\d+|cellid_\d+)(?:[-._](?P<end>[A-Za-z0-9]+))?",
    re.IGNORECASE,
)
_ROUNDED = re.compile(r"\d+([.,]\d+)?[eE][+-]?\d+")
_SHOWN = 4


@dataclass(frozen=True)
class _Parts:
    """Parts of barcodes; `core` is None where one is no barcode, else in capitals."""

    core: list[str] | None
    around: list[tuple[str, str | None]]  # front and end, each pair once

    @classmethod
    def of(cls, names: Iterable[str]) -> _Parts:
        core, around = [], {}
        for name in names:
            match = _PARTS.fullmatch(name)
            if match is None:
                return cls(None, [])
            core.append(match.group("core").upper())
            around.setdefault((match.group("front") or "", match.group("end")))
        return cls(core, list(around))


def match_positions(
    adata: AnnData, positions: pd.DataFrame, matrix: str, table: str, *, any_end: bool = False
) -> tuple[AnnData, list[str]]:
    """Keep the locations whose barcode has a position, and attach the table's rows to `obs`.

    Barcodes of which one side lacks the end (``-1``) or what a laboratory put in front are matched without it, those in
    other case as well, and this is noted. Names of `adata` stay as they are.

    Parameters
    ----------
    adata
        Counts, `obs_names` barcodes.
    positions
        Indexed by barcode, unique.
    matrix, table
        File names for messages.
    any_end
        Both sides are known to be of one library, whatever number their barcodes end in.

    Raises
    ------
    BadInputError
        If fewer than half of the barcodes have a position, or the matrix joins several samples.
    """
    if positions.empty:
        raise BadInputError(f"{table} holds no position", hint="is it truncated? restore the file")
    rows, warnings = positions.index.get_indexer(adata.obs_names), []
    found = rows >= 0
    if not found.all():
        if found.sum() < 0.5 * adata.n_obs:
            rows, warnings = _without_ends(adata, positions, matrix, table, any_end)
            found = rows >= 0
        else:
            _refuse_joined(adata.obs_names[~found], positions.index, matrix, table)
    n_found = int(found.sum())
    if n_found < adata.n_obs:
        warnings.append(f"{adata.n_obs - n_found} of {adata.n_obs} barcodes have no position and were left out")
        adata, rows = adata[found].copy(), rows[found]
    # In the usual case, one order and no strangers, the table is taken as it is, and its names for those of `adata`.
    same = len(rows) == len(positions) and bool(np.all(rows == np.arange(len(rows)))) and not warnings
    placed = positions.copy(deep=False) if same else positions.iloc[rows].set_axis(adata.obs_names, axis=0)
    adata.obs = placed if adata.obs.columns.empty else adata.obs.join(placed)
    return adata, warnings


def _without_ends(
    adata: AnnData, positions: pd.DataFrame, matrix: str, table: str, any_end: bool
) -> tuple[np.ndarray, list[str]]:
    """Rows of `positions` by the barcode proper, and a note; refused where that is not one sample on either side."""
    names, others = adata.obs_names, positions.index
    message = (
        f"positions do not match the matrix: {names.isin(others).sum()} of {len(names)} barcodes of {matrix} "
        f"are in {table} (the matrix has {names[~names.isin(others)][0]!r}, the table {others[0]!r})"
    )
    if cause := _other_cause(adata, others):
        raise BadInputError(message, hint=cause)
    mine, theirs = _Parts.of(names), _Parts.of(others)
    if mine.core is None or theirs.core is None:
        raise BadInputError(message, hint=_TWO_RUNS)
    for parts, what in ((mine, "matrix"), (theirs, "positions table")):
        if len(parts.around) > 1:
            raise BadInputError(message, hint=_joined_hint(parts.around, what))
    (_, end), (_, other_end) = mine.around[0], theirs.around[0]
    rows = pd.Index(theirs.core).get_indexer(mine.core) if pd.Index(theirs.core).is_unique else np.full(len(names), -1)
    if (rows >= 0).sum() < 0.5 * len(names) or len(set(mine.core)) < len(names):
        raise BadInputError(message, hint=_TWO_RUNS)
    if end != other_end and None not in (end, other_end) and not any_end:
        hint = (
            f"barcodes of the matrix end in -{end}, those of the table in -{other_end}: two libraries; use one's files"
        )
        raise BadInputError(message, hint=hint)
    example, other = names[int(np.argmax(rows >= 0))], others[rows[rows >= 0][0]]
    if any_end:
        return rows, []
    if example.upper() == other.upper():
        return rows, [f"barcodes of {matrix} and {table} differ in case ({example!r}, {other!r}) and were matched"]
    return rows, [
        f"barcodes of {matrix} and {table} differ at their ends ({example!r}, {other!r}) and were matched without them"
    ]


_TWO_RUNS = "the two files come from different samples or bin sizes; use those of one run"


def _other_cause(adata: AnnData, barcodes: pd.Index) -> str:
    """Why barcodes do not match, where it is neither another sample nor their ends."""
    features = [adata.var_names, *(adata.var[key] for key in (keys.GENE_ID,) if key in adata.var)]
    if any(names.isin(barcodes).mean() >= 0.5 for names in features):
        return "the matrix is transposed: its features are the barcodes of the positions; write it genes × barcodes"
    for names, what in ((adata.obs_names, "matrix"), (barcodes, "positions table")):
        if sum(bool(_ROUNDED.fullmatch(name)) for name in names[:1000]) > 0.5 * min(len(names), 1000):
            return f"the names in the {what} were rounded ({names[0]}), as spreadsheets do: restore the file"
    return ""


def _joined_hint(around: list[tuple[str, str | None]], what: str) -> str:
    shown = ", ".join(f"{front}…{'' if end is None else f'-{end}'}" for front, end in around[:_SHOWN])
    more = ", …" if len(around) > _SHOWN else ""
    return (
        f"barcodes of the {what} are of {len(around)} kinds ({shown}{more}): it joins several samples, as "
        "spaceranger aggr does; give the files of one sample"
    )


def _refuse_joined(strangers: pd.Index, barcodes: pd.Index, matrix: str, table: str) -> None:
    """Refuse a matrix of several samples of which the positions know one.

    Raises
    ------
    BadInputError
        If barcodes without position are of a kind that the table does not have at all, but are its barcodes otherwise.
    """
    parts = _Parts.of(strangers)
    if parts.core is None:
        return
    theirs = _Parts.of(barcodes)
    new = [pair for pair in parts.around if pair not in theirs.around]
    if theirs.core is None or not new or np.isin(parts.core, theirs.core).mean() < 0.5:
        return
    raise BadInputError(
        f"{len(strangers)} barcodes of {matrix} have no position in {table}, for instance {strangers[0]!r}",
        hint=_joined_hint([*theirs.around, *new], "matrix"),
    )

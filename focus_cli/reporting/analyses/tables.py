"""Tables of genes or pairs of genes from an analysis result's var: the most certain first."""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np

from focus_cli.reporting.analyses.panel import Table

_P_LIKE = re.compile(r"^(p|q|pval|fdr|padj)(_|$)|(_p|_q|_fdr)$", re.IGNORECASE)
_MOST_COLUMNS = 12


def order_of(var: Any, by: list[str]) -> np.ndarray:
    """Rows of a table, the smallest of the first columns of `by` that it holds first, then in the order of the file."""
    ranks = []
    for name in by:
        if name in var:
            import pandas as pd

            values = pd.to_numeric(var[name], errors="coerce").to_numpy(dtype=float)
            ranks.append(np.where(np.isfinite(values), values, np.inf))
    keys = [np.arange(len(var)), *reversed(ranks)]
    return np.lexsort(keys)


def table_of(
    var: Any, rows: np.ndarray, *, title: str, first: str, columns: list[str] | None = None, note: str = ""
) -> Table:
    """Some rows of a table of genes or pairs, in words.

    Parameters
    ----------
    first
        Heading of the names.
    columns
        Columns to show; by default all, as far as they fit.
    """
    shown = _informative(var, [c for c in (columns or list(var.columns)) if c in var])[:_MOST_COLUMNS]
    numeric = [bool(np.issubdtype(_dtype(var[c]), np.number)) for c in shown]
    body = []
    for row in rows:
        body.append([str(var.index[row]), *(cell(c, var[c].iloc[row]) for c in shown)])
    return Table(title, [first, *(c.replace("_", " ") for c in shown)], body, [False, *numeric], note)


def _informative(var: Any, columns: list[str]) -> list[str]:
    """Columns that are neither empty nor copies of another one."""
    kept: list[str] = []
    for column in columns:
        values = var[column]
        empty = values.isna() | (values.astype(str) == "")
        if not empty.all() and not any(values.equals(var[k]) for k in kept):
            kept.append(column)
    return kept


def _dtype(column: Any) -> Any:
    return column.dtype if isinstance(column.dtype, np.dtype) and column.dtype != bool else np.dtype(object)


def cell(column: str, value: Any) -> str:
    """A value of a table for a reader; p-values keep their order of magnitude."""
    if isinstance(value, (bool, np.bool_)):
        return "yes" if value else "no"
    if isinstance(value, (int, np.integer)):
        return f"{int(value):,}"
    if isinstance(value, (float, np.floating)):
        number = float(value)
        if not math.isfinite(number):
            return "–"
        if _P_LIKE.search(column):
            return p_words(number)
        return f"{number:.3g}"
    return "–" if value is None or value != value else str(value)


def p_words(p: float) -> str:
    """A probability for a reader: 0.034, 2·10⁻⁷."""
    if p >= 0.001 or p < 0:
        return f"{p:.3f}"
    if p == 0:
        return "0"
    exponent = math.floor(math.log10(p))
    mantissa = p / 10**exponent
    if round(mantissa) == 10:
        mantissa, exponent = 1, exponent + 1
    return f"{mantissa:.0f}·10{str(exponent).translate(str.maketrans('-0123456789', '⁻⁰¹²³⁴⁵⁶⁷⁸⁹'))}"

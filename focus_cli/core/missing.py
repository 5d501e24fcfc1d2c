"""Values of a text column that stand for a missing value.

R, pandas and spreadsheets write an absent entry as different texts. None of these texts is a name: of a gene, of a
location, of a cell type or of a section.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pandas as pd

# In small letters, without blanks at either end.
WORDS = frozenset(
    ("", "na", "n/a", "#n/a", "nan", "none", "null", "<na>", "missing", "unknown", "undefined", "-", "--")
)


def texts(values: Iterable) -> np.ndarray:
    """The entries of a column as text without blanks at either end, ``""`` where there is no value.

    Parameters
    ----------
    values
        Text, bytes, numbers or a categorical; also pandas' columns that hold ``<NA>``.

    Returns
    -------
    numpy.ndarray
        str objects, shape (n,).
    """
    column = pd.Series(values, dtype=None).reset_index(drop=True)
    if isinstance(column.dtype, pd.CategoricalDtype):  # each category once
        named = texts(column.cat.categories)
        return np.append(named, "").astype(object)[column.cat.codes.to_numpy()]
    absent = column.isna().to_numpy()
    found = np.array([v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in column], dtype=object)
    found = np.array([v.strip() for v in found], dtype=object)
    absent = absent | np.array([v.lower() in WORDS for v in found], dtype=bool)
    found[absent] = ""
    return found


def is_missing(values: Iterable) -> np.ndarray:
    """Which entries of a column are no value, bool (n,): NaN, None, and the texts that stand for them."""
    return texts(values) == ""

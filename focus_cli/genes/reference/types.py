"""The cell types of a reference: which column of obs holds them, and which cells have none."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.missing import texts

NO_TYPE = "cell"  # label of all cells of a reference without cell types
# Names of columns without case and punctuation, in the order in which they are preferred.
_NAMES = (
    "celltype",
    "celltypes",
    "authorcelltype",
    "annotation",
    "annotations",
    "celltypeannotation",
    "cellannotation",
    "cellontologyclass",
    "freeannotation",
    "subclass",
    "subclasslabel",
    "celllabel",
    "celllabels",
    "cellclass",
    "cellidentity",
    "celltypemajor",
    "majortype",
    "majorityvoting",
    "predictedlabels",
    "classlabel",
    "labels",
    "label",
)
_PART = re.compile("celltype|cellclass|cellsub|annotation|annot$")
# What stands beside a type and is none.
_BESIDE = re.compile("ontologyterm|id$|ids$|score|prob|conf|colou?r|count|number|ncells|date|by$|source|version")
_CLUSTERS = ("cluster", "clusters", "seuratclusters", "leiden", "louvain", "phenograph", "ident")
_NOT_A_TYPE = frozenset(
    (
        "unassigned",
        "not assigned",
        "unlabeled",
        "unlabelled",
        "unannotated",
        "not annotated",
        "unclassified",
        "undetermined",
        "unidentified",
        "uncertain",
        "not available",
        "not applicable",
        "no label",
        "nolabel",
        "no type",
        "nd",
        "n.d.",
        "n.a.",
        "tbd",
        "unk",
        "unkown",
        "unspecified",
        "unassigned cells",
        "unknown cells",
        "no match",
        "nomatch",
        "doublet",
        "doublets",
        "multiplet",
        "multiplets",
        "low quality",
        "low quality cells",
        "lowquality",
        "low qc",
        "ambiguous",
        "debris",
        "artifact",
        "artefact",
        "contamination",
        "contaminated",
        "removed",
        "remove",
        "exclude",
        "excluded",
        "filtered",
        "?",
        ".",
    )
)
_MOST_TYPES = 500
_LISTED = 6


@dataclass(frozen=True)
class CellTypes:
    """The cell type of each cell.

    Attributes
    ----------
    column
        Column of obs that was taken; None if none was.
    labels
        str (n,): type of each cell, ``""`` where it has none; `NO_TYPE` for all where no column was taken.
    stated
        What was done, one line for the user.
    """

    column: str | None
    labels: np.ndarray
    stated: str


def type_labels(values: pd.Series) -> np.ndarray:
    """The types that a column names, as text; ``""`` where a cell has none.

    No type are missing values, and words such as NA, unknown, unassigned or doublet. Whole numbers read the
    same however they were stored: 1, 1.0 and ``"1.0"`` are the type ``"1"``.
    """
    if isinstance(values.dtype, pd.CategoricalDtype):
        named = np.append(_plain(values.cat.categories), "").astype(object)
        return named[values.cat.codes.to_numpy()].astype(str)
    return _plain(values).astype(str)


def _plain(values: Sequence) -> np.ndarray:
    named = texts(values)
    named = np.array(["" if re.sub(r"[\s_-]+", " ", v.lower()) in _NOT_A_TYPE else v for v in named], dtype=object)
    filled = [v for v in named if v]
    if filled and all(re.fullmatch(r"-?\d+(\.0*)?", v) for v in filled):
        return np.array([v.split(".")[0] for v in named], dtype=object)
    return named


def choose_types(columns: Sequence[str], read: Callable[[str], pd.Series], n: int, key: str | None, what: str):
    """Find the cell types of a reference.

    Parameters
    ----------
    columns
        Names of the columns of obs.
    read
        Reads one of them.
    n
        Number of cells.
    key
        The column that the user named, or None: it is found by its name and its values. A column with several types
        is preferred to one that is constant or mostly missing.
    what
        The file, for messages.

    Returns
    -------
    CellTypes

    Raises
    ------
    UsageError
        If the named column is not there or names nearly as many types as cells.
    BadInputError
        If no cell has a type in the named column.
    """
    if key is not None:
        return _named_column(columns, read, n, key, what)
    found, others = [], []
    for rank, column in enumerate(_by_name(columns)):
        labels = _labels_of(read, column)
        if labels is None or not _few(labels, n):
            continue
        n_types, share = len(set(labels.tolist()) - {""}), float(np.mean(labels != ""))
        others += [f"{column} ({n_types})"] if n_types else []
        found.append(((n_types >= 2 and share >= 0.5, n_types >= 2, n_types >= 1, -rank), column, labels))
    if not found or not (best := max(found, key=lambda one: one[0]))[0][2]:
        return CellTypes(None, np.full(n, NO_TYPE), _none_taken(columns, read, n))
    _, column, labels = best
    left = [text for text in others if not text.startswith(f"{column} (")]
    also = f"; other columns that may hold them: {', '.join(left[:_LISTED])}" if left else ""
    return CellTypes(column, labels, _taken(column, labels) + " (guessed by its name)" + also)


def _simple(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _by_name(columns: Sequence[str]) -> list[str]:
    """Columns whose names state that they hold types, the likeliest first; numbers of clusters come last."""

    def rank(column: str) -> tuple | None:
        name = _simple(column)
        if name in _NAMES:
            return (0, _NAMES.index(name))
        if name in _CLUSTERS:
            return (2, _CLUSTERS.index(name))
        if _PART.search(name) and not _BESIDE.search(name):
            return (1, len(name))
        return None

    ranked = [(order, i) for i, column in enumerate(columns) if (order := rank(column)) is not None]
    return [columns[i] for _, i in sorted(ranked)]


def _labels_of(read: Callable[[str], pd.Series], column: str) -> np.ndarray | None:
    """Labels of a column that may hold types: text, categories or whole numbers; None for any other."""
    values = read(column)
    if not isinstance(values, pd.Series):
        return None
    if pd.api.types.is_bool_dtype(values.dtype):
        return None
    if pd.api.types.is_numeric_dtype(values.dtype):
        numbers = pd.to_numeric(values, errors="coerce").to_numpy(np.float64, na_value=np.nan)
        numbers = numbers[np.isfinite(numbers)]
        if not np.array_equal(numbers, np.rint(numbers)):
            return None
    return type_labels(values)


def _few(labels: np.ndarray, n: int) -> bool:
    """Whether there are so few different labels that they can be types."""
    return len(set(labels.tolist()) - {""}) <= min(_MOST_TYPES, max(n // 3, 2))


def _named_column(columns, read, n: int, key: str, what: str) -> CellTypes:
    if key not in columns:
        close = difflib.get_close_matches(key, columns, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"columns: {', '.join(columns) or 'none'}"
        raise UsageError(f"--cell-type {key!r} is no column of the reference's obs", hint=hint)
    labels = type_labels(read(key))
    n_types = len(set(labels.tolist()) - {""})
    if not n_types:
        raise BadInputError(
            f"{what}: no cell has a type in obs[{key!r}]: all values are missing or unknown",
            hint=f"columns: {', '.join(column for column in columns if column != key) or 'no other'}",
        )
    if n_types > max(n // 3, 2):
        raise UsageError(
            f"--cell-type {key!r} holds {n_types:,} different values for {n:,} cells: they are no cell types",
            hint=_candidates(columns, read, n) or "name a column with one value for many cells",
        )
    return CellTypes(key, labels, _taken(key, labels))


def _taken(column: str, labels: np.ndarray) -> str:
    n_types, without = len(set(labels.tolist()) - {""}), int((labels == "").sum())
    line = f"{n_types:,} cell type{'s' if n_types > 1 else ''} from obs[{column!r}]"
    if without:
        line += f", {without:,} of {len(labels):,} cells without a type left out"
    return line


def _none_taken(columns, read, n: int) -> str:
    candidates = _candidates(columns, read, n)
    return "no cell types: no column of obs is known to hold them, and none was taken" + (
        f"; {candidates}" if candidates else ""
    )


def _candidates(columns: Sequence[str], read, n: int) -> str:
    """Columns with few values, for a message; "" where there is none."""
    found = []
    for column in columns:
        labels = _labels_of(read, column)
        if labels is not None and _few(labels, n) and (n_types := len(set(labels.tolist()) - {""})):
            found.append(f"{column} ({n_types})")
    more = ", …" if len(found) > _LISTED else ""
    return f"columns with few values: {', '.join(found[:_LISTED])}{more}" if found else ""

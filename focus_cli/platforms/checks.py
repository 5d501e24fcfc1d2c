"""What counts, names and positions must be, whatever the platform."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.missing import texts
from focus_cli.core.scales import have_rounded_total
from focus_cli.platforms.count_scale import RAW_HINT, why_not_counts

if TYPE_CHECKING:
    from scipy import sparse

GENE_EXPRESSION = "Gene Expression"
# What other programs call the type of a gene.
_GENES = ("gene expression", "gene", "genes", "rna", "mrna", "gex", "transcript", "transcripts", "gene transcript")
# What vendors and laboratories call the rows of a protein panel; `PROTEIN` is what FOCUS calls them.
PROTEIN = "protein"
_PROTEINS = ("protein", "proteins", "protein expression", "antibody capture", "adt")
# Counts are kept as float32, which holds every whole number below this; intensities up to there.
_LARGEST_COUNT, _LARGEST_FLOAT = 2.0**24, 1e30
# Values of a location that hold a one where they are counts, and what none of them is below where they were scaled.
_MANY, _SCALED, _FEW = 20, 5, 5
_VALUES = 1000  # fewer may have a divisor in common by chance
# Of so many locations, genes of at least this mean have a variance below this share of it where they are not counts.
_LOCATIONS, _HIGH_MEAN, _EVEN, _LOOKED_AT = 50, 3.0, 0.3, 200
_MISSED = 50  # values above 1 that counts would have
_FARTHEST_PX = 1e9
_LONGEST_NAME = 1000
_ROUNDED = re.compile(r"\d(\.\d+)?[eE]\+?\d+|\d{16,}(\.0)?")
_SURROGATE = re.compile("[\ud800-\udfff]")
_BLOCK = 1 << 18  # values looked at at a time


def check_names(names: Sequence[str], what: str, where: str) -> None:
    """Refuse names that no file can hold, or that would fill the memory wherever names are of one width.

    Raises
    ------
    BadInputError
        If one is longer than `_LONGEST_NAME`, or holds a NUL or half a character.
    """
    names = [str(name) for name in names]
    text = "".join(names)  # one look at all of them; which one it is matters only where something is wrong
    short = max(map(len, names), default=0) <= _LONGEST_NAME
    if short and "\0" not in text and (text.isascii() or not _SURROGATE.search(text)):
        return
    del text
    for name in names:
        if len(name) > _LONGEST_NAME:
            raise BadInputError(
                f"{where}: {what}: {name[:40]!r}… is a name of {len(name)} characters", hint="is the file damaged?"
            )
        if (not name.isascii() and _SURROGATE.search(name)) or "\0" in name:
            raise BadInputError(f"{where}: {what}: {name[:40]!r} is no text", hint="is the file damaged?")


def check_unique(names: Sequence[str], what: str, where: str) -> None:
    """Refuse names that appear twice, and those of `check_names`.

    Raises
    ------
    BadInputError
        Naming the first repeated one in sorted order.
    """
    check_names(names, what, where)
    index = pd.Index(names)
    if not index.is_unique:
        repeated = index[index.duplicated()]
        first = min(map(str, repeated))
        hint = f"each of the {what} must appear once; was the file concatenated from several samples?"
        if _ROUNDED.fullmatch(first):
            hint = "they were rounded, as spreadsheets do to long numbers: use the file as it was first written"
        raise BadInputError(f"{where}: {len(repeated)} duplicate {what}, for instance {first!r}", hint=hint)


def check_named(names: Sequence[str], what: str, where: str) -> None:
    """Refuse names that stand for a missing value (see `focus_cli.core.missing`).

    Raises
    ------
    BadInputError
        Naming the first row without a name.
    """
    # Barcodes are longer than any word for a missing value: of millions of them, none is looked at twice.
    short = np.array([i for i, name in enumerate(names) if not isinstance(name, str) or len(name) < 16], dtype=int)
    absent = short[texts([names[i] for i in short]) == ""] if len(short) else short
    if len(absent):
        raise BadInputError(
            f"{where}: {len(absent)} of {len(names)} {what} have no name (row {absent[0] + 1}: "
            f"{str(names[absent[0]])[:40]!r})",
            hint="restore the names, or leave these rows out",
        )


def whole_numbers(values: np.ndarray) -> bool:
    """Whether every value is an integer, whatever the type it is stored in."""
    if np.issubdtype(values.dtype, np.integer):
        return True
    return all(bool(np.all(block == np.rint(block))) for block in _blocks(values))


def _blocks(values: np.ndarray) -> Iterator[np.ndarray]:
    """`values` in pieces: what is computed of them on the way needs no second copy of a large matrix."""
    return (values[start : start + _BLOCK] for start in range(0, len(values), _BLOCK))


def feature_kinds(types: Sequence[str]) -> np.ndarray:
    """Types of features, str objects (n,): those of genes as "Gene Expression", whatever a program calls them."""
    codes, named = pd.factorize(np.asarray(types, dtype=object))
    plain = [re.sub(r"[_\-\s]+", " ", str(name)).strip().lower() for name in named]
    return np.array([GENE_EXPRESSION if p in _GENES else n for p, n in zip(plain, named)], dtype=object)[codes]


def is_protein(feature_types: Sequence[str]) -> np.ndarray:
    """Which features are proteins, whatever the vendor calls them: bool (n,)."""
    return np.array([str(kind).strip().lower() in _PROTEINS for kind in feature_types], dtype=bool)


def check_counts(matrix: sparse.spmatrix, where: str, *, whole: bool = True) -> None:
    """Refuse a matrix that does not hold raw counts.

    Parameters
    ----------
    matrix
        Sparse, locations × genes.
    where
        File or key to name in the message.
    whole
        False where the values are intensities, which need not be whole numbers.

    Raises
    ------
    BadInputError
        Empty, not finite, negative, log-normalised, on different scales, or otherwise not whole.
    """
    n_locations, n_genes = matrix.shape
    if n_genes == 0:
        raise BadInputError(f"{where}: the panel is empty (no gene)", hint="check the feature list of the matrix")
    if n_locations == 0:
        raise BadInputError(f"{where}: the matrix is empty (no location)", hint="check the matrix file")
    data = matrix.data
    if odd := sum(int(np.sum(~np.isfinite(block))) for block in _blocks(data)):
        raise BadInputError(f"{where}: {odd} counts are NaN or infinite", hint="give the raw counts")
    if data.size and data.min() < 0:
        raise BadInputError(
            f"{where}: {int(np.sum(data < 0))} counts are negative (lowest {data.min():.4g})",
            hint="give the raw counts, not scaled or centred values",
        )
    if whole and not whole_numbers(data):
        reason, hint = why_not_counts(matrix)
        raise BadInputError(f"{where}: {reason}", hint=hint)
    if data.size and data.max() >= (_LARGEST_COUNT if whole else _LARGEST_FLOAT):
        raise BadInputError(
            f"{where}: a value of {data.max():.4g} is not a valid count", hint="is the matrix file damaged?"
        )
    if whole and (found := why_not_counted(matrix)) is not None:
        raise BadInputError(f"{where}: {found[0]}", hint=found[1])
    if not np.any(data):
        raise BadInputError(
            f"{where}: the matrix holds no counts ({n_locations} locations × {n_genes} genes, all zero)",
            hint="check that this is the matrix of the whole sample",
        )


def why_not_counted(matrix: sparse.spmatrix) -> tuple[str, str] | None:
    """Why whole numbers are no counts, and a hint; None where they may be counts.

    Parameters
    ----------
    matrix
        Locations × genes, finite whole numbers that are not negative.
    """
    return _two_scales(matrix) or _binary(matrix) or _scaled(matrix) or _too_even(matrix)


def _binary(matrix: sparse.spmatrix) -> tuple[str, str] | None:
    """Where values state presence and absence."""
    n = matrix.shape[0]
    if n < _LOCATIONS or matrix.nnz < _VALUES or matrix.data.max() > 1:
        return None
    found = np.asarray(matrix.sum(axis=0, dtype=np.float64)).ravel() / n
    rate = -np.log1p(-np.minimum(found, 1 - 1 / n))  # of the Poisson process that is at zero as often
    several = float(np.sum(n * (1 - np.exp(-rate) * (1 + rate))))
    if several < _MISSED:
        return None
    return f"no value is above 1, where about {several:.0f} counts would be: presence and absence", RAW_HINT


def _too_even(matrix: sparse.spmatrix) -> tuple[str, str] | None:
    """Where values vary less than counts can: logarithms or roots that were rounded, or clipped counts.

    The counts of a gene vary over locations at least as those of a Poisson process of one rate.
    """
    n = matrix.shape[0]
    if n < _LOCATIONS or matrix.nnz < _VALUES:
        return None
    matrix = matrix if matrix.format in ("csr", "csc") else matrix.tocsc()
    mean = np.asarray(matrix.sum(axis=0, dtype=np.float64)).ravel() / n
    high = np.flatnonzero(mean >= _HIGH_MEAN)
    if len(high) < _FEW:
        return None
    if len(high) > _LOOKED_AT:
        high = high[np.linspace(0, len(high) - 1, _LOOKED_AT).astype(int)]
    few = matrix[:, high].astype(np.float64)
    square = np.asarray(few.multiply(few).sum(axis=0)).ravel() / n
    ratio = float(np.median((square - mean[high] ** 2) / mean[high]))
    if ratio >= _EVEN:
        return None
    return (
        f"values vary less over locations than counts do (variance {ratio:.2g} of the mean in the median gene of "
        f"{len(high)}): rounded logarithms or roots, or clipped counts",
        RAW_HINT,
    )


def _two_scales(matrix: sparse.spmatrix) -> tuple[str, str] | None:
    """Where one part was scaled and rounded: its locations have many values, and no small one."""
    if matrix.format != "csr":
        matrix = matrix.tocsr()
    filled = np.diff(matrix.indptr)
    long = np.flatnonzero(filled >= _MANY)
    if len(long) < 2 * _FEW:
        return None
    values = np.where(matrix.data == 0, np.inf, matrix.data) if np.any(matrix.data == 0) else matrix.data
    starts = matrix.indptr[:-1][filled > 0]
    least = np.zeros(len(filled))
    least[filled > 0] = np.minimum.reduceat(values, starts)
    scaled, counted = int(np.sum(least[long] >= _SCALED)), int(np.sum(least[long] == 1))
    if min(scaled, counted) < max(_FEW, 0.1 * len(long)):
        return None
    return (
        f"blocks of the matrix are on different scales: {scaled} locations hold no value below {_SCALED} "
        f"among {_MANY} and more, {counted} hold ones",
        "raw counts and values that were scaled and rounded were joined: give raw counts of all",
    )


def _scaled(matrix: sparse.spmatrix) -> tuple[str, str] | None:
    """Where all were scaled to one total and rounded, or are multiples of a number."""
    if matrix.nnz < _VALUES:
        return None
    totals = np.asarray(matrix.sum(axis=1, dtype=np.float64)).ravel()
    if have_rounded_total(totals):
        return (
            f"each location's whole numbers add up to about {np.median(totals[totals > 0]):.4g}: normalised to one "
            "total and rounded",
            RAW_HINT,
        )
    common = 0
    for block in _blocks(matrix.data):
        common = int(np.gcd.reduce(block.astype(np.int64), initial=common))
        if common == 1:
            return None
    if common > 1 and matrix.data.max() >= 5 * common:
        return (
            f"all values are multiples of {common}: counts that were scaled",
            f"give raw counts, or divide the values by {common} if they are counts then",
        )
    return None


def check_positions(xy_px: np.ndarray, where: str) -> None:
    """Refuse positions that are not finite, or beyond any image.

    Raises
    ------
    BadInputError
        If any coordinate is NaN, infinite or huge.
    """
    bad = int(np.sum(~np.isfinite(xy_px).all(axis=1)))
    if bad:
        raise BadInputError(f"{where}: {bad} positions are NaN or infinite", hint="check the positions file")
    if len(xy_px) and np.abs(xy_px).max() > _FARTHEST_PX:
        raise BadInputError(
            f"{where}: a position of {np.abs(xy_px).max():.4g} is no pixel of an image", hint="check the positions file"
        )


def choose_region(path: Path, names: list[str], region: str | None, *, what: str = "region") -> str:
    """The region (or table) that is meant.

    Raises
    ------
    UsageError
        If it is not among `names`, or there are several and none is chosen.
    """
    listed = ", ".join(sorted(names)[:8]) + (", …" if len(names) > 8 else "")
    if region is not None:
        if region not in names:
            raise UsageError(f"{path}: no {what} {region!r}", hint=f"--{what} is one of {listed}")
        return region
    if len(names) != 1:
        raise UsageError(f"{path} holds {len(names)} {what}s ({listed})", hint=f"choose one with --{what}")
    return names[0]


def name_genes(
    gene_ids: Sequence[str],
    symbols: Sequence[str],
    feature_types: Sequence[str],
    where: str,
    *,
    proteins: bool = False,
) -> tuple[pd.DataFrame, np.ndarray, list[str]]:
    """Make `var` of the expressed genes.

    Parameters
    ----------
    gene_ids, symbols, feature_types
        One entry per feature of the matrix. A feature without an id goes by its symbol, one without a symbol by its
        id, one without either is left out; one without a type is a gene.
    where
        File to name in messages.
    proteins
        Keep the proteins, as features of type `PROTEIN`, where the panel holds no gene.

    Returns
    -------
    var
        Index: unique names; columns ``gene_ids``, ``gene_symbols``, ``feature_types``.
    keep
        bool (n_features,): the features of type "Gene Expression", or the proteins.
    warnings
        What was dropped or renamed.

    Raises
    ------
    BadInputError
        If gene ids repeat, or no feature is a gene.
    """
    columns = {keys.GENE_ID: gene_ids, keys.SYMBOL: symbols, keys.FEATURE_TYPE: feature_types}
    features = pd.DataFrame({name: texts(values) for name, values in columns.items()}, dtype=object)
    warnings: list[str] = []
    features = _complete(features, where, warnings)
    keep, wanted = (features[keys.FEATURE_TYPE] == GENE_EXPRESSION).to_numpy(), "gene expression"
    if proteins and not keep.any():
        keep, wanted = is_protein(features[keys.FEATURE_TYPE]), "proteins"
        features.loc[keep, keys.FEATURE_TYPE] = PROTEIN
    named = (features[keys.SYMBOL] != "").to_numpy()
    keep, apart = keep & named, ~keep & named
    if apart.any():
        others = features.loc[apart, keys.FEATURE_TYPE].value_counts().sort_index()
        listed = ", ".join(f"{count} {kind[:40]}" for kind, count in others.items())
        warnings.append(f"{where}: features that are not {wanted} were left out: {listed}")
    var = features[keep]
    if var.empty:
        raise BadInputError(
            f"{where}: the panel is empty (no feature of type {GENE_EXPRESSION!r}){_types_held(features)}",
            hint="check the feature list of the matrix",
        )
    check_unique(var[keys.GENE_ID], "gene ids", where)
    check_names(var[keys.SYMBOL], "gene symbols", where)
    shared = var[keys.SYMBOL].duplicated(keep=False)
    names = var[keys.SYMBOL].where(~shared, var[keys.GENE_ID])
    if shared.any():
        warnings.append(
            f"{where}: {var.loc[shared, keys.SYMBOL].nunique()} symbols are shared by "
            f"{int(shared.sum())} genes; these are named by their gene id"
        )
    # A symbol may still equal another gene's id; that gene's id is then the only safe name for both.
    clash = names.duplicated(keep=False)
    names = names.where(~clash, var[keys.GENE_ID])
    check_unique(names, "gene names", where)
    var = var.set_axis(pd.Index(names.to_numpy(), name=None), axis=0)
    return var, keep, warnings


def _types_held(features: pd.DataFrame) -> str:
    """The types that a panel without genes states, for a message."""
    held = features.loc[features[keys.FEATURE_TYPE] != GENE_EXPRESSION, keys.FEATURE_TYPE].value_counts()
    if held.empty:
        return ""
    return "; its types are " + ", ".join(f"{kind[:40]!r} ({count})" for kind, count in held.head(3).items())


def _complete(features: pd.DataFrame, where: str, warnings: list[str]) -> pd.DataFrame:
    """Ids, symbols and types that are missing taken from what is there; what was done is added to `warnings`."""
    ids, symbols = features[keys.GENE_ID], features[keys.SYMBOL]
    nameless = (ids == "") & (symbols == "")
    if nameless.any():
        warnings.append(f"{where}: {int(nameless.sum())} features have neither id nor symbol and were left out")
    no_id = int(np.sum((ids == "") & ~nameless))
    if no_id:
        warnings.append(f"{where}: {no_id} genes have no id; they go by their symbol")
    types = pd.Series(feature_kinds(features[keys.FEATURE_TYPE]), index=features.index, dtype=object)
    return features.assign(
        **{
            keys.GENE_ID: ids.where(ids != "", symbols),
            keys.SYMBOL: symbols.where(symbols != "", ids),
            keys.FEATURE_TYPE: types.where(types != "", GENE_EXPRESSION),
        }
    )


def control_types(names: Sequence[str], kinds: dict[str, str]) -> list[str]:
    """The type of each feature by its name: the first of `kinds` (pattern → type) that matches, else a gene."""
    patterns = [(re.compile(pattern, re.IGNORECASE), kind) for pattern, kind in kinds.items()]
    return [next((kind for p, kind in patterns if p.match(name)), GENE_EXPRESSION) for name in names]

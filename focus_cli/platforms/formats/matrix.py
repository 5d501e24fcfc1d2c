"""10x count matrices, HDF5 or Matrix Market, as CSR of locations × genes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage.hdf5 import open_hdf5
from focus_cli.platforms.checks import GENE_EXPRESSION, check_counts, check_named, check_unique, name_genes
from focus_cli.platforms.formats.mtx import read_mtx
from focus_cli.platforms.formats.opening import DAMAGE, damaged
from focus_cli.platforms.formats.plain_text import open_text

# Values converted, and names decoded, at a time.
_BLOCK, _NAMES = 1 << 18, 1 << 14
_BARCODE = re.compile(r"[ACGTN]{8,}([-_.]\w+)*|s_\d{3}um_\d+_\d+(-\d+)?")
# First words of the header that R and pandas put on lists of barcodes and features.
_HEADERS = (
    "x",
    "v1",
    "0",
    "barcode",
    "barcodes",
    "cell",
    "gene",
    "genes",
    "gene_id",
    "gene_ids",
    "feature",
    "features",
)


def read_matrix(
    path: Path, known: Sequence[str] = (), members: Mapping[str, Path] | None = None
) -> tuple[anndata.AnnData, dict[str, str], list[str]]:
    """Read a 10x matrix: an ``.h5`` file, or a folder of ``matrix.mtx``, ``features.tsv``, ``barcodes.tsv``.

    Parameters
    ----------
    path
        File or folder; the members of a folder may be gzipped.
    known
        Barcodes that are in memory already, as a list; the same ones are not held twice.
    members
        The three files by role (``matrix``, ``features``, ``barcodes``) where they lie in no separate folder.

    Returns
    -------
    adata
        X: CSR float32, barcodes × genes of type "Gene Expression", in the file's order.
    attributes
        Attributes of an ``.h5``: ``software_version``, ``chemistry_description``, …
    warnings
        Features left out or renamed, and a matrix that was written barcodes × genes.

    Raises
    ------
    MissingResourceError
        If a member of the folder is not there.
    BadInputError
        If a file is damaged, names repeat, or the values are not raw counts.
    """
    path, turned = Path(path), False
    if members or path.is_dir():
        matrix, barcodes, features = _read_members(members or _members(path))
        attributes: dict[str, str] = {}
        turned = matrix.shape == (len(features), len(barcodes)) != (len(barcodes), len(features))
        if turned:
            matrix = matrix.T.tocsr()
    else:
        matrix, barcodes, features, attributes = _read_h5(path, known)
    where = path.name
    if matrix.shape != (len(barcodes), len(features)):
        raise BadInputError(
            f"{path}: the matrix is {matrix.shape[0]} × {matrix.shape[1]}, "
            f"with {len(barcodes)} barcodes and {len(features)} features",
            hint="its files come from different runs, or one is truncated",
        )
    barcodes = pd.Index(barcodes, dtype=object)
    check_unique(barcodes, "barcodes", where)
    check_named(barcodes, "barcodes", where)
    var, keep, warnings = name_genes(features["id"], features["name"], features["type"], where)
    if turned:
        warnings.insert(0, f"{where}: the matrix was written barcodes × genes and was transposed")
    if not keep.all():
        matrix = matrix[:, np.flatnonzero(keep)]
    check_counts(matrix, where)
    adata = anndata.AnnData(
        X=matrix.astype(np.float32, copy=False),
        obs=pd.DataFrame(index=barcodes),
        var=var,
    )
    return adata, attributes, warnings


def _text(dataset: h5py.Dataset, known: Sequence[str] = ()) -> list[str]:
    """Read names. Where a piece of them is the same as in `known`, those very strings are taken."""
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1:
        raise ValueError(f"{dataset.name} is not a list of names")
    names: list[str] = []
    for start in range(0, len(dataset), _NAMES):
        values = dataset[start : start + _NAMES]
        piece = [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values.tolist()]
        same = known[start : start + len(piece)]
        names += same if same == piece else piece
    return names


def _numbers(dataset: h5py.Dataset, dtype: type, highest: float = np.inf) -> np.ndarray:
    """Read numbers as another type, a block at a time, so that they are never held twice.

    Raises
    ------
    ValueError
        If it holds no numbers, or one beyond `highest`.
    """
    if not isinstance(dataset, h5py.Dataset) or dataset.ndim != 1 or dataset.dtype.kind not in "iuf":
        raise ValueError(f"{dataset.name} is not a row of numbers")
    values = np.empty(len(dataset), dtype)
    for start in range(0, len(dataset), _BLOCK):
        block = dataset[start : start + _BLOCK]
        if highest < np.inf and not (block.min() >= 0 and block.max() <= highest):
            raise ValueError(f"{dataset.name} points outside the matrix")
        with np.errstate(over="ignore"):  # what does not fit becomes infinite, which is refused
            values[start : start + _BLOCK] = block
    return values


def _check_lengths(path: Path, features: dict[str, list[str]]) -> None:
    lengths = {f"features/{name}": len(values) for name, values in features.items()}
    if len(set(lengths.values())) > 1:
        listed = ", ".join(f"{length} of {name}" for name, length in lengths.items())
        raise BadInputError(
            f"{path}: its list of features has columns of unequal length ({listed})",
            hint="copy or download the file again",
        )


def _read_h5(path: Path, known: Sequence[str]):
    try:
        with open_hdf5(path) as file:
            if "matrix" not in file or "features" not in file["matrix"]:
                raise BadInputError(
                    f"{path} is not a 10x feature-barcode matrix (no matrix/features)",
                    hint="give filtered_feature_bc_matrix.h5 as Space Ranger writes it",
                )
            group = file["matrix"]
            n_features, n_barcodes = (int(n) for n in group["shape"][:])
            if min(n_features, n_barcodes) < 0:
                raise ValueError("its shape is negative")
            n_values = len(group["data"])
            index = np.int32 if max(n_values, n_features) < 2**31 else np.int64
            # float32 holds every count that `check_counts` lets pass.
            data = _numbers(group["data"], np.float32)
            indices = _numbers(group["indices"], index, n_features - 1)
            indptr = _numbers(group["indptr"], index, n_values)
            table = group["features"]
            ids = _text(table["id"])
            features = {
                "id": ids,
                "name": _text(table["name"]) if "name" in table else ids,
                "type": _text(table["feature_type"]) if "feature_type" in table else [GENE_EXPRESSION] * len(ids),
            }
            _check_lengths(path, features)
            barcodes = _text(group["barcodes"], known)
            attributes = {
                name: (value.decode("utf-8", "replace") if isinstance(value, bytes) else value)
                for name, value in sorted(file.attrs.items())
                if isinstance(value, (str, bytes))
            }
    except BadInputError:
        raise
    except DAMAGE as error:
        raise damaged(path, error) from error
    sound = (
        len(indptr) == n_barcodes + 1
        and len(data) == len(indices)
        and indptr[0] == 0
        and indptr[-1] == len(data)
        and bool(np.all(indptr[1:] >= indptr[:-1]))
    )
    if not sound:
        raise damaged(path, ValueError("the sparse arrays do not fit together"))
    # 10x stores features × barcodes by column, which is barcodes × features by row: no transposition.
    matrix = sparse.csr_matrix((data, indices, indptr), shape=(n_barcodes, n_features))
    matrix.sort_indices()
    return matrix, barcodes, pd.DataFrame(features), attributes


def _member(folder: Path, *names: str) -> Path:
    for name in names:
        for candidate in (folder / f"{name}.gz", folder / name):
            if candidate.is_file():
                return candidate
    raise MissingResourceError(
        f"{folder}: {names[0]} (or {names[0]}.gz) is missing", hint="the folder must hold all three 10x files"
    )


def _members(folder: Path) -> dict[str, Path]:
    return {
        "matrix": _member(folder, "matrix.mtx"),
        "features": _member(folder, "features.tsv", "genes.tsv"),
        "barcodes": _member(folder, "barcodes.tsv"),
    }


def _read_members(files: Mapping[str, Path]):
    matrix = read_mtx(files["matrix"]).T.tocsr()
    features = _without_header(_without_numbers(_read_tsv(files["features"])), matrix.shape)
    if features.shape[1] < 2:
        features[1] = features[0]
    if features.shape[1] < 3:
        features[2] = GENE_EXPRESSION
    barcodes = _without_header(_without_numbers(_read_tsv(files["barcodes"])), matrix.shape)[0].tolist()
    if _barcodes(features[0].tolist()) > 0.9 > 0.1 > _barcodes(barcodes):
        raise BadInputError(
            f"{files['features']} holds barcodes ({features.iloc[0, 0]!r}), and {files['barcodes'].name} holds genes "
            f"({barcodes[0]!r})",
            hint="exchange the names of the two files",
        )
    return matrix, barcodes, features[[0, 1, 2]].set_axis(["id", "name", "type"], axis=1)


def _read_tsv(path: Path) -> pd.DataFrame:
    try:
        with open_text(path) as stream:
            table = pd.read_csv(
                stream, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3, encoding="utf-8-sig"
            )
    except pd.errors.EmptyDataError as error:
        raise BadInputError(f"{path} is empty", hint="check the matrix folder") from error
    except DAMAGE as error:
        raise damaged(path, error) from error
    if table.shape[1] == 1:  # saved with another separator, as every row shows
        for sep in ",;":
            parts = [row.split(sep) for row in table[0]]
            if {len(part) for part in parts} in ({2}, {3}, {4}):
                table = pd.DataFrame(parts, dtype=object)
    # R quotes every name; a lone quote is a part of a name.
    return table.map(lambda name: name[1:-1] if len(name) > 1 and name[0] == name[-1] in "\"'" else name)


def _barcodes(names: list[str]) -> float:
    """Share of names that are barcodes."""
    looked = names[:1000]
    return sum(bool(_BARCODE.fullmatch(name)) for name in looked) / max(len(looked), 1)


def _without_numbers(table: pd.DataFrame) -> pd.DataFrame:
    """Drop a first column that only numbers the rows, as R and pandas write it."""
    if table.shape[1] < 2 or len(table) < 2:
        return table
    numbers = table[0].tolist()
    start = 1 if not numbers[0].isdigit() else 0  # a header
    first = numbers[start] if len(numbers) > start else ""
    if first in ("0", "1") and numbers[start:] == [str(int(first) + i) for i in range(len(numbers) - start)]:
        return table.drop(columns=0).set_axis(range(table.shape[1] - 1), axis=1)
    return table


def _without_header(table: pd.DataFrame, shape: tuple[int, int]) -> pd.DataFrame:
    """Drop a first line that holds names of columns, where with it there is a line too many."""
    if len(table) - 1 not in shape or len(table) in shape:
        return table
    first = str(table.iloc[0, 0]).lower()
    return table.iloc[1:].reset_index(drop=True) if first in _HEADERS else table

"""10x count matrices, HDF5 or Matrix Market, as CSR of locations × genes."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import anndata
import h5py
import numpy as np
import pandas as pd
from scipy import io, sparse

from focus_cli.errors import BadInputError, MissingResourceError
from focus_cli.platforms.checks import GENE_EXPRESSION, check_counts, check_unique, name_genes

# What a truncated or damaged file raises, by the library that meets it.
DAMAGE = (OSError, EOFError, zlib.error, ValueError, KeyError, IndexError, RuntimeError)


@contextmanager
def open_maybe_gzip(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading, decompressed if its first bytes say gzip, whatever its name says."""
    with open(path, "rb") as stream:
        if stream.read(2) == b"\x1f\x8b":
            stream.seek(0)
            with gzip.open(stream) as unpacked:
                yield unpacked
        else:
            stream.seek(0)
            yield stream


def damaged(path: Path, error: Exception) -> BadInputError:
    """The refusal of a file that cannot be read to its end."""
    reason = " ".join(str(error).split())[:160] or type(error).__name__
    return BadInputError(f"cannot read {path}: truncated or damaged ({reason})", hint="copy or download the file again")


def read_matrix(path: Path) -> tuple[anndata.AnnData, dict[str, str], list[str]]:
    """Read a 10x matrix: an ``.h5`` file, or a folder of ``matrix.mtx``, ``features.tsv``, ``barcodes.tsv``.

    Parameters
    ----------
    path
        File or folder; the members of a folder may be gzipped.

    Returns
    -------
    adata
        X: CSR float32, barcodes × genes of type "Gene Expression", in the file's order.
    attributes
        What an ``.h5`` says of itself: ``software_version``, ``chemistry_description``, …
    warnings
        Features left out or renamed.

    Raises
    ------
    MissingResourceError
        If a member of the folder is not there.
    BadInputError
        If a file is damaged, names repeat, or the values are not raw counts.
    """
    path = Path(path)
    if path.is_dir():
        matrix, barcodes, features = _read_folder(path)
        attributes: dict[str, str] = {}
    else:
        matrix, barcodes, features, attributes = _read_h5(path)
    where = path.name
    if matrix.shape != (len(barcodes), len(features)):
        raise BadInputError(
            f"{path}: the matrix is {matrix.shape[0]} × {matrix.shape[1]}, "
            f"with {len(barcodes)} barcodes and {len(features)} features",
            hint="its files come from different runs, or one is truncated",
        )
    check_unique(barcodes, "barcodes", where)
    var, keep, warnings = name_genes(features["id"], features["name"], features["type"], where)
    if not keep.all():
        matrix = matrix[:, np.flatnonzero(keep)]
    check_counts(matrix, where)
    adata = anndata.AnnData(
        X=matrix.astype(np.float32, copy=False),
        obs=pd.DataFrame(index=pd.Index(barcodes, dtype=object)),
        var=var,
    )
    return adata, attributes, warnings


def _text(values: np.ndarray) -> list[str]:
    return [v.decode("utf-8", "replace") if isinstance(v, bytes) else str(v) for v in values]


def _read_h5(path: Path):
    try:
        with h5py.File(path, "r") as file:
            if "matrix" not in file or "features" not in file["matrix"]:
                raise BadInputError(
                    f"{path} is not a 10x feature-barcode matrix (no matrix/features)",
                    hint="give filtered_feature_bc_matrix.h5 as Space Ranger writes it",
                )
            group = file["matrix"]
            n_features, n_barcodes = (int(n) for n in group["shape"][:])
            data, indices, indptr = group["data"][:], group["indices"][:], group["indptr"][:]
            table = group["features"]
            ids = _text(table["id"][:])
            features = {
                "id": ids,
                "name": _text(table["name"][:]) if "name" in table else ids,
                "type": _text(table["feature_type"][:]) if "feature_type" in table else [GENE_EXPRESSION] * len(ids),
            }
            barcodes = _text(group["barcodes"][:])
            attributes = {
                name: (value.decode() if isinstance(value, bytes) else value)
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
        and bool(np.all(np.diff(indptr.astype(np.int64)) >= 0))
        and (not len(indices) or (int(indices.min()) >= 0 and int(indices.max()) < n_features))
    )
    if not sound:
        raise damaged(path, ValueError("the sparse arrays do not fit together"))
    # 10x stores features × barcodes by column, which is barcodes × features by row: no transposition.
    if len(data) < 2**31:
        indices, indptr = indices.astype(np.int32, copy=False), indptr.astype(np.int32)
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


def _read_folder(folder: Path):
    matrix_file = _member(folder, "matrix.mtx")
    features_file = _member(folder, "features.tsv", "genes.tsv")
    barcodes_file = _member(folder, "barcodes.tsv")
    try:
        with open_maybe_gzip(matrix_file) as stream:
            matrix = sparse.csr_matrix(io.mmread(stream).T)
    except DAMAGE as error:
        raise damaged(matrix_file, error) from error
    features = _read_tsv(features_file)
    if features.shape[1] < 2:
        features[1] = features[0]
    if features.shape[1] < 3:
        features[2] = GENE_EXPRESSION
    barcodes = _read_tsv(barcodes_file)[0].tolist()
    return matrix, barcodes, features[[0, 1, 2]].set_axis(["id", "name", "type"], axis=1)


def _read_tsv(path: Path) -> pd.DataFrame:
    try:
        with open_maybe_gzip(path) as stream:
            return pd.read_csv(stream, sep="\t", header=None, dtype=str, keep_default_na=False, quoting=3)
    except pd.errors.EmptyDataError as error:
        raise BadInputError(f"{path} is empty", hint="check the matrix folder") from error
    except DAMAGE as error:
        raise damaged(path, error) from error

"""Matrix Market files of counts, read in blocks of lines.

SciPy's own reader ends the whole process where a damaged file makes its stream fail, so it is not used.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.platforms.formats.opening import DAMAGE, damaged, open_maybe_gzip

# How Matrix Market, and SciPy for unsigned types, call whole and real numbers.
_NUMBERS = ("integer", "unsigned-integer", "real", "double")
_ROWS = 4_000_000
_LINE = 1 << 16


def read_mtx(path: Path) -> sparse.csr_matrix:
    """Read a sparse matrix of real or whole numbers.

    Returns
    -------
    CSR float64, in the file's own orientation; entries that come twice are added.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is damaged, truncated, or no sparse general matrix.
    """
    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such file: {path}", hint="check the folder")
    try:
        with open_maybe_gzip(path) as stream:
            return _read(path, stream)
    except BadInputError:
        raise
    except DAMAGE as error:
        raise damaged(path, error) from error


def _check_header(path: Path, line: bytes) -> None:
    """Refuse what is no sparse matrix of numbers, each with its own reason."""
    kind = line.removeprefix(b"\xef\xbb\xbf").decode("ascii").lower().split()
    if kind[:2] != ["%%matrixmarket", "matrix"] or len(kind) != 5:
        shown = ascii(" ".join(kind)[:60]) if kind else "empty"
        raise BadInputError(f"{path}: not a Matrix Market file ({shown})", hint="give the vendor's own .mtx")
    layout, numbers, symmetry = kind[2:]
    if layout == "coordinate" and numbers in _NUMBERS and symmetry == "general":
        return
    reasons = (
        (layout != "coordinate", f"a dense matrix ({layout})", "write it sparse (coordinate)"),
        (numbers == "pattern", "a pattern: it states where counts are, not how many", "write it with its values"),
        (numbers not in _NUMBERS, f"a matrix of {numbers} numbers", "give the raw counts"),
        (True, f"a {symmetry} matrix, which counts of locations are not", "give the matrix of counts"),
    )
    what, hint = next((what, hint) for wrong, what, hint in reasons if wrong)
    raise BadInputError(f"{path}: {what} ({' '.join(kind)[:80]})", hint=hint)


def _read(path: Path, stream) -> sparse.csr_matrix:
    _check_header(path, stream.readline(_LINE))
    line = stream.readline(_LINE)
    while line.startswith(b"%") or (line and not line.strip()):
        line = stream.readline(_LINE)
    size = [int(word) for word in line.split()]
    if len(size) != 3 or min(size) < 0 or max(size[:2]) >= 2**31:
        raise ValueError("its second line is not rows, columns and entries")
    n_rows, n_columns, n = size
    rows, columns, values = [], [], []
    if n:
        reader = pd.read_csv(
            stream,
            sep=r"\s+",
            header=None,
            names=range(3),
            index_col=False,
            dtype=np.float64,
            keep_default_na=False,
            chunksize=_ROWS,
        )
        for block in reader:
            place = block[[0, 1]].to_numpy()
            if np.any(place != np.rint(place)) or np.any(place < 1) or np.any(place > (n_rows, n_columns)):
                raise ValueError("an entry lies outside the matrix")
            rows.append(place[:, 0].astype(np.int32) - 1)
            columns.append(place[:, 1].astype(np.int32) - 1)
            values.append(block[2].to_numpy())
    found = sum(map(len, values))
    if found != n:
        raise ValueError(f"{found} of {n} entries are there")
    if not n:
        return sparse.csr_matrix((n_rows, n_columns))
    triplet = (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns)))
    return sparse.csr_matrix(triplet, shape=(n_rows, n_columns))

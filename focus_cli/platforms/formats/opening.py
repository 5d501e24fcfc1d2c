"""Opening the files of a raw folder: gzipped or not, whole or damaged."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from focus_cli.errors import BadInputError

# What a truncated or damaged file raises, by the library that meets it. MemoryError: a damaged header asks for more
# than there is.
DAMAGE = (
    OSError,
    EOFError,
    zlib.error,
    struct.error,
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    RuntimeError,
    OverflowError,
    MemoryError,
)
_BATCH = 1 << 15  # rows of a Parquet table decoded at a time


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


def read_parquet(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Those of `columns` that a table has, a piece at a time: whole, Arrow's copy outweighs the table itself."""
    from pyarrow import default_memory_pool, parquet

    with parquet.ParquetFile(path, pre_buffer=False) as file:
        known = [name for name in columns if name in file.schema_arrow.names]
        pieces: dict[str, list[np.ndarray]] = {name: [] for name in known}
        for batch in file.iter_batches(_BATCH, columns=known, use_threads=False):
            for name in known:
                pieces[name].append(batch.column(name).to_numpy(zero_copy_only=False))
    # Each column's pieces go as soon as they are joined.
    table = pd.DataFrame({name: np.concatenate(pieces.pop(name) or [[]]) for name in known}, copy=False)
    default_memory_pool().release_unused()
    return table

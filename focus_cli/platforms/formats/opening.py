"""Opening the files of a raw folder: gzipped or not, whole or damaged."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.store.damage import DAMAGE, damaged
from focus_cli.store.regular import open_maybe_gzip, require_regular

__all__ = ["DAMAGE", "damaged", "open_maybe_gzip", "read_parquet"]

_BATCH = 1 << 15  # rows of a Parquet table decoded at a time


def read_parquet(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Those of `columns` that a table has, a piece at a time: whole, Arrow's copy outweighs the table itself."""
    from pyarrow import default_memory_pool, parquet

    with parquet.ParquetFile(require_regular(path), pre_buffer=False) as file:
        known = [name for name in columns if name in file.schema_arrow.names]
        pieces: dict[str, list[np.ndarray]] = {name: [] for name in known}
        for batch in file.iter_batches(_BATCH, columns=known, use_threads=False):
            for name in known:
                pieces[name].append(batch.column(name).to_numpy(zero_copy_only=False))
    # Each column's pieces go as soon as they are joined.
    table = pd.DataFrame({name: np.concatenate(pieces.pop(name) or [[]]) for name in known}, copy=False)
    default_memory_pool().release_unused()
    return table

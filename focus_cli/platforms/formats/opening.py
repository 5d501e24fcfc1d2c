"""Opening the files of a raw folder: gzipped or not, whole or damaged."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.storage.damage import DAMAGE as STORE_DAMAGE
from focus_cli.core.storage.damage import damaged
from focus_cli.core.storage.regular import open_maybe_gzip, require_regular

__all__ = ["DAMAGE", "damaged", "open_maybe_gzip", "open_table", "read_parquet"]

DAMAGE = (*STORE_DAMAGE, zipfile.BadZipFile)
# How far a zipped table may unpack: text that is mostly zeros shrinks to a hundredth.
_MOST_UNPACKED, _MOST_RATIO = 1 << 30, 400
_BATCH = 1 << 15  # rows of a Parquet table decoded at a time


@contextmanager
def open_table(path: Path) -> Iterator[IO[bytes]]:
    """Open a text table for reading: plain, gzipped, or the only file of a zip archive, by the first bytes.

    Raises
    ------
    UsageError
        If a zip archive holds several files.
    MissingResourceError, BadInputError
        As `open_maybe_gzip`; BadInputError as well where an archive is empty, a workbook, or unpacks beyond any table.
    """
    with open_maybe_gzip(path) as stream:
        if stream.read(4) != b"PK\x03\x04":
            stream.seek(0)
            yield stream
            return
    with zipfile.ZipFile(path) as archive, archive.open(_only_member(path, archive)) as member:
        yield member


def _only_member(path: Path, archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """The one table of an archive; what macOS adds to archives is none."""
    if "[Content_Types].xml" in archive.namelist():
        raise BadInputError(f"{path} is a spreadsheet's workbook, not a text table", hint="save it as csv (UTF-8)")
    files = [m for m in archive.infolist() if not m.is_dir() and not m.filename.startswith("__MACOSX")]
    files = [m for m in files if not m.filename.rsplit("/", 1)[-1].startswith(".")]
    if len(files) > 1:
        listed = ", ".join(m.filename for m in files[:5]) + (", …" if len(files) > 5 else "")
        raise UsageError(
            f"{path} holds {len(files)} files ({listed}): which is the table is not clear",
            hint="unpack it and keep one table of counts in the folder",
        )
    if not files:
        raise BadInputError(f"{path} is an empty archive", hint="copy or download the file again")
    member = files[0]
    if member.file_size > max(_MOST_UNPACKED, _MOST_RATIO * member.compress_size):
        raise BadInputError(
            f"{path}: {member.filename} would unpack to {member.file_size / 1e9:.1f} GB",
            hint="is it a table of counts?",
        )
    return member


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

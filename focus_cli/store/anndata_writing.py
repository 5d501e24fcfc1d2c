"""AnnData files that every reader understands: R, older anndata and spatialdata as well as today's.

From pandas 3 on, text columns and indices have a type of their own, which anndata stores as ``nullable-string-array``.
Readers older than anndata 0.11 do not know it. FOCUS writes every text as ``string-array``, whatever pandas is
installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli import keys
from focus_cli.store.column_names import storable, storable_columns

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

COMPRESSION = {"compression": "gzip", "compression_opts": 1}


def write_anndata(adata: AnnData, path: Path) -> None:
    """Write `adata` to an ``.h5ad`` file.

    Parameters
    ----------
    adata
        Texts with missing values in ``obs`` and ``var`` are stored as categories.
    path
        File to write. Its directory exists.
    """
    for table in (adata.obs, adata.var):
        _missing_texts_to_categories(table)
    with _plain_strings(), storable_columns(adata):
        # Not lzf: its output depends on uninitialised memory, and equal data must give equal bytes.
        adata.write_h5ad(path, **COMPRESSION)


def write_elements(handle: Any, group: str, elements: Mapping[str, Any]) -> None:
    """Write elements into a group of an open AnnData, of HDF5 or zarr, in the order of their keys.

    An element that is there is replaced.

    Parameters
    ----------
    handle
        ``h5py.File``, or a zarr group.
    group
        Group of the file, ``""`` for its root; made as an AnnData mapping where it is missing.
    elements
        Key → anything that anndata can store. Keys hold no ``/``; columns of tables may, see `column_names`.
    """
    import h5py
    from anndata.io import write_elem

    how = {"dataset_kwargs": COMPRESSION} if isinstance(handle, h5py.File) else {}
    if group and group not in handle:
        parent, _, name = group.rpartition("/")
        write_elements(handle, parent, {name: {}})
    place = handle[group] if group else handle
    with _plain_strings():
        for key, value in sorted(elements.items()):
            if key in place:
                del place[key]
            names = None
            if hasattr(value, "columns"):
                value, names = storable(value)
            write_elem(place, key, value, **how)
            if names is not None and group in ("obsm", "varm"):
                write_elements(handle, f"uns/{keys.UNS_COLUMNS}", {key: names})


@contextmanager
def _plain_strings() -> Iterator[None]:
    import anndata

    with anndata.settings.override(allow_write_nullable_strings=False):
        yield


def _missing_texts_to_categories(table: pd.DataFrame) -> None:
    import pandas as pd

    for column in table.columns:
        values = table[column]
        if isinstance(values.dtype, pd.StringDtype) and values.isna().any():
            table[column] = values.astype(object).astype("category")

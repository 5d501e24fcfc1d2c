"""AnnData files that every reader understands: R, older anndata and spatialdata as well as today's.

From pandas 3 on, text columns and indices have a separate type, which anndata stores as ``nullable-string-array``.
Readers older than anndata 0.11 do not know it. FOCUS writes every text as ``string-array``, whatever pandas is
installed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core import keys
from focus_cli.core.storage.column_names import storable, storable_columns

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
    adata.obs, adata.var = _with_plain_texts(adata.obs), _with_plain_texts(adata.var)
    for group in (adata.obsm, adata.varm):
        for key, value in list(group.items()):
            if hasattr(value, "columns"):
                group[key] = _with_plain_texts(value)
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
                value, names = storable(_with_plain_texts(value))
            write_elem(place, key, value, **how)
            if names is not None and group in ("obsm", "varm"):
                write_elements(handle, f"uns/{keys.UNS_COLUMNS}", {key: names})


@contextmanager
def _plain_strings() -> Iterator[None]:
    import anndata

    with anndata.settings.override(allow_write_nullable_strings=False):
        yield


def _with_plain_texts(table: pd.DataFrame) -> pd.DataFrame:
    """A table whose texts are Python strings; a column of texts with missing values becomes one of categories."""
    import pandas as pd

    changed = {}
    for column in table.columns:
        values = table[column]
        if isinstance(values.dtype, pd.StringDtype):
            plain = values.astype(object)
            changed[column] = plain.where(values.notna(), None).astype("category") if values.isna().any() else plain
    table = table.assign(**changed) if changed else table
    if isinstance(table.index.dtype, pd.StringDtype):
        table = table.set_axis(pd.Index(table.index.to_numpy(object), dtype=object, name=table.index.name), axis=0)
    return table

"""Names of columns as keys of a store: a key of HDF5 and Zarr holds no slash, a cell type such as ``T/NK`` does.

A table in ``obsm`` is stored with one key per column. Columns whose names are no keys are stored under others, and the
names themselves lie beside them, in ``uns["focus_columns"]`` by the key of the table.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from focus_cli.core import keys

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from anndata import AnnData

_RESERVED = ("", ".", "..", "_index", "__categories")


def stored_names(names: Sequence[str]) -> list[str]:
    """Names as keys: a slash becomes ``|``; names stay different from each other."""
    taken: set[str] = {name for name in names if _is_key(name)}
    stored = []
    for name in names:
        key = name
        if not _is_key(name):
            base = re.sub(r"[/\x00]", "|", name)
            base = base if _is_key(base) else f"column {base}".rstrip()
            key, number = base, 1
            while key in taken:
                number += 1
                key = f"{base} {number}"
            taken.add(key)
        stored.append(key)
    return stored


def _is_key(name: str) -> bool:
    return "/" not in name and "\x00" not in name and name not in _RESERVED


def storable(table: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray | None]:
    """A table whose columns have names that are keys, and the names proper; None where nothing was changed."""
    import numpy as np

    names = [str(name) for name in table.columns]
    stored = stored_names(names)
    return (table, None) if stored == names else (table.set_axis(stored, axis=1), np.array(names, dtype=object))


def make_storable(adata: AnnData) -> list[tuple[Any, str, pd.DataFrame]]:
    """Rename the columns of tables in ``obsm`` and ``varm`` that are no keys; what was replaced."""
    replaced: list[tuple[Any, str, Any]] = []
    names: dict[str, np.ndarray] = {}
    for group in (adata.obsm, adata.varm):
        for key, value in list(group.items()):
            if hasattr(value, "columns"):
                table, proper = storable(value)
                if proper is not None:
                    replaced.append((group, key, value))
                    group[key], names[key] = table, proper
    if names:
        adata.uns[keys.UNS_COLUMNS] = {**adata.uns.get(keys.UNS_COLUMNS, {}), **names}
    return replaced


@contextmanager
def storable_columns(adata: AnnData) -> Iterator[None]:
    """For the time of writing, tables of ``obsm`` and ``varm`` have columns that are keys."""
    stated = adata.uns.get(keys.UNS_COLUMNS)
    replaced = make_storable(adata)
    try:
        yield
    finally:
        for group, key, value in replaced:
            group[key] = value
        if stated is not None:
            adata.uns[keys.UNS_COLUMNS] = stated
        else:
            adata.uns.pop(keys.UNS_COLUMNS, None)


def proper_names(value: Any, stated: Any) -> Any:
    """A table that was read, its columns under their own names.

    Parameters
    ----------
    value
        An element of ``obsm`` or ``varm``; anything but a table is handed back.
    stated
        What ``uns["focus_columns"]`` holds for its key, or None.
    """
    import numpy as np

    if stated is None or not hasattr(value, "columns"):
        return value
    names = [str(name) for name in np.asarray(stated, dtype=object).ravel()]
    # Another program may have added or removed columns since.
    return value.set_axis(names, axis=1) if stored_names(names) == [str(c) for c in value.columns] else value

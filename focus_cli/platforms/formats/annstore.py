"""Opening an AnnData, as a file (``.h5ad``) or as a store (``.zarr``, both generations of the format)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from focus_cli.core.storage.damage import damaged
from focus_cli.core.storage.hdf5 import open_hdf5
from focus_cli.core.storage.zarr_folder import require_zarr

_METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")
# Folders that other stores have: of a SpatialData store, and of a picture in OME-Zarr.
_OF_OTHERS = ("images", "labels", "shapes", "points", "tables", "table")


def is_anndata_store(path: Path) -> bool:
    """Whether a folder is an AnnData store: by its attributes, else by its ``obs`` and ``var``."""
    try:
        if not path.is_dir() or not any((path / name).is_file() for name in _METADATA):
            return False
        if any((path / name).is_dir() for name in _OF_OTHERS):
            return False
        return all(any((path / part / name).is_file() for name in _METADATA) for part in ("obs", "var"))
    except OSError:
        return False


@contextmanager
def open_anndata(path: Path) -> Iterator[Any]:
    """The root group of an AnnData file or store, for reading.

    Raises
    ------
    MissingResourceError
        If nothing is there.
    BadInputError
        If it is damaged, holds pickled arrays, or links to files outside of itself.
    """
    path = Path(path)
    if not path.is_dir():
        with open_hdf5(path) as file:
            yield file
        return
    require_zarr(path)
    try:
        import zarr

        group = zarr.open_group(str(path), mode="r")
    except Exception as error:  # zarr and its codecs raise anything on a damaged store
        raise damaged(path, error) from error
    yield group

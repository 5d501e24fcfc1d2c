"""Opening an AnnData, as a file (``.h5ad``) or as a store (``.zarr``, both generations of the format)."""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from focus_cli.errors import BadInputError
from focus_cli.store.damage import damaged
from focus_cli.store.hdf5 import open_hdf5

_METADATA = ("zarr.json", ".zgroup", ".zattrs", ".zarray", ".zmetadata")
_MOST_METADATA = 1 << 24  # bytes of one file of them
# Folders that other stores have: of a SpatialData store, and of a picture in OME-Zarr.
_OF_OTHERS = ("images", "labels", "shapes", "points", "tables", "table")


def is_anndata_store(path: Path) -> bool:
    """Whether a folder is an AnnData store: by what it says of itself, else by its ``obs`` and ``var``."""
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
    check_store(path)
    try:
        import zarr

        group = zarr.open_group(str(path), mode="r")
    except Exception as error:  # zarr and its codecs raise anything on a damaged store
        raise damaged(path, error) from error
    yield group


def check_store(store: Path) -> None:
    """Refuse a store that reaches out of its folder, or with arrays that only unpickling, which runs code, would open.

    Raises
    ------
    BadInputError
        Naming the file.
    """
    inside = os.path.realpath(store)
    for folder, names, files in os.walk(store):
        for name in (*names, *files):
            place = Path(folder, name)
            if place.is_symlink() and not os.path.realpath(place).startswith(inside + os.sep):
                raise BadInputError(f"{place} is a link out of the store", hint="copy the whole store")
        for name in files:
            place = Path(folder, name)
            try:
                state = os.stat(place)
                if not stat.S_ISREG(state.st_mode):
                    raise BadInputError(f"{place} is no regular file", hint="copy the whole store")
                if name in _METADATA:
                    _check_metadata(place, state.st_size)
            except OSError as error:
                raise damaged(place, error) from error


def _check_metadata(place: Path, size: int) -> None:
    if size > _MOST_METADATA:
        raise BadInputError(f"{place}: {size} bytes are too many for a description of arrays", hint="copy it again")
    text = place.read_bytes()
    if re.search(rb'"(numcodecs\.)?pickle"', text):
        raise BadInputError(f"{place}: an array is pickled, which is not opened", hint="write the store again")
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise damaged(place, error) from error

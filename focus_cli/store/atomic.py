"""Outputs appear whole or not at all: written to a private sibling, then renamed."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from focus_cli.errors import MissingResourceError, OutputExistsError, UsageError
from focus_cli.store.fence import refuse_superseded


def refuse_existing(path: Path, overwrite: bool = False) -> None:
    """Refuse an output that exists, before any work is done for it.

    Raises
    ------
    OutputExistsError
        If `path` exists and `overwrite` is false.
    UsageError
        If a parent of `path` is a file, or `path` is a device, which a rename would replace.
    """
    path = Path(path)
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise UsageError(f"cannot write {path}: it is a device", hint="choose another --out")
    if path.exists() and not overwrite:
        raise OutputExistsError(f"output exists: {path}", hint="choose another --out, or pass --overwrite")
    for parent in path.absolute().parents:
        if parent.exists():
            if not parent.is_dir():
                raise UsageError(f"cannot write {path}: {parent} is a file", hint="choose another --out")
            if not os.access(parent, os.W_OK):
                raise MissingResourceError(
                    f"cannot write {path}: no permission in {parent}", hint="choose another --out"
                )
            break


def _temporary_sibling(path: Path) -> Path:
    # The suffix is kept: writers choose their format by it.
    return path.with_name(f".{path.stem}.{uuid.uuid4().hex[:8]}.tmp{path.suffix}")


@contextmanager
def atomic_file(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it into place when the block succeeds.

    Raises
    ------
    OutputExistsError
        If `path` exists and `overwrite` is false.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(path)
    try:
        yield temporary
        refuse_superseded(path)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; rename it into place when the block succeeds.

    Raises
    ------
    OutputExistsError
        If `path` exists and `overwrite` is false.
    """
    path = Path(path)
    refuse_existing(path, overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary_sibling(path)
    temporary.mkdir()
    try:
        yield temporary
        refuse_superseded(path)
        if path.exists():
            retired = _temporary_sibling(path)
            os.replace(path, retired)
            os.replace(temporary, path)
            shutil.rmtree(retired) if retired.is_dir() else retired.unlink()
        else:
            os.replace(temporary, path)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)

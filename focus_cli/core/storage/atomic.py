"""Outputs appear whole or not at all: written to a private sibling, then renamed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from focus_cli.core.interrupts import check_interrupted, shielded
from focus_cli.core.storage.faults import faults_noted, named_faults, raise_noted
from focus_cli.core.storage.fencing import refuse_superseded
from focus_cli.core.storage.kinds import Kind
from focus_cli.core.storage.outputs import check_output
from focus_cli.core.storage.temporaries import hold, let_go, remove, temporary_sibling


@contextmanager
def atomic_file(path: Path, overwrite: bool = False, *, kind: Kind) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it into place when the block succeeds.

    Parameters
    ----------
    path
        The file to write.
    overwrite
        Replace a file of the same kind.
    kind
        What is written; see `focus_cli.core.storage.kinds`.

    Raises
    ------
    OutputExistsError
        If `path` exists and `overwrite` is false, or it is not a file that FOCUS wrote as this `kind`.
    FileSystemError
        If the disk is full, or the file system fails.
    """
    with _in_place_of(Path(path), overwrite, kind) as temporary:
        yield temporary


@contextmanager
def atomic_directory(path: Path, overwrite: bool = False, *, kind: Kind) -> Iterator[Path]:
    """Yield a temporary directory beside `path`; rename it into place when the block succeeds.

    Parameters and errors are those of `atomic_file`.
    """
    with _in_place_of(Path(path), overwrite, kind) as temporary:
        temporary.mkdir()
        yield temporary


@contextmanager
def _in_place_of(path: Path, overwrite: bool, kind: Kind) -> Iterator[Path]:
    check_output(path, kind, overwrite=overwrite)
    path.parent.mkdir(parents=True, exist_ok=True)
    # By its real name: ``s/../s`` is not there while ``s`` is set aside.
    path = Path(os.path.realpath(path.parent), path.name)
    temporary = temporary_sibling(path)
    hold(temporary)
    try:
        with named_faults(temporary):
            before = faults_noted()
            yield temporary
            raise_noted(before)
            check_interrupted()
            refuse_superseded(path)
            # What lies there may have come while this was made.
            check_output(path, kind, overwrite=overwrite)
            with shielded():
                _rename(temporary, path)
    finally:
        with shielded():
            let_go(temporary)


def _rename(temporary: Path, path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        retired = temporary_sibling(path)
        os.replace(path, retired)
        try:
            os.replace(temporary, path)
        except OSError:
            os.replace(retired, path)
            raise
        remove(retired)
        return
    if path.is_symlink() and temporary.is_dir():
        path.unlink()
    os.replace(temporary, path)

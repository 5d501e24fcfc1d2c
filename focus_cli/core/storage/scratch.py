"""Scratch folders: for what a command needs while it works, gone when it ends, however it ends."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from focus_cli.core.interrupts import shielded
from focus_cli.core.progress import named
from focus_cli.core.storage.faults import named_faults
from focus_cli.core.storage.temporaries import hold, let_go, owner, sweep_folder

_BEFORE = ".focus-scratch"


@contextmanager
def scratch_folder(
    within: Path | None = None, *, names: Mapping[str, Path | str | None] | None = None
) -> Iterator[Path]:
    """Yield an empty folder of this user's alone, and remove it afterwards.

    What killed processes of this machine left there is removed first.

    Parameters
    ----------
    within
        Where to make it; by default ``$TMPDIR``.
    names
        Name of what is made in it → what it was made of. Messages name that, and not the folder.

    Raises
    ------
    FileSystemError
        If there is no space for what is written into it.
    """
    place = Path(tempfile.gettempdir() if within is None else within)
    sweep_folder(place, _BEFORE)
    folder = place / f"{_BEFORE}.{owner()}.tmp"
    hold(folder)
    try:
        with named_faults(folder):
            folder.mkdir(mode=0o700)
            with named({str(folder / name): str(made_of) for name, made_of in (names or {}).items() if made_of}):
                yield folder
    finally:
        with shielded():
            let_go(folder)

"""Bins of Visium HD: their size, as their barcodes and folders state it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from focus_cli.core.errors import FocusError
from focus_cli.platforms.formats.outs import Files
from focus_cli.platforms.formats.positions import first_barcode

_BIN = re.compile(r"s_(\d{3,})um_\d+_\d+")
_SQUARE = re.compile(r"square_(\d{3,})um")


def bin_of(barcodes: Sequence[str]) -> int | None:
    """Side in µm of the bins that barcodes name (``s_008um_00012_00034-1``); None for other barcodes."""
    match = _BIN.match(str(barcodes[0])) if len(barcodes) else None
    return int(match.group(1)) if match else None


def bin_of_files(files: Files) -> int | None:
    """The same for the positions of a sample, of which only the first is read; None where they cannot be read."""
    if files.positions is None:
        return None
    try:
        return bin_of([first_barcode(files.positions)])
    except FocusError:
        return None


def square_size(folder: Path) -> int | None:
    """The size in a folder's name ``square_XXXum``."""
    match = _SQUARE.fullmatch(folder.name)
    return int(match.group(1)) if match else None


def bin_folders(binned: Path) -> dict[int, Path]:
    """Bin size in µm → folder, for every ``square_XXXum`` in `binned`, the finest first."""
    sizes = {size: folder for folder in binned.iterdir() if folder.is_dir() and (size := square_size(folder))}
    return dict(sorted(sizes.items()))

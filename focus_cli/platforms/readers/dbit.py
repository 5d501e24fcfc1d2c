"""DBiT-seq: two crossed sets of channels; counts of every crossing, named ``AxB`` by column and row."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, UsageError
from focus_cli.core.storage import Footprint, PlatformInfo
from focus_cli.platforms.array_names import TABLE_ENDINGS, peek_table
from focus_cli.platforms.assemble import assemble, choose_he
from focus_cli.platforms.checks import GENE_EXPRESSION, check_unique
from focus_cli.platforms.formats.opening import DAMAGE, damaged, open_maybe_gzip
from focus_cli.platforms.formats.text_matrix import read_text_matrix
from focus_cli.platforms.images import SUFFIXES, image_size, never_he
from focus_cli.platforms.sample import Detection, RawSample

NAME = "dbit"
# Channels on one side of the chips in use.
CHIPS = (50, 96, 100, 220)
CHANNEL_UM = 50.0  # if it is not stated; chips of 10, 15, 20, 25 and 50 µm are in use
# A picture of the region that the channels cover is square to within this.
_SQUARE = 0.03
# A picture with less of its pixels in colour is grey.
_COLOURED, _THUMBNAIL = 0.02, 512
_HEAD = 1 << 16


class File(StrEnum):
    """What names the tables beside the counts, wherever it stands in a name."""

    POSITION = "position"
    POSTION = "postion"  # as the published script spells it
    BARCODES = "barcode"


LOOKS_FOR = "a DBiT-seq table of counts (*.tsv or *.zip, rows named AxB by column and row) and position.txt"
_CROSSING = re.compile(r"\s*(\d{1,4})x(\d{1,4})\s*")
_ENDS = re.compile(r"([AB])(\d{1,4})")


@dataclass(frozen=True)
class Chip:
    """The files of one chip; `position` and `barcodes` may be None."""

    counts: Path
    position: Path | None
    barcodes: Path | None


def find_chip(path: Path) -> Chip | None:
    """The table of counts that `path` is, or that lies in the folder that `path` is.

    Raises
    ------
    UsageError
        If a folder holds several, or the only table is an archive of several files.
    """
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        return None
    files = sorted(p for p in folder.iterdir() if p.is_file() and p.name.lower().endswith(TABLE_ENDINGS))
    position = _position_files(folder)
    barcodes = [p for p in files if File.BARCODES in p.name.lower()]
    tables = [path] if path.is_file() else [p for p in files if p not in position and p not in barcodes]
    sure = path.is_file() or any(_lists_crossings(p) for p in position)
    tables = [p for p in tables if p.name.lower().endswith(TABLE_ENDINGS)]
    counts = [p for p in tables if _is_counts(p, barcodes, sure=sure and len(tables) == 1)]
    if not counts:
        return None
    if len(counts) > 1:
        raise UsageError(
            f"{folder} holds several tables of counts: {', '.join(p.name for p in counts[:5])}",
            hint=f"give one of them, for instance {counts[0]}",
        )
    return Chip(counts[0], _only(position, counts[0]), _only(barcodes, counts[0]))


def _position_files(folder: Path) -> list[Path]:
    """The tables whose name states that they list positions."""
    files = (p for p in sorted(folder.iterdir()) if p.is_file() and p.name.lower().endswith(TABLE_ENDINGS))
    return [p for p in files if File.POSITION in p.name.lower() or File.POSTION in p.name.lower()]


def _is_counts(path: Path, barcodes: list[Path], *, sure: bool) -> bool:
    """Whether the first row is named as a crossing or a pair of barcodes; `sure`: an archive must hold one table."""
    try:
        head = peek_table(path)
    except UsageError:
        if sure:
            raise
        return False
    if head is None or not head.rows or {"x", "y"} <= {column.lower() for column in head.columns}:
        return False
    name = head.rows[0]
    return _on_a_chip([name]) or bool(barcodes and re.fullmatch("[ACGTN]{16}", name))


def _lists_crossings(path: Path) -> bool:
    """Whether a file begins as the list of the crossings on tissue does."""
    try:
        with open_maybe_gzip(path) as stream:
            words = stream.read(_HEAD).decode("utf-8-sig", "replace")
    except DAMAGE:
        return False
    first = next((w for w in re.split(r"[,;\s\"]+", words) if w), "")
    return bool(_CROSSING.fullmatch(first))


def _listed(path: Path) -> bool:
    """Whether a list of crossings lies in the folder that `path` is or lies in."""
    folder = path if path.is_dir() else path.parent
    return any(_lists_crossings(p) for p in _position_files(folder))


def _on_a_chip(names: list[str]) -> bool:
    """Whether names are crossings that a chip has."""
    found = [_CROSSING.fullmatch(name) for name in names]
    return bool(found) and all(m and max(int(m[1]), int(m[2])) <= CHIPS[-1] for m in found)


def _only(files: list[Path], counts: Path) -> Path | None:
    """The table that belongs to these counts: the only one, or the only one that shares their name's start."""
    if len(files) > 1:
        start = re.split(r"[._-]", counts.name)[0]
        files = [p for p in files if p.name.startswith(start)]
    return files[0] if len(files) == 1 else None


def detect(path: Path) -> Detection | None:
    """Recognise DBiT-seq by the names of the rows of a table: ``12x34``."""
    try:
        chip = find_chip(path)
    except UsageError as error:
        return Detection(NAME, "", (), (error.message,), weak=not _listed(path))
    except OSError:
        return None
    if chip is None:
        return None
    evidence = [p.name for p in (chip.counts, chip.position, chip.barcodes) if p is not None]
    problems = () if chip.position is not None else ("position.txt is missing: all crossings are taken as tissue",)
    # Rows named AxB are what legacy ST and others have too.
    sure = chip.barcodes is not None or (chip.position is not None and _lists_crossings(chip.position))
    head = peek_table(chip.counts)
    if not sure and not (head is not None and _on_a_chip(head.rows)):
        return None
    return Detection(NAME, "", tuple(evidence), problems, weak=not sure)


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, bin_um: float | None = None) -> RawSample:
    """Read one chip.

    Channel j lies between 2 (j − 1) and 2 (j − 1) + 1 channel widths from the edge of the region, for walls
    are as wide as channels. Crossing 1x1 is at the upper left, A counts to the right and B down. Positions
    are pixels of a picture of just that region, as the published workflow crops it.

    Parameters
    ----------
    path
        The table of counts, or its folder.
    image
        The H&E, cropped to the region of the channels; otherwise one is looked for beside the data.
    mpp
        µm per pixel of that picture; otherwise from its width, and 1 without one.
    bin_um
        Width of a channel in µm; 50 by default, with a warning.

    Raises
    ------
    MissingResourceError
        If the counts are not there.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such file or folder: {path}", hint="check the path")
    chip = find_chip(path)
    if chip is None:
        raise BadInputError(f"{path}: no table of counts with rows named AxB", hint=f"give {LOOKS_FOR}")
    inputs = {"matrix": chip.counts}
    warnings = []
    if bin_um is None:
        bin_um = CHANNEL_UM
        warnings.append(f"the files do not state the width of a channel: {bin_um:g} µm is assumed (pass --bin-um)")
    names, genes, counts = read_text_matrix(chip.counts)
    check_unique(genes, "genes", chip.counts.name)
    a, b, channels = _crossings(names, chip, inputs)
    names = [f"{i}x{j}" for i, j in zip(a, b)]
    under, notes = _under_tissue(chip, names, inputs)
    xy_um = (2 * (np.stack([a, b], axis=1) - 1) + 0.5) * bin_um
    picture, frame, of_images = _pictures(image, chip.counts.parent)
    side = (2 * channels - 1) * bin_um
    scale, more = _scale(mpp, picture or frame, side)
    warnings += of_images
    obs = pd.DataFrame({keys.IN_TISSUE: under.astype(np.int64), keys.ARRAY_ROW: b, keys.ARRAY_COL: a})
    return assemble(
        platform=PlatformInfo(
            name=NAME, technology="sequencing", chemistry="poly-A capture", resolution_um=float(bin_um)
        ),
        counts=counts,
        names=names,
        genes=pd.DataFrame({"id": genes, "name": genes, "type": GENE_EXPRESSION}, dtype=object),
        xy_px=xy_um / scale,
        mpp=scale,
        footprint=Footprint("square", float(bin_um), 2.0 * float(bin_um)),
        where=chip.counts.name,
        inputs=inputs,
        warnings=warnings + notes + more,
        obs=obs,
        image=picture,
    )


def _pictures(image: Path | None, folder: Path) -> tuple[Path | None, Path | None, list[str]]:
    """The H&E, or the grey picture of the channels that gives the scale, and warnings.

    The published data sets hold a brightfield picture of the region: it is grey, no H&E, and on its pixels the
    positions lie all the same.
    """
    if image is not None:
        return choose_he(image, [folder]), None, []
    found = [p for p in sorted(folder.iterdir()) if p.suffix.lower() in SUFFIXES and not never_he(p)]
    grey = [p for p in found if _is_grey(p)]
    he = None if len(found) == len(grey) else choose_he(None, [folder])
    if he is not None and he not in grey:
        return he, None, []
    if not grey:
        return None, None, []
    names = ", ".join(p.name for p in grey[:5])
    sizes = {image_size(p) for p in grey}
    frame = grey[0] if len(sizes) == 1 else None
    note = f"{names}: grey, no H&E, and not used as one" + (
        "; the positions are in pixels of its frame" if frame is not None else ""
    )
    return None, frame, [note]


def _is_grey(path: Path) -> bool:
    """Whether a picture has no colour; what cannot be opened is looked at where it is used."""
    from PIL import Image

    from focus_cli.histology.slides import is_histology, open_slide

    try:
        with Image.open(path) as picture:
            if picture.mode in ("1", "L", "LA", "I", "I;16", "F"):
                return True
    except (*DAMAGE, SyntaxError, Image.DecompressionBombError):
        pass
    try:
        with open_slide(path) as slide:
            return is_histology(slide.thumbnail(_THUMBNAIL))[1].coloured < _COLOURED
    except FocusError:
        return False


def _scale(mpp: float | None, picture: Path | None, side_um: float) -> tuple[float, list[str]]:
    """µm per pixel, and warnings."""
    size = image_size(picture) if picture is not None else None
    square = size is not None and abs(size[0] / size[1] - 1) <= _SQUARE
    if mpp is not None:
        if size is not None and abs(max(size) * mpp / side_um - 1) > _SQUARE:
            return mpp, [
                f"{picture.name} is {size[0] * mpp:.0f} × {size[1] * mpp:.0f} µm and the channels cover {side_um:.0f} "
                "µm: it is taken to begin at their upper left corner; crop it to them"
            ]
        return mpp, []
    if square:
        return side_um / size[0], []
    if picture is not None:
        seen = "of unknown size" if size is None else f"{size[0]} × {size[1]} px, not square"
        return 1.0, [f"{picture.name} is {seen}: it is not the region of the channels; crop it, or pass --mpp"]
    return 1.0, []


def _crossings(names: list[str], chip: Chip, inputs: dict[str, Path]) -> tuple[np.ndarray, np.ndarray, int]:
    """Column and row of every crossing from its name or barcode, 1-based, and channels on a side."""
    places = dict[str, tuple[int, int]]()
    largest = 0
    if chip.barcodes is not None:
        places, largest = _read_barcodes(chip.barcodes)
        inputs["barcodes"] = chip.barcodes
    pairs = np.zeros((len(names), 2), dtype=np.int64)
    for row, name in enumerate(names):
        match = _CROSSING.fullmatch(name)
        place = (int(match[1]), int(match[2])) if match else places.get(name)
        if place is None or min(place) < 1:
            raise BadInputError(
                f"{chip.counts}: row {name[:40]!r} is not the name of a crossing", hint="rows are named AxB, from 1x1"
            )
        pairs[row] = place
    largest = max(largest, int(pairs.max()))
    channels = next((n for n in CHIPS if n >= largest), None)
    if channels is None:
        raise BadInputError(
            f"{chip.counts}: crossing {largest} is on no known chip", hint=f"they have {', '.join(map(str, CHIPS))}"
        )
    return pairs[:, 0], pairs[:, 1], channels


def _read_barcodes(path: Path) -> tuple[dict[str, tuple[int, int]], int]:
    """Barcode → (A, B), from rows ``BARCODE A B``, or from the barcodes of every channel, ``A1 ACGTACGT``.

    In a pair, the barcode of channel B comes first.
    """
    try:
        with open_maybe_gzip(path) as stream:
            lines = stream.read().decode("utf-8-sig").splitlines()
    except DAMAGE as error:
        raise damaged(path, error) from error
    whole: dict[str, tuple[int, int]] = {}
    ends: dict[str, dict[int, str]] = {"A": {}, "B": {}}
    for number, line in enumerate(lines, 1):
        words = line.replace(",", "\t").split()
        match = _ENDS.fullmatch(words[0]) if len(words) == 2 else None
        if match:
            ends[match[1]][int(match[2])] = words[1].upper()
        elif len(words) == 3 and words[1].isdecimal() and words[2].isdecimal():
            whole[words[0].upper()] = int(words[1][:6]), int(words[2][:6])
        elif words and number > 1:  # the first line may be a header
            raise BadInputError(f"{path}: line {number} is no barcode", hint="rows are BARCODE A B, or A1 BARCODE")
    if len(ends["A"]) * len(ends["B"]) > 1_000_000:
        raise BadInputError(f"{path}: more channels than any chip has", hint="check the table of barcodes")
    for b, second in ends["B"].items():
        for a, first in ends["A"].items():
            whole[second + first] = a, b
    if not whole:
        raise BadInputError(f"{path}: no barcode", hint="rows are BARCODE A B, or A1 BARCODE")
    return whole, max(max(place) for place in whole.values())


def _under_tissue(chip: Chip, names: list[str], inputs: dict[str, Path]) -> tuple[np.ndarray, list[str]]:
    """Which crossings the list of pixels on tissue holds; all, where there is no list."""
    if chip.position is None:
        return np.ones(len(names), bool), ["no position.txt: all crossings are taken to lie on tissue"]
    inputs["tissue"] = chip.position
    try:
        with open_maybe_gzip(chip.position) as stream:
            text = stream.read().decode("utf-8-sig")
    except DAMAGE as error:
        raise damaged(chip.position, error) from error
    words = [w.strip('"') for w in re.split(r"[,;\s]+", text) if w.strip('"')]
    strange = next((w for w in words if not _CROSSING.fullmatch(w)), None)
    if strange is not None or not words:
        reason = f"{strange[:40]!r} is no crossing" if words else "it is empty"
        raise BadInputError(f"{chip.position}: {reason}", hint="it lists the crossings on tissue: 1x1,1x2,…")
    known = {f"{int(m[1])}x{int(m[2])}" for m in map(_CROSSING.fullmatch, words)}
    under = np.array([n in known for n in names])
    if not under.any():
        raise BadInputError(
            f"{chip.position}: none of its {len(known)} crossings is in {chip.counts.name}",
            hint="the two files come from different chips",
        )
    return under, []

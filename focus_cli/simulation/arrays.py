"""The capture arrays: where each platform's locations lie, what they are called, what they collect."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from focus_cli.simulation.streams import stream
from focus_cli.simulation.tissue import DOMAINS, OUTSIDE, Cells, Tissue

FINE_UM = 16.0  # pitch of the fine truth

_VISIUM_ROWS, _VISIUM_COLS = 78, 128
_VISIUM_PITCH_UM = 100.0
_VISIUM_SPOT_UM = 55.0
_HD_BIN_UM = 8.0
_HD_SIDE = 838  # 8 µm bins along the side of an HD capture area
_LEGACY_PITCH_UM, _LEGACY_SPOT_UM = 200.0, 100.0
COSMX_FIELD_UM = 512.0
_STEREO_BIN_UM = 16.0  # 32 nanoballs, counted from the chip's origin
_BEAD_UM, _BEAD_PITCH_UM, _BEAD_SLIP_UM = 10.0, 14.0, 1.5
_BEADS_READ = 0.7  # share of the beads whose barcode was read
_DBIT_CHANNELS = 50
_CELL_UM = 10.0  # how wide a segmented cell is taken to be


@dataclass(frozen=True)
class Locations:
    """The locations of one array over one section, in the order of the vendor's position file.

    Attributes
    ----------
    names
        str (n,): barcodes.
    array_row, array_col
        int64 (n,): place on the capture array.
    px
        float64 (n, 2): centre (x, y) in full-resolution pixels.
    mpp
        µm per pixel.
    in_tissue
        bool (n,): the centre lies within the outline.
    shape, size_um, pitch_um
        Footprint: ``"circle"`` and its diameter or ``"square"`` and its side; centre to centre.
    """

    names: np.ndarray
    array_row: np.ndarray
    array_col: np.ndarray
    px: np.ndarray
    mpp: float
    in_tissue: np.ndarray
    shape: str
    size_um: float
    pitch_um: float

    def __len__(self) -> int:
        return len(self.names)

    @property
    def xy_um(self) -> np.ndarray:
        """Centre (x, y) in µm: float64 (n, 2)."""
        return self.px * self.mpp

    def take(self, which: np.ndarray) -> Locations:
        """The locations at some indices, in their order."""
        rows = ("names", "array_row", "array_col", "px", "in_tissue")
        values = {name: getattr(self, name) for name in Locations.__dataclass_fields__}
        return Locations(**{name: v[which] if name in rows else v for name, v in values.items()})

    def counted(self) -> Locations:
        """The locations on tissue, sorted by barcode: the order of the vendor's count matrix."""
        on = np.flatnonzero(self.in_tissue)
        return self.take(on[np.argsort(self.names[on], kind="stable")])


def make_locations(platform: str, tissue: Tissue, cells: Cells, mpp: float, seed: int, section: int) -> Locations:
    """Lay the array of a platform over a section, or take its cells where the platform images them."""
    return _ARRAYS[platform](tissue, cells, mpp, seed, section)


def square_grid(tissue: Tissue, mpp: float, bin_um: float, *, mirrored: bool = False) -> Locations:
    """A grid of square bins, named as Visium HD names them.

    The grid spans a whole number of 16 µm bins, centred in the frame, so that finer bins nest in coarser.
    With `mirrored`, columns run from right to left, as on instruments that see the slide from its back.
    """
    blocks = int(tissue.size_um // FINE_UM)
    n = round(blocks * FINE_UM / bin_um)
    margin = (tissue.size_um - blocks * FINE_UM) / 2
    row, column = (a.ravel() for a in np.mgrid[0:n, 0:n])
    across = n - 1 - column if mirrored else column
    xy = margin + (np.stack([across, row], axis=1) + 0.5) * bin_um
    offset = int((_HD_SIDE * _HD_BIN_UM / FINE_UM - blocks) // 2 * round(FINE_UM / bin_um))
    row, column = row + max(offset, 0), column + max(offset, 0)
    names = bin_names(bin_um, row, column)
    on = tissue.domain_at(xy) != OUTSIDE
    return Locations(names, row, column, xy / mpp, mpp, on, "square", bin_um, bin_um)


def bin_names(bin_um: float, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    """Barcodes of Visium HD bins: ``s_008um_00012_00034-1``."""
    return np.array([f"s_{round(bin_um):03d}um_{r:05d}_{c:05d}-1" for r, c in zip(row, column)])


def majority_domain(tissue: Tissue, locations: Locations) -> np.ndarray:
    """The domain with the largest part of each footprint, as text: object (n,)."""
    steps = (np.arange(7) + 0.5) / 7 - 0.5
    dx, dy = (a.ravel() * locations.size_um for a in np.meshgrid(steps, steps))
    if locations.shape == "circle":
        within = np.hypot(dx, dy) <= locations.size_um / 2
        dx, dy = dx[within], dy[within]
    votes = np.zeros((len(locations), len(DOMAINS)), dtype=np.int32)
    for offset in zip(dx, dy):
        domain = tissue.domain_at(locations.xy_um + offset)
        on = np.flatnonzero(domain != OUTSIDE)
        votes[on, domain[on]] += 1
    return np.array(DOMAINS, dtype=object)[votes.argmax(axis=1)]


def _visium(tissue: Tissue, mpp: float) -> Locations:
    """The part of a 78 × 128 Visium array that fits the frame; row + column is even at every spot."""
    edge = _VISIUM_SPOT_UM
    row_um, col_um = _VISIUM_PITCH_UM * np.sqrt(3) / 2, _VISIUM_PITCH_UM / 2
    n_rows = min(int((tissue.size_um - 2 * edge) / row_um) + 1, _VISIUM_ROWS)
    n_cols = min(int((tissue.size_um - 2 * edge) / col_um) + 1, _VISIUM_COLS)
    first_row = (_VISIUM_ROWS - n_rows) // 4 * 2
    first_col = (_VISIUM_COLS - n_cols) // 4 * 2
    row, column = (a.ravel() for a in np.mgrid[0:n_rows, 0:n_cols])
    spot = (row + column) % 2 == 0
    row, column = row[spot], column[spot]
    # Space Ranger lists pairs of rows, zigzag.
    order = np.lexsort((column, row // 2))
    row, column = row[order], column[order]
    px = np.stack([edge + column * col_um, edge + row * row_um], axis=1) / mpp
    px = np.round(px)  # Space Ranger 1 and 2 write whole pixels; the spot lies where the file says
    row, column = row + first_row, column + first_col
    names = _visium_barcodes()[row, column]
    on = tissue.domain_at(px * mpp) != OUTSIDE
    return Locations(names, row, column, px, mpp, on, "circle", _VISIUM_SPOT_UM, _VISIUM_PITCH_UM)


def _visium_barcodes() -> np.ndarray:
    """One barcode for each place on the array, the same in every section, as on real slides."""
    rng = np.random.default_rng(16)
    codes = np.unique(rng.integers(0, 4**16, size=_VISIUM_ROWS * _VISIUM_COLS + 100))
    codes = rng.permutation(codes)[: _VISIUM_ROWS * _VISIUM_COLS]
    letters = np.array(list("ACGT"))[codes[:, None] // 4 ** np.arange(16) % 4]
    return np.array(["".join(word) + "-1" for word in letters]).reshape(_VISIUM_ROWS, _VISIUM_COLS)


def _legacy(tissue: Tissue, mpp: float, seed: int, section: int) -> Locations:
    """Printed spots on a square array, each a little off its place, as the printer left them."""
    n = int(tissue.size_um // _LEGACY_PITCH_UM)
    margin = (tissue.size_um - n * _LEGACY_PITCH_UM) / 2 + _LEGACY_PITCH_UM / 2
    row, column = (a.ravel() for a in np.mgrid[0:n, 0:n])
    slip = stream(seed, "printer", section).normal(0.0, 0.05, (n * n, 2)).clip(-0.12, 0.12)
    xy = margin + (np.stack([column, row], axis=1) + slip) * _LEGACY_PITCH_UM
    px = np.round(xy / mpp, 2)  # as many digits as the spot file holds
    row, column = row + 2, column + 2
    names = np.array([f"{x}x{y}" for x, y in zip(column, row)])
    on = tissue.domain_at(px * mpp) != OUTSIDE
    return Locations(names, row, column, px, mpp, on, "circle", _LEGACY_SPOT_UM, _LEGACY_PITCH_UM)


def _cell_centres(tissue: Tissue, cells: Cells, mpp: float) -> Locations:
    """One location for each cell, as instruments see them that image and segment; numbered from 1."""
    names = np.array([str(i) for i in range(1, len(cells) + 1)])
    on = tissue.domain_at(cells.xy_um) != OUTSIDE
    zero = np.zeros(len(cells), dtype=np.int64)
    pitch = round(float(np.median(cKDTree(cells.xy_um).query(cells.xy_um, k=2)[0][:, 1])), 3)
    return Locations(names, zero, zero, cells.xy_um / mpp, mpp, on, "circle", _CELL_UM, pitch)


def _xenium_cells(tissue: Tissue, cells: Cells, mpp: float) -> Locations:
    """Cells named as Xenium does since 1.3: a number to the base of 16, in letters a to p."""
    letters = np.array(list("abcdefghijklmnop"))
    digits = letters[np.arange(1, len(cells) + 1)[:, None] // 16 ** np.arange(7, -1, -1) % 16]
    return replace(_cell_centres(tissue, cells, mpp), names=np.array(["".join(word) + "-1" for word in digits]))


def _cosmx_cells(tissue: Tissue, cells: Cells, mpp: float) -> Locations:
    """Cells named ``c_SLIDE_FIELD_CELL``; fields of view are numbered along rows, cells within their field."""
    across = int(np.ceil(tissue.size_um / COSMX_FIELD_UM))
    column, row = np.floor(cells.xy_um / COSMX_FIELD_UM).astype(int).clip(0, across - 1).T
    field = row * across + column + 1
    within = pd.Series(field).groupby(field).cumcount().to_numpy() + 1
    return replace(_cell_centres(tissue, cells, mpp), names=np.array([f"c_1_{f}_{c}" for f, c in zip(field, within)]))


def _merscope_cells(tissue: Tissue, cells: Cells, mpp: float) -> Locations:
    """Cells named by whole numbers that no float holds."""
    return replace(
        _cell_centres(tissue, cells, mpp),
        names=np.array([str(112_824_700_230_101_249 + 3 * i) for i in range(len(cells))]),
    )


def _stereoseq(tissue: Tissue, mpp: float) -> Locations:
    """Bins of Stereo-seq's nanoballs, named by the nanoball at their corner."""
    n = int(tissue.size_um // _STEREO_BIN_UM)
    row, column = (a.ravel() for a in np.mgrid[0:n, 0:n])
    xy = (np.stack([column, row], axis=1) + 0.5) * _STEREO_BIN_UM
    side = round(_STEREO_BIN_UM / 0.5)
    names = np.array([f"{c * side}_{r * side}" for r, c in zip(row, column)])
    on = tissue.domain_at(xy) != OUTSIDE
    return Locations(names, row, column, xy / mpp, mpp, on, "square", _STEREO_BIN_UM, _STEREO_BIN_UM)


def _beads(tissue: Tissue, mpp: float, seed: int, section: int) -> Locations:
    """Beads in a loose layer, three of ten unread, each with a barcode of 14 letters."""
    rng = stream(seed, "beads", section)
    n = int(tissue.size_um // _BEAD_PITCH_UM)
    row, column = (a.ravel() for a in np.mgrid[0:n, 0:n])
    xy = (np.stack([column + 0.5 * (row % 2), row], axis=1) + 0.5) * _BEAD_PITCH_UM
    xy += rng.uniform(-_BEAD_SLIP_UM, _BEAD_SLIP_UM, xy.shape)
    xy = xy[rng.permutation(len(xy))[: round(_BEADS_READ * len(xy))]]
    codes = rng.permutation(np.unique(rng.integers(0, 4**14, size=2 * len(xy) + 100)))[: len(xy)]
    letters = np.array(list("ACGT"))[codes[:, None] // 4 ** np.arange(14) % 4]
    names = np.array(["".join(word) for word in letters])
    px = np.round(xy / mpp, 6)  # as many digits as the file holds
    on = tissue.domain_at(px * mpp) != OUTSIDE
    zero = np.zeros(len(xy), dtype=np.int64)
    pitch = round(float(np.median(cKDTree(px * mpp).query(px * mpp, k=2)[0][:, 1])), 3)
    return Locations(names, zero, zero, px, mpp, on, "circle", _BEAD_UM, pitch)


def _dbit(tissue: Tissue, mpp: float) -> Locations:
    """Crossings of 50 channels with 50, their walls as wide as they are, over the whole frame."""
    width = tissue.size_um / (2 * _DBIT_CHANNELS - 1)
    row, column = (a.ravel() for a in np.mgrid[0:_DBIT_CHANNELS, 0:_DBIT_CHANNELS])
    xy = (2 * np.stack([column, row], axis=1) + 0.5) * width
    names = np.array([f"{c + 1}x{r + 1}" for r, c in zip(row, column)])
    on = tissue.domain_at(xy) != OUTSIDE
    return Locations(names, row + 1, column + 1, xy / mpp, mpp, on, "square", width, 2 * width)


# How each platform's locations lie: one line for each.
_ARRAYS: dict[str, Callable[[Tissue, Cells, float, int, int], Locations]] = {
    "visium": lambda tissue, cells, mpp, seed, section: _visium(tissue, mpp),
    "visium_hd": lambda tissue, cells, mpp, seed, section: square_grid(tissue, mpp, _HD_BIN_UM, mirrored=True),
    "legacy_st": lambda tissue, cells, mpp, seed, section: _legacy(tissue, mpp, seed, section),
    "xenium": lambda tissue, cells, mpp, seed, section: _xenium_cells(tissue, cells, mpp),
    "cosmx": lambda tissue, cells, mpp, seed, section: _cosmx_cells(tissue, cells, mpp),
    "merscope": lambda tissue, cells, mpp, seed, section: _merscope_cells(tissue, cells, mpp),
    "seqfish": lambda tissue, cells, mpp, seed, section: _cell_centres(tissue, cells, mpp),
    "osmfish": lambda tissue, cells, mpp, seed, section: _cell_centres(tissue, cells, mpp),
    "starmap": lambda tissue, cells, mpp, seed, section: _cell_centres(tissue, cells, mpp),
    "merfish": lambda tissue, cells, mpp, seed, section: _cell_centres(tissue, cells, mpp),
    "stereoseq": lambda tissue, cells, mpp, seed, section: _stereoseq(tissue, mpp),
    "slideseq": lambda tissue, cells, mpp, seed, section: _beads(tissue, mpp, seed, section),
    "dbit": lambda tissue, cells, mpp, seed, section: _dbit(tissue, mpp),
    "openst": lambda tissue, cells, mpp, seed, section: _cell_centres(tissue, cells, mpp),
    "spatialdata": lambda tissue, cells, mpp, seed, section: _cell_centres(tissue, cells, mpp),
    "anndata": lambda tissue, cells, mpp, seed, section: _visium(tissue, mpp),
}
PLATFORMS = tuple(_ARRAYS)

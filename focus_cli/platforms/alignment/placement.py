"""Placement of points on a separate H&E image: a rotation, a flip, a shift and, within limits, a scale.

The fixed side are points with a level: pooled locations with the logarithm of their counts, or a vendor's
picture with its nuclei. The moving side is the H&E, as haematoxylin density and tissue mask. A place is good
where the points lie on tissue and their level follows the haematoxylin. Every turn in steps of ten degrees,
mirrored or not, is tried at every shift at once (by Fourier transform); the best few are then refined on
the points themselves. Nothing here is random.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage, optimize

from focus_cli.core.coordinates import Affine
from focus_cli.platforms.alignment.agreement import pool, standard_ranks

_STEP_DEGREES = 10.0
_KEPT = 6  # starts that are refined
_CELLS = 160  # cells of the coarse grid along the longer side of the H&E
MAX_STRETCH = 0.05  # how far the scale may leave what the µm per pixel of both sides say
_COVER = 0.25  # weight of the share of the tissue that is covered: an array may hold a part of it only
FAR_STEPS = 4  # a place this many spacings off is another place
FAR_SHARE = 0.15  # ... or turned so that the points lie this share of their extent off


@dataclass(frozen=True)
class Points:
    """The fixed side: places in the positions' µm, and what should follow the haematoxylin there.

    Attributes
    ----------
    xy_um
        float64 (n, 2).
    level
        float64 (n,), standardised ranks.
    spacing_um
        Distance of neighbouring points.
    """

    xy_um: np.ndarray
    level: np.ndarray
    spacing_um: float

    @classmethod
    def of_locations(cls, xy_um: np.ndarray, counts: np.ndarray, pitch_um: float, spacing_um: float) -> Points:
        """Pool locations in squares of `spacing_um`; the level is the logarithm of their mean count."""
        spacing = max(pitch_um, spacing_um)
        xy, level = pool(np.asarray(xy_um, float), np.asarray(counts, float), spacing, pitch_um)
        return cls(xy, standard_ranks(level), spacing)


@dataclass(frozen=True)
class Slice:
    """The moving side: a reduced picture of the H&E.

    Attributes
    ----------
    nuclei
        float (h, w), haematoxylin density.
    tissue
        bool (h, w).
    um_per_px
        Scale of both.
    origin_um
        (x, y) of the picture's corner on the H&E.
    """

    nuclei: np.ndarray
    tissue: np.ndarray
    um_per_px: float
    origin_um: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Place:
    """One way to lay the points on the H&E: µm of the positions → µm of the H&E."""

    mirrored: bool
    degrees: float
    log_scale: float
    shift_um: tuple[float, float]
    centre_um: tuple[float, float]  # about which is turned

    @property
    def transform(self) -> Affine:
        """The same as a matrix."""
        scale, turn = np.exp(self.log_scale), np.deg2rad(self.degrees)
        linear = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        linear = linear @ np.diag([-1.0 if self.mirrored else 1.0, 1.0])
        shift = np.array(self.shift_um) - linear @ np.array(self.centre_um)
        return Affine.of(np.column_stack([linear, shift]))


@dataclass(frozen=True)
class Score:
    """How good a place is: `on_tissue` and `covered` are shares, `correlation` is Spearman's."""

    on_tissue: float
    correlation: float
    covered: float

    @property
    def total(self) -> float:
        """What is maximised."""
        return self.on_tissue + self.correlation + _COVER * self.covered


class Field:
    """The H&E at the smoothness of the points: blurred with a quarter of their spacing, eight pixels a spacing."""

    def __init__(self, moving: Slice, spacing_um: float) -> None:
        factor = max(1, int(spacing_um / 8 / moving.um_per_px))
        self.um_per_px, self.origin_um = moving.um_per_px * factor, np.array(moving.origin_um)
        sigma = spacing_um / 4 / self.um_per_px
        self.nuclei = ndimage.gaussian_filter(_reduced(moving.nuclei, factor), sigma)
        self.tissue = ndimage.gaussian_filter(_reduced(moving.tissue, factor), sigma)
        self.area_um2 = float(moving.tissue.sum()) * moving.um_per_px**2

    def sample(self, xy_um: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        place = ((xy_um - self.origin_um) / self.um_per_px - 0.5).T[::-1]
        return (
            ndimage.map_coordinates(self.nuclei, place, order=1, cval=0.0),
            ndimage.map_coordinates(self.tissue, place, order=1, cval=0.0),
        )


def _reduced(values: np.ndarray, factor: int) -> np.ndarray:
    """Means of squares of `factor` pixels; what is beyond the picture is glass."""
    values = values.astype(np.float32)
    if factor == 1:
        return values
    rows, columns = (-(-side // factor) for side in values.shape)
    padded = np.zeros((rows * factor, columns * factor), np.float32)
    padded[: values.shape[0], : values.shape[1]] = values
    return padded.reshape(rows, factor, columns, factor).mean(axis=(1, 3))


def score_place(points: Points, field: Field, place: Place) -> Score:
    """The score of one place, on the points themselves."""
    density, share = field.sample(place.transform(points.xy_um))
    on = share >= 0.5
    covered = on.sum() * (points.spacing_um * np.exp(place.log_scale)) ** 2 / max(field.area_um2, 1.0)
    correlation = float(np.mean(points.level * standard_ranks(density)))
    return Score(float(on.mean()), correlation, float(min(covered, 1.0)))


def search(points: Points, moving: Slice, *, scales: tuple[float, ...] = (1.0,)) -> list[Place]:
    """Try every turn, flip, scale and shift on a coarse grid.

    Returns
    -------
    list of Place
        The best places that are not neighbours of each other, the best first.
    """
    height, width = moving.nuclei.shape
    cell = max(height, width) * moving.um_per_px / _CELLS
    cell = max(cell, points.spacing_um / 2)
    shrink = moving.um_per_px / cell
    field = Field(moving, max(points.spacing_um, 2 * cell))
    rows, columns = (max(1, round(side * shrink)) for side in (height, width))
    grid = (np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2) + 0.5) * cell
    nuclei, tissue = (values.reshape(rows, columns) for values in field.sample(grid))
    tissue = np.clip(tissue, 0, 1)
    nuclei = nuclei - nuclei.mean()
    centre = (points.xy_um.min(axis=0) + points.xy_um.max(axis=0)) / 2
    reach = int(np.ceil(np.linalg.norm(np.ptp(points.xy_um, axis=0)) * max(scales) / cell)) + 4
    shape = tuple(fft.next_fast_len(side + reach, real=True) for side in (rows, columns))
    images = [fft.rfft2(image, shape) for image in (tissue, nuclei, nuclei**2)]
    n, all_tissue = len(points.xy_um), max(float(tissue.sum()) * cell**2, 1.0)
    found: list[tuple[float, Place]] = []
    for mirrored in (False, True):
        for degrees in np.arange(0.0, 360.0, _STEP_DEGREES):
            for scale in scales:
                start = Place(mirrored, float(degrees), float(np.log(scale)), (0.0, 0.0), tuple(centre))
                turned = start.transform(points.xy_um) / cell + reach / 2
                ones = _raster(turned, np.ones(n), shape)
                levels = _raster(turned, points.level, shape)
                ones, levels = np.conj(fft.rfft2(ones)), np.conj(fft.rfft2(levels))
                on, mean, square = (fft.irfft2(image * ones, shape) / n for image in images)
                product = fft.irfft2(images[1] * levels, shape) / n
                spread = np.sqrt(np.maximum(square - mean**2, 1e-4 * float(nuclei.var()) + 1e-12))
                covered = np.minimum(on * n * (points.spacing_um * scale) ** 2 / all_tissue, 1.0)
                total = on + product / spread + _COVER * covered
                for _ in range(3):
                    row, column = np.unravel_index(int(np.argmax(total)), shape)
                    shift = [_wrapped(i, side, reach) for i, side in ((column, shape[1]), (row, shape[0]))]
                    shift_um = tuple((s + reach / 2) * cell for s in shift)
                    value = float(total[row, column])
                    found.append((value, Place(mirrored, float(degrees), start.log_scale, shift_um, tuple(centre))))
                    _blank(total, row, column, max(2, round(FAR_STEPS * points.spacing_um / cell)))
    found.sort(key=lambda pair: -pair[0])
    return _distinct([place for _, place in found], points, _KEPT)


def _raster(cells: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Values summed in the grid cells under positions, wrapped round the grid."""
    column, row = np.floor(cells).astype(np.int64).T
    flat = (row % shape[0]) * shape[1] + column % shape[1]
    return np.bincount(flat, weights=values, minlength=shape[0] * shape[1]).reshape(shape)


def _wrapped(index: int, side: int, reach: int) -> int:
    """The shift that an index of the transform stands for: the points may start half their reach outside."""
    return int(index) if index < side - reach // 2 else int(index) - side


def _blank(total: np.ndarray, row: int, column: int, radius: int) -> None:
    rows = np.arange(row - radius, row + radius + 1) % total.shape[0]
    columns = np.arange(column - radius, column + radius + 1) % total.shape[1]
    total[np.ix_(rows, columns)] = -np.inf


def place_distance(a: Place, b: Place, points: Points) -> float:
    """Root mean square distance in µm between where two places lay the corners of the points."""
    low, high = points.xy_um.min(axis=0), points.xy_um.max(axis=0)
    corners = np.array([low, high, (low[0], high[1]), (high[0], low[1])])
    return float(np.sqrt(np.mean(np.sum((a.transform(corners) - b.transform(corners)) ** 2, axis=1))))


def _distinct(places: list[Place], points: Points, most: int) -> list[Place]:
    far = FAR_SHARE * float(np.linalg.norm(np.ptp(points.xy_um, axis=0)))
    kept: list[Place] = []
    for place in places:
        if all(place_distance(place, other, points) > far for other in kept):
            kept.append(place)
            if len(kept) == most:
                break
    return kept


def refine(
    points: Points,
    moving: Slice,
    start: Place,
    *,
    stretch: float = MAX_STRETCH,
    smooth: tuple[float, ...] = (3.0, 1.5, 1.0),
) -> tuple[Place, Score]:
    """Improve a place on the points themselves, at a coarse and then at their own smoothness.

    Parameters
    ----------
    stretch
        How far the scale may leave that of `start`, as a share; 0 keeps it.
    smooth
        Widths that are gone through, in spacings; the scale is free from 1.5 on.
    """
    place = start
    extent = float(np.linalg.norm(np.ptp(points.xy_um, axis=0))) / 2
    for width in smooth:
        step = width * points.spacing_um
        field = Field(moving, step)
        units = np.array([step / extent * 180 / np.pi, step / extent, step, step])
        free = [0, 2, 3] if stretch == 0 or width > 1.5 else [0, 1, 2, 3]

        def made(values: np.ndarray, base: Place = place, units=units, free=free) -> Place:
            full = np.zeros(4)
            full[free] = values
            turn, scale, x, y = full * units
            scale = float(np.clip(base.log_scale + scale, start.log_scale - stretch, start.log_scale + stretch))
            x, y = base.shift_um[0] + x, base.shift_um[1] + y
            return Place(base.mirrored, base.degrees + float(turn), scale, (float(x), float(y)), base.centre_um)

        def loss(values: np.ndarray, field: Field = field, made=made) -> float:
            there = made(values)
            density, share = field.sample(there.transform(points.xy_um))
            covered = share.sum() * (points.spacing_um * np.exp(there.log_scale)) ** 2 / max(field.area_um2, 1.0)
            like = float(np.mean(points.level * standard_ranks(density)))
            return -(float(share.mean()) + like + _COVER * min(covered, 1.0))

        simplex = np.vstack([np.zeros(len(free)), 0.5 * np.eye(len(free))])
        best = optimize.minimize(
            loss,
            np.zeros(len(free)),
            method="Nelder-Mead",
            options={"initial_simplex": simplex, "maxiter": 150, "xatol": 0.005, "fatol": 1e-5},
        )
        place = made(best.x)
    return place, score_place(points, Field(moving, points.spacing_um), place)

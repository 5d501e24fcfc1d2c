"""The geometry of a section: outline, domains, ducts, and every cell with its type and states."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import distance_transform_edt

from focus_cli.simulation.fields import Field, grid_shape, smooth_field
from focus_cli.simulation.streams import stream

STEP_UM = 4.0  # pitch of the domain map

CELL_TYPES = (
    "Tumour epithelial",
    "Ductal epithelial",
    "Fibroblast",
    "Endothelial",
    "T cell",
    "B cell",
    "Macrophage",
    "Adipocyte",
)
T_CELL = CELL_TYPES.index("T cell")
DOMAINS = ("tumour", "stroma", "immune", "duct", "fat")
TUMOUR, STROMA, IMMUNE, DUCT, FAT = range(len(DOMAINS))
OUTSIDE = -1

# What each domain is made of: rows as DOMAINS, columns as CELL_TYPES, rows sum to 1.
COMPOSITION = np.array(
    [
        [0.86, 0.00, 0.03, 0.02, 0.05, 0.01, 0.03, 0.00],
        [0.02, 0.00, 0.68, 0.12, 0.07, 0.02, 0.09, 0.00],
        [0.02, 0.00, 0.08, 0.04, 0.46, 0.32, 0.08, 0.00],
        [0.00, 0.90, 0.05, 0.01, 0.02, 0.00, 0.02, 0.00],
        [0.00, 0.00, 0.04, 0.06, 0.01, 0.00, 0.03, 0.86],
    ]
)
SPACING_UM = (11.5, 18.0, 8.5, 10.5, 42.0)  # mean distance between neighbouring cells, by domain

# The continuous states of a cell: `activity` also shapes its nucleus, `niche` is nearness to tumour,
# `axis` is a gradient across the whole section.
STATES = ("activity", "niche", "axis")
_STATE_NOISE = 0.4
_NICHE_UM = 120.0


@dataclass(frozen=True)
class Tissue:
    """One section without its cells; maps have a pitch of `STEP_UM`.

    Attributes
    ----------
    size_um
        Side of the square frame.
    domain
        int8 (rows, columns): index into `DOMAINS`, `OUTSIDE` beyond the outline.
    lumen
        bool (rows, columns): the hollow of a duct; it belongs to the duct's domain and holds no cell.
    fields
        Smooth fields by name: those of `STATES`, and ``infiltration`` and ``fibre``.
    """

    size_um: float
    domain: np.ndarray
    lumen: np.ndarray
    fields: dict[str, Field]

    @property
    def inside(self) -> np.ndarray:
        """Whether each map cell lies within the outline: bool (rows, columns)."""
        return self.domain != OUTSIDE

    def lookup(self, grid: np.ndarray, xy_um: np.ndarray) -> np.ndarray:
        """Value of a map at (x, y) in µm, without interpolation."""
        cells = np.clip((xy_um / STEP_UM).astype(np.int64), 0, np.array(grid.shape)[::-1] - 1)
        return grid[cells[:, 1], cells[:, 0]]

    def domain_at(self, xy_um: np.ndarray) -> np.ndarray:
        """Domain at (x, y) in µm: int8 (n,), `OUTSIDE` beyond the outline or the frame."""
        framed = ((xy_um >= 0) & (xy_um < self.size_um)).all(axis=1)
        return np.where(framed, self.lookup(self.domain, xy_um), OUTSIDE).astype(np.int8)


@dataclass(frozen=True)
class Cells:
    """The cells of a section.

    Attributes
    ----------
    xy_um
        float64 (n, 2), sorted by y, then x.
    kind
        int64 (n,), index into `CELL_TYPES`.
    states
        float32 (n, 3), columns as `STATES`, about mean 0 and variance 1.
    amount
        float32 (n,), how much RNA a cell holds beside others of its type, mean 1.
    """

    xy_um: np.ndarray
    kind: np.ndarray
    states: np.ndarray
    amount: np.ndarray

    def __len__(self) -> int:
        return len(self.kind)


def make_tissue(seed: int, section: int, size_um: float) -> Tissue:
    """Lay out the outline and domains of one section.

    The outline is an oblique oval with a bite, so that no rotation or mirror image of it fits. Domains are
    level sets of smooth fields; their shares of the area are fixed, their places are not.
    """
    rng = stream(seed, "tissue", section)

    def field(length_um: float) -> Field:
        return smooth_field(rng, size_um, length_um, STEP_UM)

    inside = _outline(rng, size_um)
    nests, fat, ducts, follicles = field(130.0), field(250.0), field(38.0), field(60.0)
    domain = np.full(inside.shape, OUTSIDE, dtype=np.int8)
    domain[inside] = STROMA
    domain[_top(nests.values, inside, 0.34)] = TUMOUR
    from_tumour = distance_transform_edt(domain != TUMOUR) * STEP_UM
    nearness = np.exp(-from_tumour / _NICHE_UM)
    domain[_top(fat.values - 2 * nearness, domain == STROMA, 0.11)] = FAT
    gland = _top(ducts.values, domain == STROMA, 0.14)
    domain[gland] = DUCT
    lumen = _top(ducts.values, gland, 0.30)
    domain[_top(follicles.values + 1.2 * nearness, domain == STROMA, 0.20)] = IMMUNE

    niche = ((nearness - 0.5) * 2).astype(np.float32)
    tilt = rng.uniform(0, 2 * np.pi)
    centres = (np.arange(inside.shape[0]) + 0.5) * STEP_UM / size_um - 0.5
    slope = np.cos(tilt) * centres[None, :] + np.sin(tilt) * centres[:, None]
    axis = (slope / slope.std() * 0.9 + 0.45 * field(350.0).values).astype(np.float32)
    fields = {
        "activity": field(130.0),
        "niche": Field(niche, STEP_UM),
        "axis": Field(axis, STEP_UM),
        "infiltration": follicles,
        "fibre": field(90.0),
    }
    return Tissue(size_um, domain, lumen, fields)


def place_cells(tissue: Tissue, seed: int, section: int) -> Cells:
    """Place cells on jittered lattices, one density for each domain, and draw their types and states."""
    rng = stream(seed, "cells", section)
    xy = np.concatenate([_lattice(rng, tissue, d) for d in range(len(DOMAINS))])
    xy = xy[np.lexsort((xy[:, 0], xy[:, 1]))]
    odds = COMPOSITION[tissue.domain_at(xy)]
    odds[:, T_CELL] *= np.exp(0.7 * tissue.fields["infiltration"].at(xy))
    cumulative = np.cumsum(odds, axis=1) / odds.sum(axis=1, keepdims=True)
    kind = (rng.random((len(xy), 1)) > cumulative).sum(axis=1).clip(max=len(CELL_TYPES) - 1)
    smooth = np.stack([tissue.fields[name].at(xy) for name in STATES], axis=1)
    noise = _STATE_NOISE * rng.standard_normal(smooth.shape, dtype=np.float32)
    spread = 0.3
    amount = np.exp(rng.normal(-(spread**2) / 2, spread, len(xy))).astype(np.float32)
    return Cells(xy, kind, 0.9 * smooth + noise, amount)


def _outline(rng: np.random.Generator, size_um: float) -> np.ndarray:
    side = (np.arange(grid_shape(size_um, STEP_UM)[0]) + 0.5) * STEP_UM
    centre = size_um * (0.5 + rng.uniform(-0.03, 0.03, 2))
    dx, dy = side[None, :] - centre[0], side[:, None] - centre[1]
    angle, radius = np.arctan2(dy, dx), np.hypot(dx, dy)
    oblique = np.deg2rad(rng.uniform(18, 30)) + rng.integers(4) * np.pi / 2
    edge = 1 + 0.15 * np.cos(2 * (angle - oblique))
    for k, strength in ((3, 0.05), (4, 0.03), (5, 0.02), (6, 0.02)):
        edge += strength * np.cos(k * angle + rng.uniform(0, 2 * np.pi))
    off = np.angle(np.exp(1j * (angle - oblique - np.deg2rad(rng.uniform(50, 65)))))
    edge -= 0.34 * np.exp(-((off / 0.42) ** 2))
    roughness = smooth_field(rng, size_um, 30.0, STEP_UM).values
    reach = np.minimum(0.44 * edge, 0.465) * size_um  # some glass is left on every side
    return radius < reach + 5.0 * roughness


def _top(values: np.ndarray, where: np.ndarray, share: float) -> np.ndarray:
    """The part of `where` that holds the highest `share` of its values."""
    if not where.any():
        return where
    return where & (values > np.quantile(values[where], 1 - share))


def _lattice(rng: np.random.Generator, tissue: Tissue, domain: int) -> np.ndarray:
    pitch = SPACING_UM[domain]
    row, column = np.mgrid[0 : int(tissue.size_um / pitch / 0.866) + 2, 0 : int(tissue.size_um / pitch) + 2]
    xy = np.stack([(column + 0.5 * (row % 2)).ravel() * pitch, row.ravel() * pitch * 0.866], axis=1)
    xy = xy + rng.uniform(-0.3, 0.3, xy.shape) * pitch
    keep = (rng.random(len(xy)) < 0.93) & (tissue.domain_at(xy) == domain)
    xy = xy[keep]
    return xy[~tissue.lookup(tissue.lumen, xy)]

"""Nuclei and the cytoplasm around them, as ellipses that follow the cell's type and its activity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focus_cli.simulation.fat import ADIPOCYTE, Fat
from focus_cli.simulation.tissue import STATES, Cells, Tissue


@dataclass(frozen=True)
class Look:
    """How the nuclei of a type look.

    `radius_um` is the long semi-axis, `ratio` short over long, `dark` the haematoxylin, `pale` how much of it
    the centre lacks; `halo_um` and `halo` are the radius and eosin of the cytoplasm.
    """

    radius_um: float
    ratio: float
    dark: float
    pale: float
    halo_um: float = 0.0
    halo: float = 0.0


# As CELL_TYPES.
LOOKS = (
    Look(5.0, 0.78, 1.05, 0.45, 8.0, 0.16),
    Look(4.1, 0.66, 1.20, 0.25, 6.5, 0.20),
    Look(6.6, 0.26, 1.15, 0.05),
    Look(5.2, 0.34, 1.45, 0.05),
    Look(3.1, 0.90, 1.65, 0.05),
    Look(3.4, 0.93, 1.50, 0.15, 4.4, 0.10),
    Look(4.2, 0.60, 0.95, 0.30, 8.0, 0.26),
    Look(3.4, 0.30, 1.30, 0.00),
)
_LARGEST = 1.5  # no nucleus is larger than this times its type's radius
_MARGIN = 1.4  # an ellipse is drawn to this many of its semi-axes
_REACH_UM = _MARGIN * _LARGEST * max(look.radius_um for look in LOOKS) + 1.0


class Nuclei:
    """The nuclei of a section.

    Parameters
    ----------
    tissue, cells, fat
        What is drawn.
    rng
        Draws what the type and the activity leave open.
    """

    def __init__(self, tissue: Tissue, cells: Cells, fat: Fat, rng: np.random.Generator) -> None:
        n = len(cells)
        radius, ratio, dark = np.array([(k.radius_um, k.ratio, k.dark) for k in LOOKS])[cells.kind].T
        activity = cells.states[:, STATES.index("activity")]
        size = np.exp(0.10 * activity + rng.normal(0, 0.12, n)).clip(1 / _LARGEST, _LARGEST)
        slim = (ratio * np.exp(rng.normal(0, 0.10, n))).clip(0.18, 1.0)
        dark = dark * np.exp(0.07 * activity + rng.normal(0, 0.10, n))
        # Elongated nuclei lie along the fibres: across the gradient of the fibre field.
        fibre, step = tissue.fields["fibre"], np.array([[6.0, 0.0], [0.0, 6.0]])
        gx, gy = (fibre.at(cells.xy_um + d) - fibre.at(cells.xy_um - d) for d in step)
        along = np.arctan2(gx, -gy) + rng.normal(0, 0.25, n)
        angle = np.where(ratio < 0.5, along, rng.uniform(0, np.pi, n))
        xy = cells.xy_um.copy()
        own = cells.kind == ADIPOCYTE
        xy[own], angle[own] = fat.press_nuclei(xy[own])
        order = np.argsort(xy[:, 1], kind="stable")
        self._xy, self._kind = xy[order], cells.kind[order]
        shape = np.stack([radius * size, radius * size * slim, angle, dark], axis=1)
        self._shape = shape[order].astype(np.float32)

    def draw(self, start: int, stop: int, width: int, mpp: float) -> tuple[np.ndarray, np.ndarray]:
        """Haematoxylin of nuclei and eosin of cytoplasm in rows `start` to `stop`.

        Returns
        -------
        float32 (rows, width) each; the same whichever other rows are drawn with them.
        """
        reach = int(np.ceil(_REACH_UM / mpp)) + 1  # no cell touches pixels farther than this
        pad = 2 * reach  # so that nothing is drawn beyond the canvas
        rows, columns = stop - start + 2 * pad, width + 2 * pad
        nuclei, halo = (np.zeros(rows * columns, dtype=np.float32) for _ in range(2))
        first, last = np.searchsorted(self._xy[:, 1], ((start - reach) * mpp, (stop + reach) * mpp))
        for kind, look in enumerate(LOOKS):
            which = first + np.flatnonzero(self._kind[first:last] == kind)
            if not len(which):
                continue
            long, short, angle, dark = self._shape[which].T
            centre = self._xy[which] / mpp + (pad, pad - start)
            if look.halo:
                size = np.full(len(which), look.halo_um, dtype=np.float32)
                half = int(np.ceil(_MARGIN * look.halo_um / mpp))
                index, r = _ellipses(centre, size, size * 0.85, angle, mpp, half, columns)
                np.maximum.at(halo, index, look.halo * _disc(r, look.halo_um))
            half = int(np.ceil(_MARGIN * _LARGEST * look.radius_um / mpp))
            index, r = _ellipses(centre, long, short, angle, mpp, half, columns)
            # Vesicular nuclei are pale inside a dark rim.
            value = np.repeat(dark, len(r) // len(dark)) * (1 - look.pale * np.exp(-((r / 0.6) ** 2)))
            np.maximum.at(nuclei, index, value * _disc(r, float(np.sqrt(look.ratio) * look.radius_um)))
        window = slice(pad, pad + stop - start), slice(pad, pad + width)
        return nuclei.reshape(rows, columns)[window], halo.reshape(rows, columns)[window]


def _disc(r: np.ndarray, radius_um: float) -> np.ndarray:
    """1 inside the unit circle, 0 outside, with an edge about a µm wide."""
    return 0.5 + 0.5 * np.tanh((1 - r) * np.float32(radius_um / 0.7))


def _ellipses(
    centre_px: np.ndarray,
    long_um: np.ndarray,
    short_um: np.ndarray,
    angle: np.ndarray,
    mpp: float,
    half: int,
    columns: int,
) -> tuple[np.ndarray, np.ndarray]:
    """Squares of 2 `half` + 1 pixels around ellipses, and the elliptical radius there (1 on the edge).

    Returns
    -------
    index
        int64 (n × pixels,): into the flattened canvas of `columns` columns.
    r
        float32 (n × pixels,).
    """
    offset = np.arange(-half, half + 1)
    corner = np.floor(centre_px).astype(np.int64)
    fraction = (centre_px - corner - 0.5).astype(np.float32)
    dy, dx = (a.ravel() for a in np.meshgrid(offset, offset, indexing="ij"))
    index = (corner[:, 1, None] + dy) * columns + corner[:, 0, None] + dx
    x = (dx.astype(np.float32) - fraction[:, 0, None]) * np.float32(mpp)
    y = (dy.astype(np.float32) - fraction[:, 1, None]) * np.float32(mpp)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    along, across = x * cos + y * sin, y * cos - x * sin
    return index.ravel(), np.hypot(along / long_um[:, None], across / short_um[:, None]).ravel()

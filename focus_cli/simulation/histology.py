"""Draw a section as haematoxylin and eosin show it, a band of rows at a time.

The picture is composed in amounts of stain (texture by domain, nuclei by cell type) and turned into colour
by the law of Beer and Lambert. Nuclear size and darkness follow the type and, weakly, the cell's `activity`,
so that the image contains something of the expression and never all of it.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.ndimage import gaussian_filter

from focus_cli.simulation.fat import Fat
from focus_cli.simulation.fields import Field, smooth_field
from focus_cli.simulation.nuclei import Nuclei
from focus_cli.simulation.streams import stream
from focus_cli.simulation.tissue import DOMAINS, STEP_UM, Cells, Tissue

# Optical density (natural log) per unit of haematoxylin and eosin in R, G, B: Macenko et al. 2009.
_STAINS = np.array([[0.5626, 0.7201, 0.4062], [0.2159, 0.8012, 0.5581]])
_GLASS = np.array([243.0, 242.0, 244.0], dtype=np.float32)

# Between nuclei, as DOMAINS: eosin, diffuse haematoxylin, and how much of the eosin runs in fibres.
_EOSIN = (0.33, 0.40, 0.20, 0.36, 0.30)
_DIFFUSE = (0.16, 0.04, 0.14, 0.13, 0.03)
_FIBROUS = (0.10, 1.00, 0.25, 0.10, 0.30)


class Histology:
    """The H&E image of one section; `band` draws some of its rows.

    Parameters
    ----------
    tissue, cells
        What is drawn.
    mpp
        µm per pixel.
    seed, section
        Choose the textures, the stain batch and the scanner's noise.
    """

    def __init__(self, tissue: Tissue, cells: Cells, mpp: float, *, seed: int, section: int) -> None:
        self.mpp = float(mpp)
        self.width = self.height = round(tissue.size_um / mpp)
        self._noise = (seed, "scanner", section)
        rng = stream(seed, "histology", section)
        side = tissue.size_um
        self._fibre = tissue.fields["fibre"]
        self._waviness = smooth_field(rng, side, 9.0, 3.0)
        self._mottle = smooth_field(rng, side, 6.0, 3.0)
        self._cracks = smooth_field(rng, side, 14.0, 3.0)
        cloud = 1 + 0.12 * smooth_field(rng, side, 60.0, STEP_UM).values
        masks = [_soften(tissue.domain == d) for d in range(len(DOMAINS))]
        self._cover = Field(_soften(tissue.inside & ~tissue.lumen), STEP_UM)
        self._eosin, self._diffuse, self._fibrous = (
            Field(_mixed(masks, table) * scale, STEP_UM)
            for table, scale in ((_EOSIN, cloud), (_DIFFUSE, 1), (_FIBROUS, 1))
        )
        self._fat = Fat(tissue, cells)
        self._nuclei = Nuclei(tissue, cells, self._fat, rng)
        # Every section is stained and scanned a little differently.
        strength = rng.normal(1.0, 0.07, (2, 1))
        tint = _STAINS * rng.normal(1.0, 0.03, _STAINS.shape)
        self._stains = (strength * tint / np.linalg.norm(tint, axis=1, keepdims=True)).astype(np.float32)

    def band(self, start: int, stop: int) -> np.ndarray:
        """Rows `start` to `stop`: uint8 (rows, width, 3)."""
        y = (np.arange(start, stop) + 0.5) * self.mpp
        x = (np.arange(self.width) + 0.5) * self.mpp
        rng = stream(*self._noise, start)
        eosin, blue = self._ground(y, x, rng.standard_normal((len(y), len(x)), dtype=np.float32))
        self._fat.empty(y, x, eosin, blue)
        nuclei, cytoplasm = self._nuclei.draw(start, stop, self.width, self.mpp)
        eosin = (eosin + cytoplasm) * (1 - 0.45 * np.minimum(nuclei, 1))
        blue += nuclei
        # Optics and scanner: a slight blur of the stain, then noise in each channel.
        sigma = 0.45 / max(self.mpp, 0.5)
        amounts = np.stack([gaussian_filter(a, sigma) for a in (blue, eosin)], axis=-1)
        rgb = _GLASS * np.exp(-(amounts @ self._stains))
        rgb += 2.0 * rng.standard_normal(rgb.shape, dtype=np.float32)
        return np.clip(rgb + 0.5, 0, 255).astype(np.uint8)

    def _ground(self, y: np.ndarray, x: np.ndarray, grain: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eosin and diffuse haematoxylin without cells, float32 (rows, width) each."""
        fibrous, mottle = self._fibrous.band(y, x), self._mottle.band(y, x)
        # Fibres are level lines of a smooth field, a little wavy.
        phase = 42.0 * self._fibre.band(y, x) + 1.3 * self._waviness.band(y, x)
        fibres = np.sin(phase) + 0.35 * mottle
        texture = 1 + 0.10 * mottle + 0.28 * fibrous * fibres + 0.05 * grain
        # Clefts open between the fibres of loose stroma.
        cleft = 0.5 + 0.5 * np.tanh(7 * (self._cracks.band(y, x) - 1.35 + 0.2 * fibres))
        cover = self._cover.band(y, x) * (1 - 0.8 * cleft * np.clip(fibrous, 0, 1))
        eosin = self._eosin.band(y, x) * np.clip(texture, 0.15, None) * cover
        blue = self._diffuse.band(y, x) * np.clip(1 + 0.25 * mottle + 0.10 * grain, 0, None) * cover
        return eosin.astype(np.float32), blue.astype(np.float32)


def _mixed(masks: list[np.ndarray], shares: Iterable[float]) -> np.ndarray:
    """Sum of the masks, each times its share."""
    return np.add.reduce([m * np.float32(v) for m, v in zip(masks, shares)])


def _soften(mask: np.ndarray) -> np.ndarray:
    return gaussian_filter(mask.astype(np.float32), 0.8)

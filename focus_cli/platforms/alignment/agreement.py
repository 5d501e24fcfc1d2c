"""How counts and image are compared: pooled locations, ranks, and how sure one can be of either signal.

Tissue is smooth, so that neighbouring locations are no independent witnesses: a share is judged by a
bootstrap over blocks, a correlation by what two unrelated fields of the same smoothness would show by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import ndimage
from scipy.spatial.distance import pdist

POOL_UM = 100.0  # finer locations are pooled: a lone 8 µm bin holds too few counts to correlate
BLOCK_STEPS = 4  # a bootstrap block is this many location spacings wide
_DRAWS = 400
_PAIRED = 1500  # locations whose pairs are enough to measure how smooth a field is


def pool(xy: np.ndarray, counts: np.ndarray, spacing: float, pitch_um: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean position and log mean count in squares of `spacing`; locations that far apart are left alone."""
    if pitch_um >= spacing:
        return xy, np.log1p(counts)
    _, square = np.unique(np.floor(xy / spacing).astype(np.int64), axis=0, return_inverse=True)
    square = square.ravel()
    held = np.bincount(square)
    pooled = np.column_stack([np.bincount(square, weights=axis) / held for axis in xy.T])
    level = np.log1p(np.bincount(square, weights=counts) / held)
    full = held >= 0.25 * np.percentile(held, 90)  # slivers at the rim are noise
    return pooled[full], level[full]


def at(raster: np.ndarray, xy_px: np.ndarray) -> np.ndarray:
    """Value of the pixel under each position; 0 outside."""
    column, row = np.floor(xy_px).astype(np.int64).T
    here = (row >= 0) & (row < raster.shape[0]) & (column >= 0) & (column < raster.shape[1])
    values = np.zeros(len(xy_px))
    values[here] = raster[row[here], column[here]]
    return values


def block_draws(xy: np.ndarray, side: float, seed: int) -> np.ndarray:
    """float (draws, n): how often each location is drawn when whole blocks are drawn with replacement."""
    _, block = np.unique(np.floor(xy / side).astype(np.int64), axis=0, return_inverse=True)
    n_blocks = int(block.max()) + 1
    rng = np.random.default_rng(seed)
    times = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=_DRAWS)
    return times[:, block.ravel()].astype(float)


def standard_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of mean 0 and variance 1; all 0 where every value is the same."""
    ranks = pd.Series(values).rank().to_numpy(copy=True)
    ranks -= ranks.mean()
    spread = ranks.std()
    return ranks / spread if spread > 1e-9 else np.zeros(len(values))


def chance_variances(xy: np.ndarray, level: np.ndarray, densities: list[np.ndarray], spacing: float) -> list[float]:
    """Variance of the correlation of `level` with each density, were they unrelated but as smooth.

    The mean over all pairs of locations of the product of both autocorrelations at the pair's distance.
    Source: Clifford, Richardson & Hémon, Biometrics 45 (1989) 123-134.
    """
    some = np.linspace(0, len(xy) - 1, min(len(xy), _PAIRED)).astype(int)
    distance = (pdist(xy[some]) / spacing).astype(np.int64)
    pairs = np.maximum(np.bincount(distance), 1)
    first, second = np.triu_indices(len(some), k=1)

    def autocorrelation(field: np.ndarray) -> np.ndarray:
        field = field[some]
        return np.bincount(distance, weights=field[first] * field[second]) / pairs

    # Distances with few pairs, and chance products below 0, must not make us surer than we are.
    reach = np.arange(len(pairs)) <= len(pairs) / 2
    ours = autocorrelation(level)
    variances = []
    for density in densities:
        products = pairs * np.maximum(ours * autocorrelation(density), 0)
        variances.append(1 / len(xy) + 2 * float(products[reach].sum()) / len(some) ** 2)
    return variances


@dataclass(frozen=True)
class Signals:
    """The two signals by which locations and image are compared.

    Attributes
    ----------
    spacing
        Of locations in µm, after pooling.
    xy
        float (n, 2), µm; `level` (n,): standard ranks of their log counts.
    smooth, share
        float32 (h, w): haematoxylin density and share of tissue around each pixel of the thumbnail.
    um_per_px
        Of the thumbnail.
    """

    spacing: float
    xy: np.ndarray
    level: np.ndarray
    smooth: np.ndarray
    share: np.ndarray
    um_per_px: float

    @classmethod
    def of(
        cls,
        xy_um: np.ndarray,
        counts: np.ndarray,
        nuclei: np.ndarray,
        tissue: np.ndarray,
        *,
        um_per_px: float,
        pitch_um: float,
    ) -> Signals:
        """Pool the locations and smooth the thumbnail's maps, as `compare_orientations` is given them."""
        spacing = max(pitch_um, POOL_UM)
        xy, level = pool(np.asarray(xy_um, float), np.asarray(counts, float), spacing, pitch_um)
        smooth, share = (
            ndimage.gaussian_filter(image.astype(np.float32), spacing / 4 / um_per_px) for image in (nuclei, tissue)
        )
        return cls(spacing, xy, standard_ranks(level), smooth, share, um_per_px)

    def look(self, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which locations lie on tissue (bool, n) and standard ranks of the density (n), at places in px."""
        return at(self.share, place) >= 0.5, standard_ranks(at(self.smooth, place))

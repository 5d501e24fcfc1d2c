"""Do the locations lie the right way round on the image? Asked of the data, under all eight orientations.

Two signals are used. Locations under tissue should lie on segmented tissue. And where there are more nuclei
there are more molecules, so the logarithm of the total counts should follow the haematoxylin density. Both
are computed for the positions as given and for the seven other flips and rotations about the image frame.
Only an orientation that is better beyond doubt is reason to refuse. Tissue is smooth, so that neighbouring
locations are no independent witnesses: the share on tissue is judged by a bootstrap over blocks, the
correlation by what two unrelated fields of the same smoothness would show by chance.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import ndimage
from scipy.spatial.distance import pdist
from scipy.stats import rankdata

from focus_cli.alignment.coordinates import inside
from focus_cli.errors import BadInputError

ORIENTATIONS = (
    "as given",
    "flipped left-right",
    "flipped top-bottom",
    "rotated by 180 degrees",
    "with x and y exchanged",
    "rotated by 90 degrees clockwise",
    "rotated by 90 degrees counter-clockwise",
    "with x and y exchanged and rotated by 180 degrees",
)
MIN_GAIN = 0.15  # what another orientation must add to the sum of share and correlation
MIN_SIGMA = 3.0  # standard errors by which one of the two must be better, the other not against it
MIN_SIGMA_BOTH = 2.5  # combined standard errors where both speak for it
_FOR, _AGAINST = 0.5, -1.0  # standard errors from which a signal counts as for, or against
MAX_OUTSIDE = 0.05
MIN_ON_TISSUE = 0.02
_POOL_UM = 100.0  # finer locations are pooled: a lone 8 µm bin holds too few molecules to correlate
_BLOCK_STEPS = 4  # a bootstrap block is this many location spacings wide
_DRAWS = 400
_PAIRED = 1500  # locations whose pairs are enough to measure how smooth a field is


@dataclass(frozen=True)
class Agreement:
    """How well locations and image fit in one orientation.

    Attributes
    ----------
    inside
        Share of the locations that lie within the image.
    on_tissue
        Share of them that lie on segmented tissue.
    correlation
        Spearman correlation of log counts with haematoxylin density; 0 where either is constant.
    gain
        What the sum of both adds to that of the positions as given.
    sigma_tissue, sigma_correlation
        How much better each of the two is, in its standard errors.
    """

    orientation: str
    inside: float
    on_tissue: float
    correlation: float
    gain: float
    sigma_tissue: float
    sigma_correlation: float

    @property
    def significant(self) -> bool:
        """Whether this orientation is better than the given one beyond doubt."""
        weaker, stronger = sorted((self.sigma_tissue, self.sigma_correlation))
        together = (weaker + stronger) / np.sqrt(2)
        alone = stronger >= MIN_SIGMA and weaker >= _AGAINST
        both = together >= MIN_SIGMA_BOTH and weaker >= _FOR
        return self.gain >= MIN_GAIN and (alone or both)


def reorient(xy: np.ndarray, width: float, height: float, orientation: int) -> np.ndarray:
    """Lay positions on an image in one of the eight orientations.

    Parameters
    ----------
    xy
        float (n, 2). Where the axes are exchanged, x was measured along the image's height.
    width, height
        The image, in the unit of `xy`.
    orientation
        Index into `ORIENTATIONS`; 0 changes nothing.
    """
    x, y = np.asarray(xy, float).T
    columns = (
        (x, y),
        (width - x, y),
        (x, height - y),
        (width - x, height - y),
        (y, x),
        (width - y, x),
        (y, height - x),
        (width - y, height - x),
    )[orientation]
    return np.column_stack(columns)


def compare_orientations(
    xy_um: np.ndarray,
    counts: np.ndarray,
    nuclei: np.ndarray,
    tissue: np.ndarray,
    *,
    um_per_px: float,
    pitch_um: float,
    seed: int = 0,
) -> list[Agreement]:
    """Measure the agreement of locations and image in all eight orientations.

    Parameters
    ----------
    xy_um
        float (n, 2), locations in tissue.
    counts
        (n,), total counts.
    nuclei
        float (h, w), haematoxylin density of a thumbnail.
    tissue
        bool (h, w), its tissue mask.
    um_per_px
        µm per pixel of the thumbnail.
    pitch_um
        Distance of neighbouring locations; below 100 µm they are pooled in squares of 100 µm.
    seed
        Of the bootstrap.

    Returns
    -------
    list of Agreement
        In the order of `ORIENTATIONS`.
    """
    spacing = max(pitch_um, _POOL_UM)
    xy, level = _pool(np.asarray(xy_um, float), np.asarray(counts, float), spacing, pitch_um)
    height, width = nuclei.shape
    smooth = ndimage.gaussian_filter(nuclei.astype(np.float32), spacing / 4 / um_per_px)
    share = ndimage.gaussian_filter(tissue.astype(np.float32), spacing / 4 / um_per_px)
    level = _standard_ranks(level)

    tried = []
    for orientation in range(len(ORIENTATIONS)):
        options = []
        for place in _places(xy / um_per_px, width, height, orientation):
            on, density = _at(share, place) >= 0.5, _standard_ranks(_at(smooth, place))
            within = float(inside(place, width, height).mean())
            options.append((float(on.mean()), float(np.mean(level * density)), within, on, density))
        tried.append(max(options, key=lambda option: option[0] + option[1]))

    draws = _block_draws(xy, _BLOCK_STEPS * spacing, seed)
    chance = _chance_variances(xy, level, [density for *_, density in tried], spacing)
    found = []
    for name, (on_tissue, correlation, within, on, _), variance in zip(ORIENTATIONS, tried, chance):
        more_on, more_like = on_tissue - tried[0][0], correlation - tried[0][1]
        error = (draws @ (on.astype(float) - tried[0][3]) / draws.sum(axis=1)).std()
        doubt = np.sqrt(variance + chance[0])
        found.append(
            Agreement(
                orientation=name,
                inside=within,
                on_tissue=on_tissue,
                correlation=correlation,
                gain=more_on + more_like,
                # A share cannot be known better than to one location in the whole.
                sigma_tissue=more_on / max(float(error), 1 / len(xy)),
                sigma_correlation=more_like / float(doubt),
            )
        )
    return found


def check_orientation(
    xy_um: np.ndarray,
    counts: np.ndarray,
    nuclei: np.ndarray,
    tissue: np.ndarray,
    *,
    um_per_px: float,
    pitch_um: float,
    force: bool = False,
    seed: int = 0,
) -> tuple[dict[str, Any], list[str]]:
    """Refuse locations that do not lie on the image, or lie on it the wrong way round.

    Parameters
    ----------
    xy_um, counts, nuclei, tissue, um_per_px, pitch_um, seed
        As for `compare_orientations`.
    force
        Turn refusals into warnings.

    Returns
    -------
    figures
        JSON-safe: agreement of every orientation, share of locations outside the image.
    warnings
        One line each.

    Raises
    ------
    BadInputError
        If more than 5 % of the locations lie outside the image, no tissue is found on it, no location lies on
        tissue, or another orientation is better beyond doubt.
    """
    compared = compare_orientations(xy_um, counts, nuclei, tissue, um_per_px=um_per_px, pitch_um=pitch_um, seed=seed)
    given, best = compared[0], max(compared, key=lambda a: a.gain)
    height, width = (side * um_per_px for side in nuclei.shape)
    outside = 1.0 - float(inside(np.asarray(xy_um), width, height).mean())
    figures = {
        "outside_image": round(outside, 4),
        "on_tissue": round(given.on_tissue, 4),
        "correlation": round(given.correlation, 4),
        "best_orientation": best.orientation,
        "orientations": [
            {k: (round(v, 4) if isinstance(v, float) else v) for k, v in asdict(a).items()} for a in compared
        ],
    }
    problem = _problem(xy_um, width, height, outside, tissue, given, best)
    if problem is None:
        weak = given.on_tissue < 0.5
        return figures, [f"only {given.on_tissue:.0%} of the locations lie on tissue"] if weak else []
    message, hint = problem
    if force:
        return figures, [f"{message} (forced)"]
    raise BadInputError(message, hint=f"{hint}; --force goes on regardless")


def _problem(
    xy_um: np.ndarray,
    width: float,
    height: float,
    outside: float,
    tissue: np.ndarray,
    given: Agreement,
    best: Agreement,
) -> tuple[str, str] | None:
    if best.significant and best.inside > 1 - MAX_OUTSIDE:
        return (
            f"the locations fit the image better {best.orientation}: "
            f"{given.on_tissue:.0%} → {best.on_tissue:.0%} on tissue, "
            f"correlation with nuclei {given.correlation:.2f} → {best.correlation:.2f}",
            "wrong orientation: turn the image back, or check that it is of this section",
        )
    if outside > MAX_OUTSIDE:
        reach = np.max(xy_um, axis=0)
        return (
            f"{outside:.0%} of the locations lie outside the image "
            f"(it is {width:.0f} × {height:.0f} µm, they reach {reach[0]:.0f} × {reach[1]:.0f} µm)",
            "image too small: is it the full-resolution one? check --image and --mpp",
        )
    if not tissue.any():
        return "no tissue was found on the image", "is it the H&E of this section?"
    if given.on_tissue < MIN_ON_TISSUE:
        return (
            f"no spot on tissue: {given.on_tissue:.0%} of the locations lie on the tissue of the image",
            "is it the H&E of this section?",
        )
    return None


def _places(xy_px: np.ndarray, width: float, height: float, orientation: int) -> list[np.ndarray]:
    """Where the locations lie in one orientation; exchanged axes may have been turned in either frame."""
    places = [reorient(xy_px, width, height, orientation)]
    if orientation >= 4 and width != height:
        places.append(reorient(xy_px, height, width, orientation))
    return places


def _pool(xy: np.ndarray, counts: np.ndarray, spacing: float, pitch_um: float) -> tuple[np.ndarray, np.ndarray]:
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


def _at(raster: np.ndarray, xy_px: np.ndarray) -> np.ndarray:
    """Value of the pixel under each position; 0 outside."""
    column, row = np.floor(xy_px).astype(np.int64).T
    here = (row >= 0) & (row < raster.shape[0]) & (column >= 0) & (column < raster.shape[1])
    values = np.zeros(len(xy_px))
    values[here] = raster[row[here], column[here]]
    return values


def _block_draws(xy: np.ndarray, side: float, seed: int) -> np.ndarray:
    """float (draws, n): how often each location is drawn when whole blocks are drawn with replacement."""
    _, block = np.unique(np.floor(xy / side).astype(np.int64), axis=0, return_inverse=True)
    n_blocks = int(block.max()) + 1
    rng = np.random.default_rng(seed)
    times = rng.multinomial(n_blocks, np.full(n_blocks, 1 / n_blocks), size=_DRAWS)
    return times[:, block.ravel()].astype(float)


def _standard_ranks(values: np.ndarray) -> np.ndarray:
    """Ranks of mean 0 and variance 1; all 0 where every value is the same."""
    ranks = rankdata(values)
    ranks -= ranks.mean()
    spread = ranks.std()
    return ranks / spread if spread > 1e-9 else np.zeros(len(values))


def _chance_variances(xy: np.ndarray, level: np.ndarray, densities: list[np.ndarray], spacing: float) -> list[float]:
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

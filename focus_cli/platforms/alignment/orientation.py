"""Do the locations lie the right way round on the image? Measured on the data, under all eight orientations.

Two signals are used. Locations under tissue should lie on segmented tissue. And where there are more nuclei
there are more counts, so the logarithm of the total counts should follow the haematoxylin density. Both
are computed for the positions as given and for the seven other flips and rotations about the image frame.
Only an orientation that is better beyond doubt is reason to refuse. Tissue is smooth, so that neighbouring
locations are no independent witnesses: the share on tissue is judged by a bootstrap over blocks, the
correlation by what two unrelated fields of the same smoothness would show by chance.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.platforms.alignment.agreement import BLOCK_STEPS, Signals, block_draws, chance_variances
from focus_cli.platforms.alignment.extent import inside

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
MIN_SIGMA_BOTH = 2.5  # combined standard errors where both support it
_FOR, _AGAINST = 0.5, -1.0  # standard errors from which a signal counts as for, or against
MAX_OUTSIDE = 0.05
MIN_ON_TISSUE = 0.02


class BetterOrientationError(BadInputError):
    """The locations fit the image better in another orientation."""


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


def named_orientation(name: str) -> int:
    """The index of an orientation; blanks, dashes and underscores are the same, capitals do not matter.

    Raises
    ------
    UsageError
        If there is no such orientation.
    """
    wanted = " ".join(re.split(r"[\s_-]+", name.strip().lower()))
    known = [" ".join(re.split(r"[\s_-]+", known)) for known in ORIENTATIONS]
    if wanted not in known:
        raise UsageError(f"--orient {name!r} is unknown", hint="one of: " + "; ".join(ORIENTATIONS))
    return known.index(wanted)


def orientation_transform(width: float, height: float, orientation: int) -> Affine:
    """The transform that lays positions on an image in one of the eight orientations.

    Parameters
    ----------
    width, height
        The image, in the unit of the positions.
    orientation
        Index into `ORIENTATIONS`; 0 changes nothing. Where the axes are exchanged, x was measured along the
        image's height.
    """
    return Affine.of(
        (
            [[1, 0, 0], [0, 1, 0]],
            [[-1, 0, width], [0, 1, 0]],
            [[1, 0, 0], [0, -1, height]],
            [[-1, 0, width], [0, -1, height]],
            [[0, 1, 0], [1, 0, 0]],
            [[0, -1, width], [1, 0, 0]],
            [[0, 1, 0], [-1, 0, height]],
            [[0, -1, width], [-1, 0, height]],
        )[orientation]
    )


def reorient(xy: np.ndarray, width: float, height: float, orientation: int) -> np.ndarray:
    """Lay positions, float (n, 2), on an image in one of the eight orientations; see `orientation_transform`."""
    return orientation_transform(width, height, orientation)(xy)


def orientation_frames(width: float, height: float, orientation: int) -> list[tuple[float, float]]:
    """The frames in which positions of an orientation may have been turned.

    Where the axes are exchanged, either the image was turned after the positions were made (its own frame), or
    the positions were turned within the image (the frame with width and height exchanged).
    """
    frames = [(width, height)]
    if orientation >= 4 and width != height:
        frames.append((height, width))
    return frames


def compare_orientations(
    xy_um: np.ndarray,
    counts: np.ndarray,
    nuclei: np.ndarray,
    tissue: np.ndarray,
    *,
    um_per_px: float,
    pitch_um: float,
    seed: int = 0,
    signals: Signals | None = None,
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
    signals
        Of these arguments, where they were made before; smoothing the maps is the largest part of the time.

    Returns
    -------
    list of Agreement
        In the order of `ORIENTATIONS`.
    """
    signals = signals or Signals.of(xy_um, counts, nuclei, tissue, um_per_px=um_per_px, pitch_um=pitch_um)
    tried = [max(options, key=lambda look: look[0] + look[1]) for options in _looks(signals)]
    xy, spacing = signals.xy, signals.spacing
    draws = block_draws(xy, BLOCK_STEPS * spacing, seed)
    chance = chance_variances(xy, signals.level, [density for *_, density in tried], spacing)
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


def orientation_frame(
    xy_um: np.ndarray,
    counts: np.ndarray,
    nuclei: np.ndarray,
    tissue: np.ndarray,
    orientation: int,
    *,
    um_per_px: float,
    pitch_um: float,
) -> tuple[float, float]:
    """The frame in µm, of those an orientation may have been turned in, that agrees best with the image.

    Parameters
    ----------
    xy_um, counts, nuclei, tissue, um_per_px, pitch_um
        As for `compare_orientations`.
    orientation
        Index into `ORIENTATIONS`.
    """
    signals = Signals.of(xy_um, counts, nuclei, tissue, um_per_px=um_per_px, pitch_um=pitch_um)
    looks = _looks(signals, (orientation,))[0]
    frames = orientation_frames(nuclei.shape[1], nuclei.shape[0], orientation)
    best = max(range(len(frames)), key=lambda i: looks[i][0] + looks[i][1])
    width, height = frames[best]
    return width * um_per_px, height * um_per_px


def _looks(
    signals: Signals,
    orientations: Sequence[int] = range(len(ORIENTATIONS)),
) -> list[list[tuple[float, float, float, np.ndarray, np.ndarray]]]:
    """Share on tissue, correlation, share inside, and both by location: for each orientation and its frames."""
    height, width = signals.smooth.shape
    looks = []
    for orientation in orientations:
        options = []
        for frame in orientation_frames(width, height, orientation):
            place = reorient(signals.xy / signals.um_per_px, *frame, orientation)
            on, density = signals.look(place)
            within = float(inside(place, width, height).mean())
            options.append((float(on.mean()), float(np.mean(signals.level * density)), within, on, density))
        looks.append(options)
    return looks


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
    signals: Signals | None = None,
) -> tuple[dict[str, Any], list[str]]:
    """Refuse locations that do not lie on the image, or lie on it the wrong way round.

    Parameters
    ----------
    xy_um, counts, nuclei, tissue, um_per_px, pitch_um, seed, signals
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
    compared = compare_orientations(
        xy_um, counts, nuclei, tissue, um_per_px=um_per_px, pitch_um=pitch_um, seed=seed, signals=signals
    )
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
    turned = best.significant and best.inside > 1 - MAX_OUTSIDE
    raise (BetterOrientationError if turned else BadInputError)(message, hint=f"{hint}; --force continues regardless")


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
            f'pass --orient "{best.orientation}", after checking that the image is of this section',
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

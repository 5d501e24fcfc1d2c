"""Registration of a separate H&E image, with measures of its quality."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError
from focus_cli.platforms.alignment.placement import (
    FAR_SHARE,
    FAR_STEPS,
    MAX_STRETCH,
    Field,
    Place,
    Points,
    Score,
    Slice,
    place_distance,
    refine,
    score_place,
    search,
)

# Chosen on simulated sections and the breast, tested on the kidney; docs/registration.md has the figures.
MIN_MARGIN = 0.2
MIN_CORRELATION = 0.25
MIN_ON_TISSUE = 0.7
MIN_POINTS = 30
_FREE_STRETCH = 0.1  # how far a stated scale may prove wrong
_MIN_STRETCH_GAIN = 0.05  # what leaving it must add to the score
SCALES_UNKNOWN = tuple(float(s) for s in np.geomspace(0.5, 2.0, 29))


@dataclass(frozen=True)
class Registration:
    """Where the points lie on the H&E.

    Attributes
    ----------
    place
        µm of the positions → µm of the H&E (at the scale of `Slice.um_per_px`).
    score
        At that place.
    margin
        By how much the score exceeds that of the best place elsewhere, turned or shifted.
    elsewhere
        The score there.
    """

    place: Place
    score: Score
    margin: float
    elsewhere: float

    @property
    def transform(self) -> Affine:
        """`place` as a matrix."""
        return self.place.transform

    def figures(self) -> dict[str, Any]:
        """JSON-safe, for ``sample.json``."""
        return {
            "mirrored": self.place.mirrored,
            "degrees_clockwise": round(self.place.degrees % 360, 3),
            "scale": round(float(np.exp(self.place.log_scale)), 5),
            "on_tissue": round(self.score.on_tissue, 4),
            "correlation": round(self.score.correlation, 4),
            "covered": round(self.score.covered, 4),
            "margin": round(self.margin, 4),
        }


def register(
    points: Points,
    fine: Points,
    moving: Slice,
    *,
    scales: tuple[float, ...] = (1.0,),
    closer: Callable[[tuple[float, float, float, float]], Slice] | None = None,
) -> Registration:
    """Find the place of the points on the H&E.

    Parameters
    ----------
    points, fine
        The fixed side, pooled for the search and, as finely as it bears, for the last step.
    moving
        The H&E as a whole.
    scales
        µm of the H&E per µm of the positions that are tried: 1 alone where both sides state µm per pixel.
    closer
        Gives the part of the H&E within (x0, y0, x1, y1) µm at a finer scale.

    Raises
    ------
    BadInputError
        If there are too few points, or no tissue on the H&E.
    """
    if len(points.xy_um) < MIN_POINTS:
        raise BadInputError(
            f"{len(points.xy_um)} places are too few to register an image", hint="pass --landmarks or --align"
        )
    if not moving.tissue.any():
        raise BadInputError("no tissue was found on the image", hint="is it the H&E of this section?")
    tried = [refine(points, moving, start, stretch=0.0) for start in search(points, moving, scales=scales)]
    if len(scales) > 1:  # the scale itself was searched in steps
        tried = [refine(points, moving, place, stretch=MAX_STRETCH) for place, _ in tried]
    tried.sort(key=lambda pair: -pair[1].total)
    best, score = tried[0]
    field = Field(moving, points.spacing_um)
    far = max(FAR_STEPS * points.spacing_um, FAR_SHARE * float(np.linalg.norm(np.ptp(points.xy_um, axis=0))))
    others = [s.total for place, s in tried[1:] if place_distance(place, best, points) > far]
    step = FAR_STEPS * points.spacing_um
    for x in (-step, 0.0, step):
        for y in (-step, 0.0, step):
            if x or y:
                shift = (best.shift_um[0] + x, best.shift_um[1] + y)
                others.append(score_place(points, field, replace(best, shift_um=shift)).total)
    near = moving
    if closer is not None:
        placed = best.transform(points.xy_um)
        margin = 2 * points.spacing_um
        near = closer((*(placed.min(axis=0) - margin), *(placed.max(axis=0) + margin)))
    final = _last_step(fine, near, best, scale_known=len(scales) == 1)
    return Registration(final, score_place(points, field, final), score.total - max(others), max(others))


def _last_step(fine: Points, near: Slice, start: Place, *, scale_known: bool) -> Place:
    """Refine at the finest; a scale that both sides state is left only where the image clearly shows it.

    Shrinking alone brings locations at the rim onto tissue, so a free scale comes out 1 to 3 % too small.
    """
    field = Field(near, fine.spacing_um)
    kept, _ = refine(fine, near, start, stretch=0.0, smooth=(1.5, 1.0))
    free, _ = refine(fine, near, start, stretch=_FREE_STRETCH, smooth=(1.5, 1.0))
    gain = score_place(fine, field, free).total - score_place(fine, field, kept).total
    return free if not scale_known or gain > _MIN_STRETCH_GAIN else kept


def check_registration(found: Registration, where: str, *, force: bool = False) -> list[str]:
    """Refuse a registration that cannot be trusted.

    Parameters
    ----------
    found
        What `register` found.
    where
        The image, for messages.
    force
        Turn the refusal into the warning that is returned.

    Raises
    ------
    BadInputError
        If another place is nearly as good, or the best is poor.
    """
    score, reasons = found.score, []
    if found.margin < MIN_MARGIN:
        reasons.append(f"another place is as good within {found.margin:.2f} (needed: {MIN_MARGIN:g})")
    if score.on_tissue < MIN_ON_TISSUE:
        reasons.append(f"{score.on_tissue:.0%} of the locations lie on tissue (needed: {MIN_ON_TISSUE:.0%})")
    if score.correlation < MIN_CORRELATION:
        reasons.append(f"correlation with nuclei {score.correlation:.2f} (needed: {MIN_CORRELATION:g})")
    if not reasons:
        return []
    message = f"{where} cannot be registered on the locations: {'; '.join(reasons)}"
    if force:
        return [f"{message} (forced)"]
    raise BadInputError(
        message, hint="pass --landmarks or --align; is it the H&E of this section? --force continues regardless"
    )

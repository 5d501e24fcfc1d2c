"""Is it this section's image at all?

An image of another section may hold the locations and still have nothing to do with them. Locations of the same section
lie on its tissue more often than the same pattern laid down at random; if they do not, although there is glass enough
to show it, and the counts do not follow the nuclei either, the image is refused.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.alignment.agreement import Signals, at, chance_variances
from focus_cli.platforms.alignment.extent import inside

MIN_LOCATIONS = 30  # pooled ones; fewer show nothing
MAX_ON_TISSUE = 0.85  # with more on tissue there is too little glass under the locations to judge by
MIN_AS_GOOD = 0.05  # share of random places that must have as many locations on tissue
MIN_WITHIN = 0.5  # share of the locations that must lie within the image at a random place
MIN_RANDOM = 0.02  # share on tissue at random places: with less there is too little tissue
MAX_SIGMA = 2.0  # chance standard errors of the correlation with nuclei from which it supports the image
_DRAWS, _REACH = 200, 0.25  # random places: any turn, mirrored or not, shifted by so much of the extent at most


def compare_with_chance(
    xy_um: np.ndarray,
    counts: np.ndarray,
    nuclei: np.ndarray,
    tissue: np.ndarray,
    *,
    um_per_px: float,
    pitch_um: float,
    seed: int = 0,
    signals: Signals | None = None,
) -> dict[str, Any]:
    """Measure how the locations lie against the same locations at random places.

    Parameters
    ----------
    xy_um, counts, nuclei, tissue, um_per_px, pitch_um, signals
        As for `compare_orientations`.
    seed
        Of the random places.

    Returns
    -------
    dict
        JSON-safe: ``locations`` (pooled), ``on_tissue``, ``correlation`` and ``sigma`` (the correlation in standard
        errors of chance) as given; ``on_tissue_random`` (mean) and ``as_good`` (share) of random places; ``unrelated``.
    """
    signals = signals or Signals.of(xy_um, counts, nuclei, tissue, um_per_px=um_per_px, pitch_um=pitch_um)
    xy = signals.xy
    share, like, sigma = _measured(signals, xy)
    random = _random_shares(signals, seed)
    as_good = float((random >= share).mean())
    return {
        "locations": len(xy),
        "on_tissue": round(share, 4),
        "correlation": round(like, 4),
        "sigma": round(sigma, 4),
        "on_tissue_random": round(float(random.mean()), 4),
        "as_good": round(as_good, 4),
        "unrelated": bool(
            len(xy) >= MIN_LOCATIONS
            and share < MAX_ON_TISSUE
            and random.mean() > MIN_RANDOM
            and as_good >= MIN_AS_GOOD
            and sigma < MAX_SIGMA
        ),
    }


def _measured(signals: Signals, xy: np.ndarray) -> tuple[float, float, float]:
    """Share on tissue, correlation with nuclei, and that in standard errors of chance."""
    on, density = signals.look(xy / signals.um_per_px)
    like = float(np.mean(signals.level * density))
    chance = float(np.sqrt(chance_variances(signals.xy, signals.level, [density], signals.spacing)[0]))
    return float(on.mean()), like, like / max(chance, 1e-9)


def _random_shares(signals: Signals, seed: int) -> np.ndarray:
    """Share on tissue, float (draws,), of the locations turned and shifted at random about their centre.

    Of those within the image; places of which most lie outside are left out.
    """
    rng = np.random.default_rng(seed)
    low, high = signals.xy.min(axis=0), signals.xy.max(axis=0)
    height, width = signals.share.shape
    centre, shares = (low + high) / 2, np.empty(_DRAWS)
    for i in range(_DRAWS):
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        if rng.random() < 0.5:
            turn = turn @ np.diag([-1.0, 1.0])
        moved = (signals.xy - centre) @ turn.T + centre + rng.uniform(-_REACH, _REACH, 2) * (high - low)
        place = moved / signals.um_per_px
        within = inside(place, width, height)  # beyond the image there may be tissue, too
        shares[i] = (at(signals.share, place[within]) >= 0.5).mean() if within.mean() >= MIN_WITHIN else np.nan
    kept = shares[~np.isnan(shares)]
    return kept if len(kept) else np.zeros(1)


def check_mismatch(figures: dict[str, Any], *, force: bool = False) -> list[str]:
    """Refuse an image of another section.

    Parameters
    ----------
    figures
        As `compare_with_chance` gives them.
    force
        Turn the refusal into the warning that is returned.

    Raises
    ------
    BadInputError
        Naming what was tested and what can be done.
    """
    if not figures["unrelated"]:
        return []
    message = (
        f"the locations have nothing to do with this image: {figures['on_tissue']:.0%} of them lie on its tissue, "
        f"{figures['on_tissue_random']:.0%} where they are turned and shifted at random, correlation with nuclei "
        f"{figures['correlation']:.2f}; no orientation, small shift or other scale fits beyond doubt"
    )
    hint = "is it the H&E of this section? --register looks for its place, --no-image leaves it aside"
    if force:
        return [f"{message} (forced)"]
    raise BadInputError(message, hint=f"{hint}; --force continues regardless")

"""Do the locations lie a few spacings off? Measured on the data, at shifts to all sides.

The same two signals as for the orientation. A shift is small, so what it changes is judged by itself: by a
bootstrap, over blocks, of each location's part in the sum of share and correlation.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.platforms.alignment.agreement import BLOCK_STEPS, Signals, block_draws, chance_variances

STEPS = (1, 2, 4)  # location spacings
MIN_GAIN = 0.10  # what a shift must add to the sum of share and correlation
MIN_SIGMA = 3.0  # standard errors by which it must do so
MIN_TRUST = 3.0  # chance standard errors that the correlation at the better place must reach
MIN_MORE_ON = 0.10  # ... or the share on tissue that it must add, where correlation says nothing
_AGAINST = -1.0
_FINER = (0.5, 0.25)  # spacings: the best shift is stated this finely


def compare_shifts(
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
    """Measure the agreement of locations and image at 48 shifts, and refine the best one.

    Parameters
    ----------
    xy_um, counts, nuclei, tissue, um_per_px, pitch_um, seed, signals
        As for `compare_orientations`.

    Returns
    -------
    dict
        JSON-safe: ``spacing_um``, ``best_um`` ([right, down] in µm; zeros where no shift is better), ``gain``,
        ``sigma``, ``on_tissue``, ``correlation`` there, and ``significant``.
    """
    signals = signals or Signals.of(xy_um, counts, nuclei, tissue, um_per_px=um_per_px, pitch_um=pitch_um)
    xy, level, spacing = signals.xy, signals.level, signals.spacing

    def look(shift: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
        on, density = signals.look((xy + np.array(shift) * spacing) / um_per_px)
        return on.astype(float), density

    def total(shift: tuple[float, float]) -> float:
        on, density = look(shift)
        return float(on.mean() + np.mean(level * density))

    tried = {(0.0, 0.0): total((0.0, 0.0))}
    offsets = [float(s) for k in STEPS for s in (-k, k)] + [0.0]
    for x in offsets:
        for y in offsets:
            tried.setdefault((x, y), total((x, y)))
    # The nearest of equally good shifts: the given place first of all.
    best = max(tried, key=lambda s: (round(tried[s], 9), -np.hypot(*s), s))
    if best != (0.0, 0.0):
        for step in _FINER:
            around = [(best[0] + a * step, best[1] + b * step) for a in (-1, 0, 1) for b in (-1, 0, 1)]
            tried |= {s: total(s) for s in around if s not in tried}
            best = max(around, key=lambda s: (round(tried[s], 9), -np.hypot(*s), s))
    on, density = look(best)
    on_given, density_given = look((0.0, 0.0))
    draws = block_draws(xy, BLOCK_STEPS * spacing, seed)
    drawn = draws.sum(axis=1)

    def sigma(part: np.ndarray, least: float) -> float:
        return float(part.mean() / max(float((draws @ part / drawn).std()), least))

    more_on, more_like = on - on_given, level * (density - density_given)
    correlation = float(np.mean(level * density))
    chance = float(np.sqrt(chance_variances(xy, level, [density], spacing)[0]))
    gain, sure = float((more_on + more_like).mean()), sigma(more_on + more_like, 1 / len(xy))
    trusted = correlation >= MIN_TRUST * chance and sigma(more_like, chance / 10) >= _AGAINST
    trusted = trusted and sigma(more_on, 1 / len(xy)) >= _AGAINST
    by_tissue = float(more_on.mean()) >= MIN_MORE_ON and sigma(more_like, chance / 10) >= _AGAINST
    return {
        "spacing_um": round(spacing, 3),
        "best_um": [round(s * spacing, 1) + 0.0 for s in best],
        "gain": round(gain, 4),
        "sigma": round(sure, 4),
        "on_tissue": round(float(on.mean()), 4),
        "correlation": round(correlation, 4),
        "significant": bool(gain >= MIN_GAIN and sure >= MIN_SIGMA and (trusted or by_tissue)),
    }


def check_shifts(figures: dict[str, Any], given: dict[str, Any], *, force: bool = False) -> list[str]:
    """Refuse locations that fit the image beyond doubt better a few spacings off.

    Parameters
    ----------
    figures
        As `compare_shifts` gives them.
    given
        ``on_tissue`` and ``correlation`` of the positions as given.
    force
        Turn the refusal into the warning that is returned.

    Raises
    ------
    BadInputError
        Naming the shift in µm and the option that applies it.
    """
    if not figures["significant"]:
        return []
    right, down = figures["best_um"]
    words = [
        f"{abs(length):g} µm {name}"
        for length, name in (
            (right, "to the right" if right > 0 else "to the left"),
            (down, "down" if down > 0 else "up"),
        )
        if length
    ]
    message = (
        f"the locations fit the image better {' and '.join(words)}: "
        f"{given['on_tissue']:.0%} → {figures['on_tissue']:.0%} on tissue, "
        f"correlation with nuclei {given['correlation']:.2f} → {figures['correlation']:.2f}"
    )
    if force:
        return [f"{message} (forced)"]
    raise BadInputError(
        message, hint=f"pass --shift-um {right:g},{down:g}, or --register; --force continues regardless"
    )

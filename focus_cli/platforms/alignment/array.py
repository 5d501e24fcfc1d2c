"""The capture array on the image: (column, row) → pixels."""

from __future__ import annotations

import numpy as np

from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError

_ROUNDS = 50
_MIN_POINTS = 4


def fit_array(row: np.ndarray, column: np.ndarray, xy: np.ndarray) -> tuple[Affine, float] | None:
    """Fit positions as an affine image of the array, by least absolute residuals.

    Parameters
    ----------
    row, column
        (n,), places on the array.
    xy
        float (n, 2), the same locations in pixels.

    Returns
    -------
    transform, residual
        (column, row) → `xy`, and the median distance of a location from its fitted place; None where the
        places are fewer than four or lie on one line: there is no array then.
    """
    places = np.column_stack([column, row]).astype(float)
    if len(places) < _MIN_POINTS or not np.all(np.isfinite(places)):
        return None
    centre = np.median(places, axis=0)
    design = np.column_stack([places - centre, np.full(len(places), np.abs(places - centre).max() or 1.0)])
    if np.linalg.matrix_rank(design, tol=1e-6 * np.linalg.norm(design)) < 3:
        return None
    weights = np.ones(len(design))
    for _ in range(_ROUNDS):  # reweighted, so that a fifth of misplaced locations does not move it
        root = np.sqrt(weights)[:, None]
        solution = np.linalg.lstsq(design * root, xy * root, rcond=None)[0]
        residual = np.linalg.norm(xy - design @ solution, axis=1)
        updated = 1.0 / np.maximum(residual, max(1e-9, 0.1 * float(np.median(residual))))
        updated /= updated.max()
        if np.allclose(updated, weights, rtol=1e-4, atol=1e-6):
            break
        weights = updated
    linear = solution[:2].T
    shift = solution[2] * design[0, 2] - linear @ centre
    try:
        return Affine.of(np.column_stack([linear, shift])), float(np.median(residual))
    except BadInputError:
        return None

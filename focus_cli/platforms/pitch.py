"""µm per pixel from the array itself: its pitch in µm is known, its pitch in pixels is measured."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focus_cli.core.errors import MissingResourceError

# Two statements of one length that differ by more than this disagree.
TOLERANCE = 0.03
_MIN_POINTS = 4
_MAX_POINTS = 1 << 16


@dataclass(frozen=True)
class PitchFit:
    """The array fitted to the image.

    Attributes
    ----------
    mpp
        µm per pixel, the geometric mean over both axes.
    anisotropy
        Relative difference of the two axes' scales; 0 for a square pixel.
    residual_um
        Median distance between a location and its fitted place.
    mirrored
        Whether the array appears mirrored in the image.
    """

    mpp: float
    anisotropy: float
    residual_um: float
    mirrored: bool


def fit_pitch(array_um: np.ndarray, xy_px: np.ndarray) -> PitchFit | None:
    """Fit pixels as an affine image of the array, by least absolute residuals.

    Parameters
    ----------
    array_um
        float (n, 2): place of each location on the array, in µm.
    xy_px
        float (n, 2): the same locations in pixels.

    Returns
    -------
    PitchFit or None
        None if fewer than four locations are known or they lie on one line.
    """
    array_um, xy_px = np.asarray(array_um, float), np.asarray(xy_px, float)
    known = np.isfinite(array_um).all(axis=1) & np.isfinite(xy_px).all(axis=1)
    if not known.all():
        array_um, xy_px = array_um[known], xy_px[known]
    if len(array_um) < _MIN_POINTS:
        return None
    if len(array_um) > _MAX_POINTS:  # six numbers need no million points; drawn, so that no row or column is favoured
        drawn = np.random.default_rng(0).choice(len(array_um), _MAX_POINTS, replace=False)
        array_um, xy_px = array_um[drawn], xy_px[drawn]
    centred = array_um - np.median(array_um, axis=0)
    design = np.column_stack([centred, np.full(len(centred), np.abs(centred).max() or 1.0)])
    if np.linalg.matrix_rank(design, tol=1e-6 * np.linalg.norm(design)) < 3:
        return None
    # Iteratively reweighted least squares: a fifth of misplaced locations does not move it.
    weights = np.ones(len(design))
    for _ in range(50):
        root = np.sqrt(weights)[:, None]
        solution = np.linalg.lstsq(design * root, xy_px * root, rcond=None)[0]
        residual = np.linalg.norm(xy_px - design @ solution, axis=1)
        floor = max(1e-9, 0.1 * float(np.median(residual)))
        updated = 1.0 / np.maximum(residual, floor)
        updated /= updated.max()
        if np.allclose(updated, weights, rtol=1e-4, atol=1e-6):
            break
        weights = updated
    linear = solution[:2]
    scales = np.linalg.svd(linear, compute_uv=False)
    if scales[1] <= 0:
        return None
    mpp = float(1.0 / np.sqrt(scales[0] * scales[1]))
    return PitchFit(
        mpp=mpp,
        anisotropy=float(scales[0] / scales[1] - 1.0),
        residual_um=float(np.median(residual)) * mpp,
        mirrored=bool(np.linalg.det(linear) < 0),
    )


def hexagonal_um(array_row: np.ndarray, array_col: np.ndarray, pitch_um: float) -> np.ndarray:
    """Places on a hexagonal array in Visium's numbering: neighbours in a row are two columns apart."""
    return np.column_stack([array_col * pitch_um / 2, array_row * pitch_um * np.sqrt(3) / 2])


def square_um(array_row: np.ndarray, array_col: np.ndarray, pitch_um: float) -> np.ndarray:
    """Places on a square array."""
    return np.column_stack([array_col * pitch_um, array_row * pitch_um])


def choose_mpp(
    *, given: float | None, vendor: float | None, fit: PitchFit | None, where: str
) -> tuple[float, list[str]]:
    """Choose µm per pixel: the user's, else the vendor's, else the array's; state where they disagree.

    Parameters
    ----------
    given
        ``--mpp``.
    vendor
        The vendor file's statement.
    fit
        The array fitted on the image.
    where
        File or folder to name in messages.

    Raises
    ------
    MissingResourceError
        If none of the three is known.
    """
    known = [
        ("--mpp", given),
        ("the vendor's file", vendor),
        ("the array pitch", fit.mpp if fit is not None else None),
    ]
    known = [(name, value) for name, value in known if value is not None]
    if not known:
        raise MissingResourceError(
            f"{where}: µm per pixel is unknown (no vendor file states it, and the array gives no pitch)",
            hint="pass --mpp, the µm per pixel of the full-resolution image",
        )
    (chosen_name, chosen), *others = known
    warnings = [
        f"µm per pixel: {chosen_name} states {chosen:.4g}, {name} {value:.4g} "
        f"({100 * abs(value / chosen - 1):.1f} % apart); {chosen_name} is used"
        for name, value in others
        if abs(value / chosen - 1) > TOLERANCE
    ]
    if fit is not None and fit.anisotropy > TOLERANCE:
        warnings.append(f"the array is stretched on the image: its axes differ by {100 * fit.anisotropy:.1f} %")
    return float(chosen), warnings

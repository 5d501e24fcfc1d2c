"""Transforms that a user or a vendor wrote down: a table of numbers, or pairs of landmarks."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path

import numpy as np

from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage.regular import read_text_bounded
from focus_cli.core.storage.user_tables import read_user_table

_LARGEST_FILE = 1 << 20  # bytes; a transform or a list of landmarks is small
MIN_LANDMARKS = 3
_AFFINE_FROM = 6  # landmarks from which six free numbers may be better than four
_AFFINE_GAIN = 0.7  # ... if they bring the leave-one-out residual down to this share
_FLAT = 0.05  # landmarks narrower than this share of their length lie on a line


class Column(StrEnum):
    """Columns of a file of landmarks; positions in pixels or in µm."""

    X_IMAGE = "x_image"
    Y_IMAGE = "y_image"
    X = "x"
    Y = "y"
    X_UM = "x_um"
    Y_UM = "y_um"


ALIGN_FROM = ("image", "positions")


def read_transform(path: Path, align_from: str = "image") -> Affine:
    """Read a transform between the H&E's pixels and the positions' pixels.

    Parameters
    ----------
    path
        Two or three rows of three numbers, separated by commas, semicolons, tabs or blanks.
    align_from
        ``"image"``: it maps pixels of the H&E to those of the positions, as Xenium Explorer exports it;
        ``"positions"``: the other way.

    Returns
    -------
    Affine
        The positions' pixels → pixels of the H&E.

    Raises
    ------
    UsageError
        If `align_from` is neither.
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is not such a table, or cannot be inverted.
    """
    if align_from not in ALIGN_FROM:
        raise UsageError(f"--align-from {align_from!r} is unknown", hint=f"choose {' or '.join(ALIGN_FROM)}")
    lines = [line.replace('"', "").strip(" ,;\t") for line in _text(path, "--align").lstrip("\ufeff").splitlines()]
    rows = [re.split(r"[,;\s]+", line) for line in lines if line and not line.startswith("#")]
    try:
        matrix = np.array([[float(cell) for cell in row] for row in rows])
        if matrix.shape not in ((2, 3), (3, 3)):
            raise ValueError(f"{len(rows)} rows of {'/'.join(sorted({str(len(r)) for r in rows})) or 'no'} numbers")
        transform = Affine.of(matrix)
        return transform.inverse() if align_from == "image" else transform
    except (ValueError, BadInputError, np.linalg.LinAlgError) as error:
        raise BadInputError(
            f"{path} is not a transform: {' '.join(str(error).split())[:120]}",
            hint="it needs 3 × 3 or 2 × 3 numbers in rows, separated by commas, and no header",
        ) from error


@dataclass(frozen=True)
class Landmarks:
    """The same places on the H&E and among the positions, both in pixels, float64 (n, 2)."""

    image: np.ndarray
    positions: np.ndarray
    lines: tuple[int, ...]


def read_landmarks(path: Path, mpp: float) -> Landmarks:
    """Read a csv of landmarks: ``x_image``, ``y_image``, and ``x``, ``y`` in the positions' pixels or
    ``x_um``, ``y_um``; `mpp` is µm per pixel of the positions.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If columns are missing, a cell is no number, or there are fewer than three landmarks.
    """
    _text(path, "--landmarks")  # its own refusals name the option
    table = read_user_table(path, tuple(Column))
    header = [name.lower() for name in table.header]
    here = (Column.X, Column.Y) if Column.X in header else (Column.X_UM, Column.Y_UM)
    wanted = (Column.X_IMAGE, Column.Y_IMAGE, *here)
    absent = [str(c) for c in wanted if c not in header]
    if absent:
        raise BadInputError(
            f"{path}: column {absent[0]!r} is missing",
            hint="it needs x_image, y_image, and x, y (the positions' pixels) or x_um, y_um",
        )
    values, numbers = [], []
    for number, row in table.rows:
        try:
            values.append([float(row[header.index(c)]) for c in wanted])
        except (ValueError, IndexError):
            raise BadInputError(f"{path}: line {number} does not hold four numbers", hint="complete it") from None
        numbers.append(number)
    if len(values) < MIN_LANDMARKS:
        raise BadInputError(f"{path}: {len(values)} landmarks are too few", hint="give three or more, far apart")
    array = np.array(values)
    if not np.all(np.isfinite(array)) or np.abs(array).max() > 1e9:
        raise BadInputError(f"{path}: a coordinate is not finite", hint="complete the table")
    places = array[:, 2:] / (mpp if here[0] == Column.X_UM else 1.0)
    return Landmarks(array[:, :2], places, tuple(numbers))


@dataclass(frozen=True)
class LandmarkFit:
    """A transform fitted on landmarks: the positions' pixels → pixels of the H&E.

    `kind` is ``"similarity"`` or ``"affine"``; `residual_um` and `left_out_um` are the root mean square
    residual, with the landmark in the fit and without; `worst` is the line of the file that fits least.
    """

    transform: Affine
    kind: str
    residual_um: float
    left_out_um: float
    worst_um: float
    worst: int


def fit_landmarks(landmarks: Landmarks, mpp: float, tolerance_um: float, where: str) -> LandmarkFit:
    """Fit a similarity, or an affine map where six landmarks or more show that it is better.

    Parameters
    ----------
    mpp
        µm per pixel of the positions, in which residuals are stated.
    tolerance_um
        The largest leave-one-out residual that passes; at least 2 % of the landmarks' extent is allowed.
    where
        The file, for messages.

    Raises
    ------
    BadInputError
        If the landmarks lie on a line, or one of them does not fit the others.
    """
    source, target = landmarks.positions, landmarks.image
    for side, xy in (("the positions", source), ("the image", target)):
        spread = np.linalg.svd(xy - xy.mean(axis=0), compute_uv=False)
        if spread[0] <= 0 or spread[1] < _FLAT * spread[0]:
            raise BadInputError(
                f"{where}: the landmarks lie on one line in {side}", hint="add one that is far from that line"
            )
    # Two places cannot tell a mirror: the handedness of all holds for every part.
    handed = (-1.0,) if _similarity(source, target).mirrored else (1.0,)
    fits = {"similarity": partial(_similarity, handed=handed)}
    if len(source) >= _AFFINE_FROM:
        fits["affine"] = _affine
    left_out = {kind: _left_out(fit, source, target, mpp) for kind, fit in fits.items()}
    sizes = {kind: float(np.sqrt(np.mean(values**2))) for kind, values in left_out.items()}
    kind = "affine" if sizes.get("affine", np.inf) < _AFFINE_GAIN * sizes["similarity"] else "similarity"
    transform = fits[kind](source, target)
    um = mpp / transform.scale
    residual = float(np.sqrt(np.mean(np.sum((transform(source) - target) ** 2, axis=1)))) * um
    worst = _worst(fits[kind], source, target)
    found = LandmarkFit(transform, kind, residual, sizes[kind], float(left_out[kind].max()), landmarks.lines[worst])
    extent = float(np.linalg.norm(np.ptp(source, axis=0))) * mpp
    allowed = max(tolerance_um, 0.02 * extent)
    if found.worst_um > allowed:
        raise BadInputError(
            f"{where}: the landmark on line {found.worst} does not fit the others: left out, a landmark is missed "
            f"by up to {found.worst_um:.0f} µm (allowed: {allowed:.0f} µm)",
            hint="correct or remove it; are x and y in the order of the header?",
        )
    return found


def _similarity(source: np.ndarray, target: np.ndarray, handed: tuple[float, ...] = (1.0, -1.0)) -> Affine:
    """Least squares over turn, scale, shift and, where it fits better, a mirror (Umeyama 1991)."""
    a, b = source - source.mean(axis=0), target - target.mean(axis=0)
    u, s, vt = np.linalg.svd(b.T @ a)
    best = None
    for mirror in handed:
        sign = np.diag([1.0, mirror * np.sign(np.linalg.det(u @ vt)) or 1.0])
        rotation = u @ sign @ vt
        scale = float(np.trace(np.diag(s) @ sign)) / max(float((a**2).sum()), 1e-300)
        if scale <= 0:
            continue
        linear = scale * rotation
        loss = float(((a @ linear.T - b) ** 2).sum())
        if best is None or loss < best[0] * (1 - 1e-9):
            best = loss, linear
    linear = best[1]
    return Affine.of(np.column_stack([linear, target.mean(axis=0) - linear @ source.mean(axis=0)]))


def _affine(source: np.ndarray, target: np.ndarray) -> Affine:
    centre, size = source.mean(axis=0), float(np.abs(source - source.mean(axis=0)).max())
    design = np.column_stack([(source - centre) / size, np.ones(len(source))])
    solution = np.linalg.lstsq(design, target, rcond=None)[0]
    linear = solution[:2].T / size
    return Affine.of(np.column_stack([linear, solution[2] - linear @ centre]))


def _left_out(fit, source: np.ndarray, target: np.ndarray, mpp: float) -> np.ndarray:
    """float (n,): how far in µm each landmark is missed by a fit on the others; inf where there is none."""
    missed = np.full(len(source), np.inf)
    for i in range(len(source)):
        rest = np.arange(len(source)) != i
        try:
            transform = fit(source[rest], target[rest])
        except (BadInputError, np.linalg.LinAlgError, TypeError):
            continue
        missed[i] = np.linalg.norm(transform(source[i : i + 1]) - target[i : i + 1]) * mpp / transform.scale
    return missed


def _worst(fit, source: np.ndarray, target: np.ndarray) -> int:
    """The landmark without which the others fit best."""
    left = []
    for i in range(len(source)):
        rest = np.arange(len(source)) != i
        try:
            transform = fit(source[rest], target[rest])
            left.append(float(np.sum((transform(source[rest]) - target[rest]) ** 2)) / transform.scale**2)
        except (BadInputError, np.linalg.LinAlgError, TypeError):
            left.append(np.inf)
    return int(np.argmin(left))


def _text(path: Path, option: str) -> str:
    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such file: {path}", hint=f"check {option}")
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise BadInputError(f"{path} is too large for a table of numbers", hint=f"check {option}")
        return read_text_bounded(path, _LARGEST_FILE)
    except (OSError, UnicodeDecodeError) as error:
        raise BadInputError(f"{path} is not a text file", hint=f"check {option}") from error

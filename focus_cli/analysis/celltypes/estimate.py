"""Cell types of locations from their counts: mixtures, corrected by a network that is calibrated on known sections."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.analysis.celltypes.correction import TypeEstimate, learn, named_sets, set_threshold, slack, widened
from focus_cli.analysis.celltypes.holdout_calibration import Measurement, calibration_section
from focus_cli.analysis.celltypes.mixture import Gains, fractions, mixtures, no_gains, platform_gains
from focus_cli.analysis.celltypes.neighbourhood import neighbours
from focus_cli.analysis.celltypes.profiles import Profiles
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import task
from focus_cli.core.random import stream

FEWEST_CELLS = 4.0  # that have a part in such a location
_WINDOW = 4_000
_ROUNDS = 2
_GROUPS = 4
_SCATTER_LOCATIONS = 1000
_STEPS = 1500  # of training, at 16,000 calibration locations
_MIN_LOCATIONS = 3
# Compositions of calibration sections mix the estimate, its mean over neighbours and the mean of the section, so that
# types occur also where the estimate has none.
_OWN, _NEAR, _ALL = 0.5, 0.4, 0.1


@dataclass(frozen=True)
class Found:
    """What was found of each location.

    Attributes
    ----------
    estimate
        Shares of types, bounds, chance of being the largest.
    misfit
        How far counts are from any mixture of the types, in units of what 99 % of calibration locations stay below.
    facts
        Figures of the run.
    """

    estimate: TypeEstimate
    misfit: np.ndarray
    facts: dict[str, Any]


def find_types(
    counts: sparse.csr_matrix,
    profiles: Profiles,
    xy: np.ndarray,
    cells: float,
    *,
    cut: bool = False,
    settled: bool = True,
    gains: bool = True,
    around: bool = True,
    latent: np.ndarray | None = None,
    calibration_locations: int = 16_000,
    seed: int = 0,
) -> Found:
    """Estimate cell types from counts.

    Parameters
    ----------
    counts
        Counts, CSR (n, G), genes as in `profiles`.
    xy
        Positions, float64 (n, 2).
    cells
        Mean cells of a location; 1: each is one cell.
    cut
        Whether locations are smaller than cells.
    settled
        Whether `cells` is known; else it is the most there can be, and fewer are taken where counts scatter more.
    gains
        Whether the platform may see genes otherwise than the reference did.
    around
        Whether neighbours are used.
    latent
        Latent states that determine which neighbours are alike, float (n, D).
    calibration_locations
        Locations with known truth to learn from, in each of two rounds.

    Raises
    ------
    BadInputError
        If there are too few locations with counts.
    """
    depth = np.asarray(counts.sum(axis=1)).ravel()
    filled = depth > 0
    if filled.sum() < _MIN_LOCATIONS:
        raise BadInputError(
            f"{int(filled.sum())} locations hold counts of the genes shared with the reference; "
            f"at least {_MIN_LOCATIONS} are needed",
            hint="focus genes SAMPLE --reference REFERENCE lists the names that differ",
        )
    middle = float(np.median(depth[filled]))
    graph = neighbours(xy, middle, latent)
    spread = float(np.var(np.log(depth[filled])))
    factors, (features, misfit, guess) = _seen(counts, graph, profiles, gains=gains, around=around)
    measurement = Measurement(cells, float(depth.mean()), spread, factors.sd, cut)
    rng = stream(seed, "celltypes/calibration")
    groups = cell_groups(profiles, rng)
    windows = _windows(xy, calibration_locations, rng)
    if not settled:
        measurement = _as_scattered(
            measurement, float(np.median(misfit[filled])), guess, graph, groups, windows, gains, rng
        )
        cells = measurement.cells
    estimate, held, truth, unlike = _corrected(
        features, guess, graph, groups, windows, measurement, around, gains, calibration_locations, seed, rng
    )
    facts: dict[str, Any] = {
        "unit": "cells" if cells == 1 else "spots",
        "cells_per_location": cells,
        "n_genes_used": counts.shape[1],
        "gain_sd": factors.sd,
        "calibration": _agreement(held, truth),
    }
    if cells == 1:
        threshold = set_threshold(held, truth)
        facts["set_threshold"] = threshold
        estimate = named_sets(estimate, threshold)
    else:
        estimate = widened(estimate, slack(held, truth))
    return Found(estimate, misfit / max(float(np.quantile(unlike, 0.99)), 1e-12), facts)


def _corrected(
    features: np.ndarray,
    guess: np.ndarray,
    graph: sparse.csr_matrix,
    groups: list[tuple[Profiles, Profiles]],
    windows: list[np.ndarray],
    measurement: Measurement,
    around: bool,
    gains: bool,
    calibration_locations: int,
    seed: int,
    rng: np.random.Generator,
) -> tuple[TypeEstimate, TypeEstimate, np.ndarray, np.ndarray]:
    """Train the correction on calibration sections in `_ROUNDS` rounds, each from the estimate of the last.

    Returns
    -------
    estimate
        Of the locations that `features` describe.
    held, truth
        Estimate and truth of the calibration locations that were held out from training.
    unlike
        Misfit of all calibration locations of the last round, float64.
    """
    steps = max(200, int(_STEPS * calibration_locations / 16_000))
    with task("calibration: cell types", _ROUNDS * (len(windows) + steps)) as bar:
        for turn in range(_ROUNDS):
            composition = _calibration_composition(guess, graph)
            sections, back = [], []
            for k, rows in enumerate(windows):
                part = graph[rows][:, rows]
                group = groups[k % len(groups)]
                sections.append(_calibration_data(composition[rows], part, around, group, measurement, gains, rng))
                back.append(np.full(len(rows), k % len(groups) == len(groups) - 1))
                bar.advance()
            x, truth, unlike = (np.concatenate(parts) for parts in zip(*sections))
            kept = np.concatenate(back)
            corrected = learn(x[~kept], truth[~kept], seed + turn, steps, bar.advance)
            estimate = corrected(features)
            guess = estimate.share
    return estimate, corrected(x[kept]), truth[kept], unlike


def describe(
    counts: sparse.csr_matrix, near: sparse.csr_matrix | None, profiles: Profiles, gains: Gains
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Summary of the mixtures of locations and of the counts near them: input of the network, misfit, a first guess."""
    quasi, squares, misfit = mixtures(counts, profiles.share, gains)
    first = fractions(quasi, profiles.rna)
    depth = np.log1p(np.asarray(counts.sum(axis=1)))
    parts = [np.sqrt(first), np.sqrt(fractions(squares, profiles.rna)), depth]
    if near is not None:
        parts.append(np.sqrt(fractions(mixtures(near, profiles.share, gains)[0], profiles.rna)))
    return np.concatenate(parts, axis=1), misfit, first


def _seen(counts: sparse.csr_matrix, graph: sparse.csr_matrix, profiles: Profiles, *, gains: bool, around: bool):
    """Gains of the genes, and the result of `describe` under them."""
    near = sparse.csr_matrix(graph @ counts) if gains or around else None
    factors = platform_gains(sparse.csr_matrix(near + counts), profiles.share) if gains else no_gains(counts.shape[1])
    return factors, describe(counts, near if around else None, profiles, factors)


def _calibration_composition(guess: np.ndarray, graph: sparse.csr_matrix) -> np.ndarray:
    weight = np.asarray(graph.sum(axis=1))
    near = np.where(weight > 0, np.divide(graph @ guess, weight, where=weight > 0, out=np.zeros_like(guess)), guess)
    return _OWN * guess + _NEAR * near + _ALL * guess.mean(axis=0)


def cell_groups(profiles: Profiles, rng: np.random.Generator) -> list[tuple[Profiles, Profiles]]:
    """Cells of each type dealt out to four groups: (cells of the group, profiles of all other cells) of each.

    A calibration section is made of cells that its profiles do not contain, as the cells of the tissue are not in them.
    Sections of the last group are kept back from learning. A type with fewer cells than groups lends all to all.
    """
    dealt = np.empty(len(profiles.kind), np.int64)
    for k in range(len(profiles.types)):
        mine = np.flatnonzero(profiles.kind == k)
        dealt[mine] = rng.permutation(np.arange(len(mine)) % _GROUPS) if len(mine) >= _GROUPS else -1
    groups = []
    for g in range(_GROUPS):
        inside, outside = (dealt == g) | (dealt < 0), dealt != g
        groups.append((profiles.of_cells(inside), profiles.of_cells(outside)))
    return groups


def _as_scattered(most: Measurement, seen: float, guess, graph, groups, windows, gains: bool, rng) -> Measurement:
    """The number of cells for which calibration counts scatter around their mixtures as the counts of the section do.

    The fewer cells, the less do they average out. Numbers from an eighth of `most` up to it are tried.
    """
    composition = _calibration_composition(guess, graph)
    tried = []
    for k, part in enumerate((1.0, 0.5, 0.25, 0.125)):
        measurement = replace(most, cells=max(most.cells * part, FEWEST_CELLS / 2))
        rows = windows[k % len(windows)][:_SCATTER_LOCATIONS]
        _, _, misfit = _calibration_data(
            composition[rows], graph[rows][:, rows], False, groups[0], measurement, gains, rng
        )
        tried.append((abs(np.log(max(float(np.median(misfit)), 1e-9) / max(seen, 1e-9))), k, measurement))
    return min(tried, key=lambda one: one[:2])[2]


def _calibration_data(composition, graph, around: bool, group, measurement, gains: bool, rng):
    cells, profiles = group
    counts, truth = calibration_section(composition, cells, measurement, rng)
    # What is not known of the real section is not known here either.
    _, (features, misfit, _) = _seen(counts, graph, profiles, gains=gains, around=around)
    return features, truth, misfit


def _windows(xy: np.ndarray, calibration_locations: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Windows of the section for calibration: the whole of a small section many times, parts of a large one."""
    n = len(xy)
    size = min(_WINDOW, max(calibration_locations // _GROUPS, 1))
    many = int(np.clip(-(-calibration_locations // min(n, size)), _GROUPS, 60))
    if n <= size:
        return [np.arange(n)] * many
    tree = cKDTree(xy)
    centres = rng.choice(n, many, replace=many > n)
    return [np.sort(tree.query(xy[centre], k=size)[1]) for centre in centres]


def _agreement(estimate: TypeEstimate, truth: np.ndarray) -> dict[str, float]:
    """How the estimate fared on calibration locations that it had not seen."""
    return {
        "rmse": round(float(np.sqrt(np.mean((estimate.share - truth) ** 2))), 4),
        "largest_type": round(float(np.mean(estimate.share.argmax(axis=1) == truth.argmax(axis=1))), 4),
        "locations": len(truth),
    }

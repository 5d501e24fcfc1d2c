"""The stage behind ``focus celltypes``: an enhanced file and a reference → cell types of its locations."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.analysis.celltypes.correction import TypeEstimate, learn, named_sets, set_threshold, slack, widened
from focus_cli.analysis.celltypes.holdout_calibration import Measurement, calibration_section
from focus_cli.analysis.celltypes.mixture import Gains, fractions, mixtures, no_gains, platform_gains
from focus_cli.analysis.celltypes.neighbourhood import neighbours
from focus_cli.analysis.celltypes.profiles import Profiles, type_profiles
from focus_cli.core import keys, provenance
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.matrices import sparse_blocks
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.platform_names import IMAGING
from focus_cli.core.progress import print_message, task
from focus_cli.core.random import stream
from focus_cli.core.resources import check_memory, result_size
from focus_cli.core.storage import check_output
from focus_cli.core.storage.kinds import CELL_TYPES
from focus_cli.genes.reference import open_reference

KIND = "celltypes"
UNITS = ("auto", "spots", "cells")
LABEL, CONFIDENCE, MISFIT = "cell_type", "cell_type_confidence", "cell_type_misfit"
TYPES_LOW, TYPES_HIGH = f"{keys.TYPES}_low", f"{keys.TYPES}_high"

_CELL_AREA_UM2 = 144.0  # a cell every 12 µm, as in dense tissue
_CUT_UM = 24.0  # locations narrower than this cut most of their cells
_FEWEST_CELLS = 4.0  # that have a part in such a location
_WINDOW = 4_000
_ROUNDS = 2
_GROUPS = 4
_SCATTER_LOCATIONS = 1000
_GAINS_TOO_UNLIKE = 0.9  # of a log; simulated platforms: 0.5 to 0.6
_STEPS = 1500  # of training, at 16,000 calibration locations
_MIN_LOCATIONS = 3
# Compositions of calibration sections mix the estimate, its mean over neighbours and the mean of the section, so that
# types occur also where the estimate has none.
_OWN, _NEAR, _ALL = 0.5, 0.4, 0.1


@dataclass(frozen=True)
class CellTypeOptions:
    """How cell types are found; see ``focus celltypes --help``."""

    unit: str = "auto"
    cells: float | None = None
    gains: bool = True
    around: bool = True
    max_genes: int = 1000
    calibration_locations: int = 16_000
    seed: int = 0


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


def celltypes(
    enhanced: Path,
    reference: Path,
    out: Path,
    options: CellTypeOptions | None = None,
    *,
    overwrite: bool = False,
) -> None:
    """Estimate the cell types of every location and write them as an estimate.

    Parameters
    ----------
    enhanced
        File of ``focus enhance``, or any ``.h5ad`` with raw counts and positions.
    reference
        Folder of ``focus reference``.
    out
        The ``.h5ad`` to write.

    Raises
    ------
    UsageError, BadInputError, MissingResourceError, OutputExistsError
    """
    options = options or CellTypeOptions()
    check_output(out, CELL_TYPES, inputs=[enhanced, reference], overwrite=overwrite)
    if options.unit not in UNITS:
        raise UsageError(f"unknown unit {options.unit!r}", hint=f"one of {', '.join(UNITS)}")
    check_memory("celltypes", result_size(enhanced))
    opened = open_reference(reference)
    with SpatialFile(enhanced) as file:
        # Rows in the order of their names: draws do not hang on how the file was written.
        order = np.argsort(np.asarray(file.obs.index, dtype=str), kind="stable")
        measured = file.measured
        profiles = type_profiles(opened, file.var, measured, options.max_genes)
        counts = _counts(file, profiles.genes)[order]
        per_location, cut = cells_per_location(file, options)
        # Counts tell how many cells there are only where nothing else sets sample and reference apart.
        settled = options.cells is not None or per_location == 1 or cut or options.gains
        latent = _latent(file) if options.around else None
        found = find_types(
            counts,
            profiles,
            file.xy[order],
            per_location,
            cut=cut,
            settled=settled,
            gains=options.gains,
            around=options.around,
            latent=None if latent is None else latent[order],
            calibration_locations=options.calibration_locations,
            seed=options.seed,
        )
        back = np.argsort(order, kind="stable")
        _warn(found, profiles)
        record = provenance.describe_run(
            "celltypes", _settings(options), {"enhanced": enhanced, "reference": reference}, options.seed
        )
        _write(out, file, found, profiles, back, record, overwrite)
    print_message(
        f"celltypes: {len(order):,} locations, {len(profiles.types)} types, {len(profiles.genes):,} genes → {out}"
    )


def _settings(options: CellTypeOptions) -> dict[str, Any]:
    return {k: v for k, v in vars(options).items() if k != "seed"}


def _counts(file: SpatialFile, genes: np.ndarray) -> sparse.csr_matrix:
    node = file.counts()
    if node is None:
        raise BadInputError(
            f"{file.path} holds no raw counts (layers[{keys.COUNTS!r}])", hint="name a file written by focus enhance"
        )
    blocks = [sparse.csr_matrix(block[:, genes], dtype=np.float64) for _, block in sparse_blocks(node)]
    counts = sparse.csr_matrix(sparse.vstack(blocks, format="csr"))
    counts.eliminate_zeros()
    values = counts.data
    if not np.isfinite(values).all() or (values < 0).any() or not np.array_equal(values, np.rint(values)):
        raise BadInputError(f"{file.path}: counts are no whole numbers", hint="give raw counts, not normalised ones")
    if values.sum() == 0:
        raise BadInputError(
            f"{file.path}: no molecule of the {len(genes)} genes shared with the reference was counted",
            hint="focus genes SAMPLE --reference REFERENCE tells which names differ",
        )
    return counts


def _latent(file: SpatialFile) -> np.ndarray | None:
    parts = [file.obsm(key) for key in (keys.LATENT, keys.SAMPLE_FACTORS)]
    parts = [np.asarray(part, np.float64) for part in parts if part is not None]
    return np.concatenate(parts, axis=1) if parts else None


def cells_per_location(file: SpatialFile, options: CellTypeOptions) -> tuple[float, bool]:
    """Mean cells of a location, and whether it is so small that it cuts them.

    1 where locations are cells; else as given, or what the footprint holds of dense tissue.
    """
    unit = options.unit
    if unit == "auto":
        unit = "cells" if str(file.focus.get("platform", "")).lower() in IMAGING else "spots"
    if unit == "cells":
        if options.cells not in (None, 1, 1.0):
            raise UsageError(
                f"--cells-per-location {options.cells:g} and locations that are cells contradict each other",
                hint="leave it out, or pass --unit spots",
            )
        return 1.0, False
    size = file.focus.get("footprint_um") or file.focus.get("resolution_um")
    cut = size is not None and float(size) < _CUT_UM
    if options.cells is not None:
        return max(float(options.cells), 1.0 + 1e-6), cut
    if size is None:
        print_message(
            "celltypes: the file does not say how wide a location is; 10 cells each are taken (--cells-per-location)"
        )
        return 10.0, False
    area = float(size) ** 2 * (np.pi / 4 if file.focus.get("footprint_shape") == "circle" else 1.0)
    return float(max(area / _CELL_AREA_UM2, _FEWEST_CELLS if cut else 1.5)), cut


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
        Molecules, CSR (n, G), genes as in `profiles`.
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
        Whether neighbours are heard.
    latent
        Latent states that tell which neighbours are alike, float (n, D).
    calibration_locations
        Locations with known truth to learn from, in each of two rounds.

    Raises
    ------
    BadInputError
        If there are too few locations with molecules.
    """
    depth = np.asarray(counts.sum(axis=1)).ravel()
    filled = depth > 0
    if filled.sum() < _MIN_LOCATIONS:
        raise BadInputError(
            f"{int(filled.sum())} locations hold molecules of the genes shared with the reference; "
            f"at least {_MIN_LOCATIONS} are needed",
            hint="focus genes SAMPLE --reference REFERENCE tells which names differ",
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
    held = corrected(x[kept])
    facts: dict[str, Any] = {
        "unit": "cells" if cells == 1 else "spots",
        "cells_per_location": cells,
        "n_genes_used": counts.shape[1],
        "gain_sd": factors.sd,
        "calibration": _agreement(held, truth[kept]),
    }
    if cells == 1:
        threshold = set_threshold(held, truth[kept])
        facts["set_threshold"] = threshold
        estimate = named_sets(estimate, threshold)
    else:
        estimate = widened(estimate, slack(held, truth[kept]))
    return Found(estimate, misfit / max(float(np.quantile(unlike, 0.99)), 1e-12), facts)


def describe(
    counts: sparse.csr_matrix, near: sparse.csr_matrix | None, profiles: Profiles, gains: Gains
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the mixtures say of locations and of the counts near them: input of the network, misfit, a first guess."""
    quasi, squares, misfit = mixtures(counts, profiles.share, gains)
    first = fractions(quasi, profiles.rna)
    depth = np.log1p(np.asarray(counts.sum(axis=1)))
    parts = [np.sqrt(first), np.sqrt(fractions(squares, profiles.rna)), depth]
    if near is not None:
        parts.append(np.sqrt(fractions(mixtures(near, profiles.share, gains)[0], profiles.rna)))
    return np.concatenate(parts, axis=1), misfit, first


def _seen(counts: sparse.csr_matrix, graph: sparse.csr_matrix, profiles: Profiles, *, gains: bool, around: bool):
    """Gains of the genes, and what `describe` says under them."""
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
        measurement = replace(most, cells=max(most.cells * part, _FEWEST_CELLS / 2))
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


def _warn(found: Found, profiles: Profiles) -> None:
    few = [f"{name} ({n})" for name, n in zip(profiles.types, profiles.n_cells) if n < 20]
    if few:
        print_message(f"celltypes: few cells in the reference: {', '.join(few)}; their shares are uncertain")
    if found.facts["gain_sd"] > _GAINS_TOO_UNLIKE:
        print_message(
            f"celltypes: sample and reference see genes unlike (spread of log gains {found.facts['gain_sd']:.2f}); "
            "the reference may lack types of this tissue"
        )
    strange = float(np.mean(found.misfit > 1))
    if strange > 0.2:
        print_message(
            f"celltypes: counts of {100 * strange:.0f} % of the locations fit no mixture of the reference's types; "
            "it may lack types of this tissue, or locations hold fewer cells than was taken (--cells-per-location)"
        )


def _write(
    out: Path, file: SpatialFile, found: Found, profiles: Profiles, rows: np.ndarray, record: dict, overwrite: bool
) -> None:
    index, estimate = file.obs.index, found.estimate
    names = np.array(profiles.types)

    def frame(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values[rows].astype(np.float32), index=index, columns=list(names))

    best = estimate.share.argmax(axis=1)
    chance = estimate.largest[np.arange(len(best)), best]
    obs = pd.DataFrame(
        {
            LABEL: pd.Categorical(names[best[rows]], categories=list(names)),
            CONFIDENCE: chance[rows].astype(np.float32),
            MISFIT: found.misfit[rows].astype(np.float32),
        },
        index=index,
    )
    write_analysis_result(
        out,
        file,
        KIND,
        record,
        obs=obs,
        obsm={keys.TYPES: frame(estimate.share), TYPES_LOW: frame(estimate.low), TYPES_HIGH: frame(estimate.high)},
        facts=found.facts | {"types": list(profiles.types), "interval": 0.9},
        overwrite=overwrite,
    )

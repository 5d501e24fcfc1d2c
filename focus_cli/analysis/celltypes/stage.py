"""The stage behind ``focus celltypes``: an enhanced file and a reference → cell types of its locations."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.analysis.celltypes.estimate import FEWEST_CELLS, Found, find_types
from focus_cli.analysis.celltypes.profiles import Profiles, type_profiles
from focus_cli.core import keys, provenance
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.matrices import sparse_blocks
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.platform_names import IMAGING
from focus_cli.core.progress import print_message
from focus_cli.core.resources import check_memory, result_size
from focus_cli.core.storage import check_output
from focus_cli.core.storage.kinds import CELL_TYPES
from focus_cli.genes.reference import open_reference

KIND = "celltypes"
UNITS = ("auto", "spots", "cells")
MISFIT = "cell_type_misfit"  # column of obs
TYPES_LOW, TYPES_HIGH = f"{keys.TYPES}_low", f"{keys.TYPES}_high"

_CELL_AREA_UM2 = 144.0  # a cell every 12 µm, as in dense tissue
_CUT_UM = 24.0  # locations narrower than this cut most of their cells
_GAINS_TOO_UNLIKE = 0.9  # of a log; simulated platforms: 0.5 to 0.6


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
        latent = latent_states(file) if options.around else None
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
            f"{file.path}: no count of the {len(genes)} genes shared with the reference",
            hint="focus genes SAMPLE --reference REFERENCE lists the names that differ",
        )
    return counts


def latent_states(file: SpatialFile) -> np.ndarray | None:
    """Latent states of an enhanced file with the sample-specific factors, float64 (n, K + L); None without any.

    Raises
    ------
    BadInputError
        If the loadings have more factors than the states, as in files of an earlier FOCUS.
    """
    parts = [file.obsm(key) for key in (keys.LATENT, keys.SAMPLE_FACTORS)]
    parts = [np.asarray(part, np.float64) for part in parts if part is not None]
    if not parts:
        return None
    states, loadings = np.concatenate(parts, axis=1), file.varm(keys.LOADINGS)
    if loadings is not None and np.shape(loadings)[1] != states.shape[1]:
        raise BadInputError(
            f"{file.path} has loadings of {np.shape(loadings)[1]} factors and states of {states.shape[1]}",
            hint="write it again with focus enhance",
        )
    return states


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
            "celltypes: the file does not state how wide a location is; 10 cells each are taken (--cells-per-location)"
        )
        return 10.0, False
    area = float(size) ** 2 * (np.pi / 4 if file.focus.get("footprint_shape") == "circle" else 1.0)
    return float(max(area / _CELL_AREA_UM2, FEWEST_CELLS if cut else 1.5)), cut


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
            keys.CELL_TYPE: pd.Categorical(names[best[rows]], categories=list(names)),
            keys.CELL_TYPE_CONFIDENCE: chance[rows].astype(np.float32),
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

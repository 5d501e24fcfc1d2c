"""Xenium: the output folder of Xenium Onboard Analysis or Xenium Ranger, 1 to 3 and later."""

from __future__ import annotations

import re
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage import PlatformInfo
from focus_cli.core.storage.documents import read_json_object
from focus_cli.platforms.assemble import assemble, cell_footprint, choose_he
from focus_cli.platforms.cells import check_extent, grid_note, match_cells, needed, read_transform
from focus_cli.platforms.checks import GENE_EXPRESSION, control_types
from focus_cli.platforms.formats.matrix import read_matrix
from focus_cli.platforms.formats.opening import damaged
from focus_cli.platforms.formats.tables import TABLE_DAMAGE, read_table
from focus_cli.platforms.sample import Detection, RawSample

NAME = "xenium"
PIXEL_UM = 0.2125  # of every Xenium instrument so far


class File(StrEnum):
    """Names in the output folder; `ALIGNMENT` as Xenium Explorer exports it and 10x publishes it."""

    OUTS = "outs"
    EXPERIMENT = "experiment.xenium"
    MATRIX_H5 = "cell_feature_matrix.h5"
    MATRIX = "cell_feature_matrix"
    MATRIX_ZARR = "cell_feature_matrix.zarr.zip"
    MATRIX_TAR = "cell_feature_matrix.tar.gz"
    CELLS_PARQUET = "cells.parquet"
    CELLS_GZ = "cells.csv.gz"
    CELLS_CSV = "cells.csv"
    CELLS_ZARR = "cells.zarr.zip"
    ALIGNMENT = "*alignment*.csv"


class Column(StrEnum):
    """Columns of the table of cells; positions in µm, areas in µm²."""

    ID = "cell_id"
    X = "x_centroid"
    Y = "y_centroid"
    AREA = "cell_area"
    NUCLEUS_AREA = "nucleus_area"


class Key(StrEnum):
    """What is read of ``experiment.xenium``."""

    PIXEL = "pixel_size"
    VERSION = "analysis_sw_version"
    PRESERVATION = "preservation_method"
    CHEMISTRY = "chemistry_version"


LOOKS_FOR = f"Xenium's output folder ({File.EXPERIMENT}, {File.MATRIX_H5} and {File.CELLS_PARQUET})"

_CELLS = (File.CELLS_PARQUET, File.CELLS_GZ, File.CELLS_CSV)
# What a matrix without types calls its controls.
_CONTROLS = {
    r"NegControlProbe_|antisense_": "Negative Control Probe",
    r"NegControlCodeword_": "Negative Control Codeword",
    r"UnassignedCodeword_": "Unassigned Codeword",
    r"DeprecatedCodeword_": "Deprecated Codeword",
    r"BLANK_\d": "Blank Codeword",
    r"Intergenic_Region_": "Genomic Control",
}


def find_outs(path: Path) -> Path:
    """The output folder that `path` means: itself, its ``outs``, or the folder of a file inside."""
    if path.is_file() or path.name == File.MATRIX:
        return path.parent
    if _first(path, (File.EXPERIMENT, *_CELLS)) is None and (path / File.OUTS).is_dir():
        return path / File.OUTS
    return path


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _find_matrix(outs: Path) -> Path | None:
    if (outs / File.MATRIX_H5).is_file():
        return outs / File.MATRIX_H5
    return outs / File.MATRIX if (outs / File.MATRIX).is_dir() else None


def detect(path: Path) -> Detection | None:
    """Recognise a Xenium folder by ``experiment.xenium``, or by a matrix of cells beside their table."""
    if path.is_file() and path.name not in (File.EXPERIMENT, File.MATRIX_H5):
        return None
    outs = find_outs(path)
    matrix, cells, experiment = _find_matrix(outs), _first(outs, _CELLS), _first(outs, (File.EXPERIMENT,))
    if experiment is None and matrix is None and not (outs / File.MATRIX_ZARR).is_file():
        return None
    evidence = [found.name for found in (experiment, matrix, cells) if found is not None]
    missing = {
        File.EXPERIMENT: experiment,
        File.MATRIX_H5: matrix,
        File.CELLS_PARQUET: cells,
    }
    problems = [f"{name} is missing" for name, found in missing.items() if found is None]
    version = ""
    if experiment is not None:
        try:
            version = _version(_read_experiment(experiment))
        except BadInputError as error:
            problems.append(error.message)
    return Detection(NAME, version, tuple(evidence), tuple(problems))


def read(path: Path, *, image: Path | None = None, mpp: float | None = None) -> RawSample:
    """Read a Xenium sample.

    Positions are µm in the vendor's table, from the upper left corner of the morphology image, y down.

    Parameters
    ----------
    path
        The output folder, or ``experiment.xenium`` or the matrix inside.
    image
        The H&E; otherwise one is looked for beside the data, never the fluorescent morphology. Where an
        ``*_imagealignment.csv`` of Xenium Explorer lies beside it, it states how the H&E lies on the cells.
    mpp
        µm per full-resolution pixel; otherwise ``pixel_size`` of ``experiment.xenium``. The µm stay as they are.

    Raises
    ------
    MissingResourceError
        If the matrix or the table of cells is not there.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    outs = find_outs(Path(path))
    matrix = _matrix_or_refusal(outs)
    cells = _cells_or_refusal(outs)
    experiment = _first(outs, (File.EXPERIMENT,))
    facts = {} if experiment is None else _read_experiment(experiment)
    inputs = {"matrix": matrix, "positions": cells}
    warnings = []
    if experiment is None:
        warnings.append(f"{File.EXPERIMENT} is missing: {PIXEL_UM} µm per pixel, as on every Xenium, is taken")
    else:
        inputs["experiment"] = experiment
    pixel = _pixel_size(facts, experiment)

    try:
        counted, _, notes = read_matrix(matrix)
    except TABLE_DAMAGE as error:
        raise damaged(matrix, error) from error
    warnings += notes
    table = read_table(
        cells,
        list(Column),
        required=[Column.ID, Column.X, Column.Y],
        text=[Column.ID],
        numbers=[c for c in Column if c != Column.ID],
    )
    rows, places, notes = match_cells(list(counted.obs_names), list(table[Column.ID]), matrix.name, cells.name)
    warnings += notes
    table = table.iloc[places].reset_index(drop=True)
    xy_um = table[[str(Column.X), str(Column.Y)]].to_numpy(np.float64)
    check_extent(xy_um, cells.name)
    scale = pixel if mpp is None else float(mpp)

    he = choose_he(image, [outs, outs.resolve().parent] if outs.name == File.OUTS else [outs])
    to_image, notes = _alignment(he, outs, scale / pixel)
    warnings += notes
    if to_image is not None:
        inputs["alignment"] = to_image[0]
    area = table[Column.AREA].to_numpy() if Column.AREA in table else None
    footprint = cell_footprint(xy_um, area)
    sample = assemble(
        platform=PlatformInfo(
            name=NAME,
            version=_version(facts),
            technology="imaging",
            chemistry=_text(facts, Key.CHEMISTRY) or "unknown",
            preservation=_text(facts, Key.PRESERVATION) or "unknown",
            resolution_um=footprint.size_um,
        ),
        counts=counted.X if len(rows) == counted.n_obs else counted.X[rows],
        names=counted.obs_names[rows],
        genes=_genes(counted.var),
        xy_px=xy_um / scale,
        mpp=scale,
        footprint=footprint,
        where=matrix.name,
        inputs=inputs,
        warnings=warnings,
        obs=table[[c for c in (Column.AREA, Column.NUCLEUS_AREA) if c in table]].rename(columns=str),
        image=he,
        to_image=None if to_image is None else to_image[1],
    )
    return replace(sample, warnings=list(dict.fromkeys(sample.warnings)))


def _genes(var: pd.DataFrame) -> pd.DataFrame:
    ids, names = var[keys.GENE_ID].to_numpy(), var[keys.SYMBOL].to_numpy()
    types = var[keys.FEATURE_TYPE].to_numpy(dtype=object)
    named = np.array(control_types(list(names), _CONTROLS), dtype=object)
    return pd.DataFrame({"id": ids, "name": names, "type": np.where(types == GENE_EXPRESSION, named, types)})


def _matrix_or_refusal(outs: Path) -> Path:
    matrix = _find_matrix(outs)
    for packed, hint in (
        (File.MATRIX_ZARR, f"copy {File.MATRIX_H5} or the folder {File.MATRIX} of the same run"),
        (File.MATRIX_TAR, "unpack it with tar -xzf"),
    ):
        if matrix is None and (outs / packed).is_file():
            raise MissingResourceError(f"{outs}: the counts are there only as {packed}", hint=hint)
    return needed(
        matrix,
        outs,
        f"{File.MATRIX_H5} (or {File.MATRIX})",
        "there are no counts of cells",
        "copy it and the table of cells of the same run; transcripts alone can be counted with `xeniumranger`, or by "
        "cell and given with --platform tables",
    )


def _cells_or_refusal(outs: Path) -> Path:
    cells = _first(outs, _CELLS)
    if cells is None and (outs / File.CELLS_ZARR).is_file():
        raise MissingResourceError(
            f"{outs}: the cells are there only as {File.CELLS_ZARR}", hint=f"copy {File.CELLS_PARQUET} of the same run"
        )
    return needed(cells, outs, f"{File.CELLS_PARQUET} (or {File.CELLS_GZ})", "its cells have no position")


def _read_experiment(path: Path) -> dict[str, Any]:
    try:
        facts = read_json_object(path)
    except (OSError, ValueError, RecursionError) as error:
        raise damaged(path, error) from error
    if not isinstance(facts, dict):
        raise BadInputError(f"{path}: not a JSON object", hint="restore the vendor's file")
    return facts


def _text(facts: dict[str, Any], key: Key) -> str:
    value = facts.get(key)
    return value if isinstance(value, str) and value.upper() != "N/A" else ""


def _version(facts: dict[str, Any]) -> str:
    return _text(facts, Key.VERSION).removeprefix("xenium-").removeprefix("xenium_")


def _pixel_size(facts: dict[str, Any], path: Path | None) -> float:
    pixel = facts.get(Key.PIXEL, PIXEL_UM)
    if isinstance(pixel, bool) or not isinstance(pixel, (int, float)) or not 0.01 < pixel < 100:
        raise BadInputError(f"{path}: {Key.PIXEL} {str(pixel)[:40]!r} is no length in µm", hint="Xenium has 0.2125")
    return float(pixel)


def _alignment(he: Path | None, outs: Path, morphology: float) -> tuple[tuple[Path, Affine] | None, list[str]]:
    """How full-resolution pixels become pixels of the H&E, and by which file.

    `morphology` is the number of morphology pixels along one full-resolution pixel. The file maps pixels of
    the H&E to pixels of the morphology image, so it is inverted.
    """
    if he is None:
        return None, []
    # A file of the sample's own folder can only be meant for its H&E; elsewhere only the name decides.
    own, beside = outs.resolve(), he.resolve().parent
    folders = dict.fromkeys((own, beside, *([own.parent] if own.name == File.OUTS else [])))
    found = [p for folder in folders for p in sorted(folder.glob(str(File.ALIGNMENT))) if p.is_file() and not _of_if(p)]
    mine = [p for p in found if _stem(p) == _stem(he)] or [p for p in found if p.parent == own]
    if not mine:
        return None, grid_note(he)
    if len(mine) > 1:
        raise UsageError(
            f"several alignment files could be that of {he.name}: {', '.join(p.name for p in mine[:5])}",
            hint=f"call the right one {he.name.split('.')[0].removesuffix('_image')}_imagealignment.csv",
        )
    to_image = read_transform(mine[0]).inverse() @ Affine.scaling(morphology)
    notes = [f"the H&E {he.name} is laid on the cells by {mine[0].name}"]
    if to_image.anisotropy > 1.05:
        notes.append(f"{mine[0].name} stretches the H&E by {to_image.anisotropy:.2f} along one direction")
    return (mine[0], to_image), notes


def _of_if(path: Path) -> bool:
    """Whether an alignment file is that of an immunofluorescence picture."""
    return bool(re.search(r"(^|[_.-])if[_.-]", path.name, re.IGNORECASE))


def _stem(path: Path) -> str:
    """What ``X_he_image.ome.tif``, ``X_he.ome.tif`` and ``X_he_imagealignment.csv`` have in common."""
    return re.sub(r"[_-]?(image[_-]?alignment|image|alignment)$", "", path.name.split(".")[0], flags=re.IGNORECASE)

"""Legacy Spatial Transcriptomics: counts of 100 µm spots, a table of spots and an H&E, one set per section."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path

import anndata
import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage import Footprint, PlatformInfo
from focus_cli.platforms import images, pitch
from focus_cli.platforms.array_names import places
from focus_cli.platforms.barcodes import match_positions
from focus_cli.platforms.checks import (
    GENE_EXPRESSION,
    check_counts,
    check_named,
    check_positions,
    check_unique,
    name_genes,
)
from focus_cli.platforms.formats.tables import read_table, table_columns
from focus_cli.platforms.formats.text_matrix import read_text_matrix
from focus_cli.platforms.sample import Detection, RawSample
from focus_cli.platforms.st_files import LOOKS_FOR, File, Section, find_section, side_by_side, split_dataset

NAME = "legacy_st"
SPOT_UM = 100.0
PITCH_UM = 200.0

__all__ = ["LOOKS_FOR", "NAME", "detect", "read"]


class Column(StrEnum):
    """Columns of a spot file. `NEW_*` is the place on the array as it was printed, near the whole numbers."""

    X = "x"
    Y = "y"
    NEW_X = "new_x"
    NEW_Y = "new_y"
    X_PX = "pixel_x"
    Y_PX = "pixel_y"
    SELECTED = "selected"


_YES, _NO = ("1", "1.0", "true", "yes"), ("0", "0.0", "false", "no")


def detect(path: Path) -> Detection | None:
    """Recognise a legacy ST data set, one of its sections, or counts and spots side by side."""
    split = split_dataset(path)
    try:
        if split is None:
            found = side_by_side(path)
            if not found:
                return None
            placed = [s for s in found.values() if s.spots is not None]
            if len(found) > 1:
                find_section(path)
            section = (placed or list(found.values()))[0]
        else:
            section = find_section(path)
    except (UsageError, MissingResourceError) as error:
        evidence = (str(File.COUNTS),) if split is not None else ()
        return Detection(NAME, "", evidence, (error.message,), weak=split is None and not _placed(path))
    except OSError:
        return None
    evidence = [section.counts.name] if split is None else [f"{File.COUNTS}/{section.counts.name}"]
    problems = []
    if section.spots is not None:
        evidence.append(section.spots.name if split is None else f"{File.SPOTS}/{section.spots.name}")
    elif split is not None:
        problems.append(f"{File.SPOTS}/{section.name}{File.SELECTION} is missing")
    return Detection(NAME, "", tuple(evidence), tuple(problems), weak=split is None and section.spots is None)


def _placed(path: Path) -> bool:
    """Whether any section beside `path` has a table of spots."""
    try:
        return any(s.spots is not None for s in side_by_side(path).values())
    except UsageError:
        return True


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, region: str | None = None) -> RawSample:
    """Read one section of legacy ST.

    Without a table of spots, the names of the spots are their places: 200 µm times the place on the array, y down,
    where no image is needed.

    Parameters
    ----------
    path
        The counts file, ``DATASET/SECTION``, or the folder of a section or of several.
    image
        The H&E; otherwise the one in ``ST-imgs``, or the one of the section's name beside the counts.
    mpp
        µm per pixel; otherwise from the array pitch of 200 µm.
    region
        The section, where a folder holds several.

    Raises
    ------
    UsageError
        If there are several sections and none is chosen.
    MissingResourceError
        If the counts are not there, or the table of spots that an image needs.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    section = find_section(Path(path), region)
    image = images.check_image(image) if image is not None else section.image
    if section.spots is None and (image is not None or split_dataset(Path(path)) is not None):
        name = f"{File.SPOTS}/{section.name}{File.SELECTION}"
        if split_dataset(Path(path)) is None:
            name = f"the table of spots (…spot_data-selection-{section.name}.tsv)"
        raise MissingResourceError(
            f"{name} is missing: no spot of {section.counts.name} has a position on the image",
            hint="put the section's spot file there",
        )
    adata, warnings = _read_counts(section.counts)
    if section.spots is None:
        scale, notes = _place_by_name(adata, section, mpp)
    else:
        adata, scale, notes = _place_by_spots(adata, section, mpp)
    warnings += notes
    inputs = {"matrix": section.counts} | ({} if section.spots is None else {"positions": section.spots})
    if image is None:
        warnings.append("no H&E image was found (pass --image): image features will be missing")
    else:
        inputs["image"] = image
    return RawSample(
        adata=adata,
        platform=PlatformInfo(
            name=NAME,
            technology="sequencing",
            chemistry="poly-A capture",
            preservation="fresh frozen",
            resolution_um=SPOT_UM,
        ),
        footprint=Footprint("circle", SPOT_UM, PITCH_UM),
        mpp=scale,
        image_path=image,
        image_scale=1.0,
        inputs=inputs,
        warnings=warnings,
    )


def _place_by_spots(
    adata: anndata.AnnData, section: Section, mpp: float | None
) -> tuple[anndata.AnnData, float, list[str]]:
    """The spots that the table of spots places, µm per pixel, and warnings."""
    spots, warnings = _read_spots(section.spots)
    names = adata.obs_names
    at = places(list(names))
    if at is not None:  # counts named by the printed place (13.064x6.086) mean the nearest whole one
        adata.obs_names = [f"{a:.0f}x{b:.0f}" for a, b in np.rint(at)]
        check_unique(adata.obs_names, "spots", section.counts.name)
    adata, unmatched = match_positions(adata, spots, section.counts.name, section.spots.name)
    fit = pitch.fit_pitch(
        pitch.square_um(spots["printed_y"].to_numpy(), spots["printed_x"].to_numpy(), PITCH_UM),
        spots[[str(Column.X_PX), str(Column.Y_PX)]].to_numpy(),
    )
    scale, notes = pitch.choose_mpp(given=mpp, vendor=None, fit=fit, where=section.spots.name)
    xy = adata.obs[[str(Column.X_PX), str(Column.Y_PX)]].to_numpy(np.float64)
    adata.obs = adata.obs[[keys.IN_TISSUE, keys.ARRAY_ROW, keys.ARRAY_COL]].astype(np.int64)
    adata.obsm[keys.SPATIAL] = xy
    adata.obsm[keys.SPATIAL_UM] = xy * scale
    return adata, scale, warnings + unmatched + notes


def _place_by_name(adata: anndata.AnnData, section: Section, mpp: float | None) -> tuple[float, list[str]]:
    """Put the spots where their names state that they were printed; µm per pixel, and warnings."""
    at = places(list(adata.obs_names))
    if at is None:
        odd = next(name for name in adata.obs_names if places([name]) is None)
        raise BadInputError(
            f"{section.counts}: row {odd[:40]!r} is no place on the array (such as 12x34)",
            hint="give the section's table of spots, which places them",
        )
    scale = 1.0 if mpp is None else float(mpp)
    um = at * PITCH_UM
    whole = np.rint(at).astype(np.int64)
    adata.obs = adata.obs.assign(
        **{keys.IN_TISSUE: np.int64(1), keys.ARRAY_ROW: whole[:, 1], keys.ARRAY_COL: whole[:, 0]}
    )
    adata.obsm[keys.SPATIAL] = um / scale
    adata.obsm[keys.SPATIAL_UM] = um
    note = f"no table of spots: the names of the spots place them, {PITCH_UM:g} µm apart, y down"
    return scale, [note + (", and a pixel is one µm" if mpp is None else "")]


def _read_counts(path: Path) -> tuple[anndata.AnnData, list[str]]:
    """Read a table of spots × genes, or of genes × spots where its columns are the places."""
    spots, genes, matrix = read_text_matrix(path)
    if places(spots[:20]) is None and places(genes[:20]) is not None:
        spots, genes, matrix = genes, spots, matrix.T.tocsr()
    check_unique(spots, "barcodes", path.name)
    check_named(spots, "barcodes", path.name)
    var, keep, warnings = name_genes(genes, genes, [GENE_EXPRESSION] * len(genes), path.name)
    matrix = matrix if keep.all() else matrix[:, np.flatnonzero(keep)]
    check_counts(matrix, path.name)
    obs = pd.DataFrame(index=pd.Index(spots, dtype=object))
    return anndata.AnnData(X=matrix.astype(np.float32), obs=obs, var=var), warnings


def _read_spots(path: Path) -> tuple[pd.DataFrame, list[str]]:
    """Read a table of spots, indexed ``XxY`` as the counts are; and warnings."""
    named = {name.lower(): name for name in table_columns(path)}
    needed = [str(c) for c in (Column.X, Column.Y, Column.X_PX, Column.Y_PX)]
    if absent := [name for name in needed if name not in named]:
        raise BadInputError(
            f"{path}: column {absent[0]!r} is missing", hint=f"it needs the columns {', '.join(needed)}"
        )
    printed = Column.NEW_X in named and Column.NEW_Y in named
    numbers = [*needed, *((str(Column.NEW_X), str(Column.NEW_Y)) if printed else ())]
    wanted = [*numbers, *([str(Column.SELECTED)] if Column.SELECTED in named else [])]
    columns = [named[name] for name in wanted]
    table = read_table(
        path, columns, required=columns[:4], numbers=columns[: len(numbers)], text=columns[len(numbers) :]
    ).set_axis(wanted, axis=1)
    check_positions(table[needed].to_numpy(float), path.name)
    x, y = (table[str(c)].round().astype(np.int64) for c in (Column.X, Column.Y))
    under, notes = _selected(table, path)
    spots = pd.DataFrame(
        {
            keys.IN_TISSUE: under,
            keys.ARRAY_ROW: y,
            keys.ARRAY_COL: x,
            "printed_x": table[str(Column.NEW_X if printed else Column.X)],
            "printed_y": table[str(Column.NEW_Y if printed else Column.Y)],
            str(Column.X_PX): table[str(Column.X_PX)],
            str(Column.Y_PX): table[str(Column.Y_PX)],
        }
    ).set_axis([f"{a}x{b}" for a, b in zip(x, y)], axis=0)
    check_unique(spots.index, "spots", path.name)
    return spots, notes


def _selected(table: pd.DataFrame, path: Path) -> tuple[np.ndarray, list[str]]:
    """Which spots lie on tissue, int64 (n,): all where the table does not state it."""
    if Column.SELECTED not in table:
        return np.ones(len(table), np.int64), []
    words = table[str(Column.SELECTED)].str.strip().str.lower()
    if words.isin(["", "na", "nan"]).all():
        return np.ones(len(table), np.int64), [f"{path.name}: its column {Column.SELECTED} is empty: all spots count"]
    if (odd := ~words.isin([*_YES, *_NO])).any():
        raise BadInputError(
            f"{path}: column {str(Column.SELECTED)!r} holds {words[odd].iloc[0][:40]!r}", hint="it holds 1 or 0"
        )
    return words.isin(_YES).to_numpy().astype(np.int64), []

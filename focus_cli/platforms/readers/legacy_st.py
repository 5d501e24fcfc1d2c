"""Legacy Spatial Transcriptomics: counts of 100 µm spots, a spot file and an H&E, one set per section."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli import keys
from focus_cli.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import images, pitch
from focus_cli.platforms.barcodes import match_positions
from focus_cli.platforms.checks import GENE_EXPRESSION, check_counts, check_positions, check_unique, name_genes
from focus_cli.platforms.formats.opening import DAMAGE, damaged, open_maybe_gzip
from focus_cli.platforms.sample import Detection, RawSample
from focus_cli.store import Footprint, PlatformInfo

NAME = "legacy_st"
SPOT_UM = 100.0
PITCH_UM = 200.0


class File(StrEnum):
    """Folders of a data set, and the endings of its files."""

    COUNTS = "ST-cnts"
    SPOTS = "ST-spotfiles"
    IMAGES = "ST-imgs"
    SELECTION = "_selection.tsv"


class Column(StrEnum):
    """Columns of a spot file. `NEW_*` is the place on the array as it was printed, near the whole numbers."""

    X = "x"
    Y = "y"
    NEW_X = "new_x"
    NEW_Y = "new_y"
    X_PX = "pixel_x"
    Y_PX = "pixel_y"
    SELECTED = "selected"


COUNT_ENDINGS = (".tsv.gz", ".tsv")
LOOKS_FOR = f"a section of a legacy ST data set: DATASET/{File.COUNTS}/SECTION.tsv.gz, or DATASET/SECTION"


@dataclass(frozen=True)
class Section:
    """The files of one section; `image` and `spots` may be None."""

    name: str
    counts: Path
    spots: Path | None
    image: Path | None


def sections(dataset: Path) -> dict[str, Path]:
    """Section id → counts file, in sorted order."""
    found = {}
    for file in sorted((dataset / File.COUNTS).iterdir()):
        ending = next((e for e in COUNT_ENDINGS if file.name.endswith(e)), None)
        if ending and file.is_file():
            found.setdefault(file.name.removesuffix(ending), file)
    return found


def _split(path: Path) -> tuple[Path, str | None] | None:
    """Data-set folder and section id that a path means, or None if it is no legacy ST path."""
    if (path / File.COUNTS).is_dir():
        return path, None
    if path.name == File.COUNTS and path.is_dir():
        return path.parent, None
    if path.parent.name == File.COUNTS:
        ending = next((e for e in COUNT_ENDINGS if path.name.endswith(e)), "")
        return path.parent.parent, path.name.removesuffix(ending)
    if not path.exists() and (path.parent / File.COUNTS).is_dir():
        return path.parent, path.name
    return None


def find_section(path: Path) -> Section:
    """Find the files of the section that `path` means.

    Raises
    ------
    UsageError
        If the path is a whole data set of several sections, or several images belong to the section.
    MissingResourceError
        If there is no such section.
    """
    split = _split(path)
    if split is None:
        raise MissingResourceError(f"{path}: no {File.COUNTS} folder", hint=f"give {LOOKS_FOR}")
    dataset, name = split
    known = sections(dataset)
    if name is None and len(known) == 1:
        name = next(iter(known))
    if name is None:
        listed = ", ".join(known) or "none"
        raise UsageError(
            f"{path} holds {len(known)} sections ({listed}): choose one",
            hint=f"for instance {dataset / next(iter(known), 'SECTION')}",
        )
    if name not in known:
        raise MissingResourceError(
            f"{dataset / File.COUNTS}: no section {name!r} ({name}.tsv.gz is missing)",
            hint=f"its sections: {', '.join(known) or 'none'}",
        )
    spots = dataset / File.SPOTS / f"{name}{File.SELECTION}"
    pictures = [
        p
        for folder in (dataset / File.IMAGES / name[:1] / name, dataset / File.IMAGES / name)
        if folder.is_dir()
        for p in sorted(folder.iterdir())
        if p.suffix.lower() in images.SUFFIXES and not images.never_he(p)
    ]
    if len(pictures) > 1:
        raise UsageError(
            f"{pictures[0].parent}: several images: {', '.join(p.name for p in pictures)}",
            hint="choose one with --image",
        )
    return Section(name, known[name], spots if spots.is_file() else None, pictures[0] if pictures else None)


def detect(path: Path) -> Detection | None:
    """Recognise a legacy ST data set, or one of its sections."""
    if _split(path) is None:
        return None
    try:
        section = find_section(path)
    except (UsageError, MissingResourceError) as error:
        return Detection(NAME, "", (str(File.COUNTS),), (error.message,))
    evidence, problems = [f"{File.COUNTS}/{section.counts.name}"], []
    if section.spots is not None:
        evidence.append(f"{File.SPOTS}/{section.spots.name}")
    else:
        problems.append(f"{File.SPOTS}/{section.name}{File.SELECTION} is missing")
    return Detection(NAME, "", tuple(evidence), tuple(problems))


def read(path: Path, *, image: Path | None = None, mpp: float | None = None) -> RawSample:
    """Read one section of a legacy ST data set.

    Parameters
    ----------
    path
        The counts file ``ST-cnts/SECTION.tsv.gz``, or ``DATASET/SECTION``.
    image
        The H&E; otherwise the one in ``ST-imgs``.
    mpp
        µm per pixel; otherwise from the array pitch of 200 µm.

    Raises
    ------
    MissingResourceError
        If the counts or the spot file are not there.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    section = find_section(Path(path))
    if section.spots is None:
        raise MissingResourceError(
            f"{File.SPOTS}/{section.name}{File.SELECTION} is missing: its spots have no position",
            hint="put the section's spot file there",
        )
    adata, warnings = _read_counts(section.counts)
    spots = _read_spots(section.spots)
    adata, unmatched = match_positions(adata, spots, section.counts.name, section.spots.name)
    warnings += unmatched

    fit = pitch.fit_pitch(
        pitch.square_um(spots["printed_y"].to_numpy(), spots["printed_x"].to_numpy(), PITCH_UM),
        spots[[str(Column.X_PX), str(Column.Y_PX)]].to_numpy(),
    )
    scale, notes = pitch.choose_mpp(given=mpp, vendor=None, fit=fit, where=section.spots.name)
    warnings += notes
    xy = adata.obs[[str(Column.X_PX), str(Column.Y_PX)]].to_numpy(np.float64)
    adata.obs = adata.obs[[keys.IN_TISSUE, keys.ARRAY_ROW, keys.ARRAY_COL]].astype(np.int64)
    adata.obsm[keys.SPATIAL] = xy
    adata.obsm[keys.SPATIAL_UM] = xy * scale
    chosen = images.check_image(image) if image is not None else section.image
    inputs = {"matrix": section.counts, "positions": section.spots}
    if chosen is None:
        warnings.append("no H&E image was found (pass --image): image features will be missing")
    else:
        inputs["image"] = chosen
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
        image_path=chosen,
        image_scale=1.0,
        inputs=inputs,
        warnings=warnings,
    )


def _read_counts(path: Path) -> tuple[anndata.AnnData, list[str]]:
    """Read a table of spots × genes, first column ``XxY``, a block of rows at a time, kept sparse."""
    blocks, barcodes = [], []
    try:
        with open_maybe_gzip(path) as stream:
            header = stream.readline().decode("utf-8").rstrip("\r\n").split("\t")
            genes = header[1:]
            if not genes:
                raise BadInputError(f"{path}: the panel is empty (no gene column)", hint="check the counts file")
            # pandas would rename duplicate columns in silence: names are ours, and are checked below.
            reader = pd.read_csv(
                stream, sep="\t", header=None, index_col=0, chunksize=256, dtype={0: str}, low_memory=False
            )
            for block in reader:
                if block.shape[1] != len(genes):
                    raise ValueError(f"{block.shape[1]} values in a row of {len(genes)} genes")
                barcodes += block.index.astype(str).tolist()
                blocks.append(sparse.csr_matrix(block.to_numpy(np.float64)))
    except BadInputError:
        raise
    except pd.errors.EmptyDataError as error:
        raise BadInputError(f"{path}: the matrix is empty (no spot)", hint="check the counts file") from error
    except DAMAGE as error:
        raise damaged(path, error) from error
    matrix = sparse.vstack(blocks, format="csr")
    check_unique(barcodes, "barcodes", path.name)
    var, _, warnings = name_genes(genes, genes, [GENE_EXPRESSION] * len(genes), path.name)
    check_counts(matrix, path.name)
    obs = pd.DataFrame(index=pd.Index(barcodes, dtype=object))
    return anndata.AnnData(X=matrix.astype(np.float32), obs=obs, var=var), warnings


def _read_spots(path: Path) -> pd.DataFrame:
    """Read a spot file, indexed ``XxY`` as the counts are."""
    try:
        with open_maybe_gzip(path) as stream:
            table = pd.read_csv(stream, sep="\t")
    except DAMAGE as error:
        raise damaged(path, error) from error
    needed = (Column.X, Column.Y, Column.X_PX, Column.Y_PX)
    absent = [str(c) for c in needed if c not in table.columns]
    if absent:
        raise BadInputError(
            f"{path}: column {absent[0]!r} is missing", hint=f"it needs the columns {', '.join(needed)}"
        )
    try:
        table = table.apply(pd.to_numeric)
        check_positions(table[[str(Column.X_PX), str(Column.Y_PX)]].to_numpy(float), path.name)
        x, y = table[str(Column.X)].round().astype(int), table[str(Column.Y)].round().astype(int)
    except (ValueError, TypeError) as error:
        raise BadInputError(f"{path}: a column is not numeric ({error})", hint="restore the spot file") from error
    printed = Column.NEW_X in table.columns and Column.NEW_Y in table.columns
    spots = pd.DataFrame(
        {
            keys.IN_TISSUE: table.get(str(Column.SELECTED), pd.Series(1, index=table.index)),
            keys.ARRAY_ROW: y,
            keys.ARRAY_COL: x,
            "printed_x": table[str(Column.NEW_X if printed else Column.X)],
            "printed_y": table[str(Column.NEW_Y if printed else Column.Y)],
            str(Column.X_PX): table[str(Column.X_PX)].astype(np.float64),
            str(Column.Y_PX): table[str(Column.Y_PX)].astype(np.float64),
        }
    ).set_axis([f"{a}x{b}" for a, b in zip(x, y)], axis=0)
    check_unique(spots.index, "spots", path.name)
    return spots

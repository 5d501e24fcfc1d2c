"""MERFISH-style tables: cells × genes with positions in µm, in one table or in a table of counts and one of cells.

This is how laboratories publish MERFISH and its relatives, for instance Moffitt et al. 2018 (*Science* 362:eaau5324;
its file holds counts divided by the cells' volumes, which are refused as any normalised values are). Vizgen's own
folders are MERSCOPE's. Tables of marker intensities (MCMICRO, CODEX, IMC) look alike, hold no counts and are in
pixels: they come in as AnnData.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.core.storage import PlatformInfo
from focus_cli.platforms.assemble import assemble, cell_footprint, choose_he
from focus_cli.platforms.checks import GENE_EXPRESSION, check_positions, check_unique
from focus_cli.platforms.depth import is_depth, may_be_depth
from focus_cli.platforms.formats.tables import iter_table, read_table, read_wide_counts, table_columns
from focus_cli.platforms.frames import choose_frame, frame_columns, split_region
from focus_cli.platforms.sample import Detection, RawSample

NAME = "merfish"
LOOKS_FOR = "a table of cells × genes with center_x, center_y (MERFISH-style csv)"

_ENDINGS = re.compile(r"\.(csv|tsv|txt|parquet)(\.gz)?$", re.IGNORECASE)
_MOST_FILES = 50  # a folder with more tables is no such data set
_PLAUSIBLE_UM = (1.0, 200.0)  # between neighbouring cells
_BLOCK_VALUES = 4_000_000


class File(StrEnum):
    """What the names of the tables hold, as regular expressions."""

    COUNTS = r"cell_by_gene|cell_?x_?gene|counts?|expression|cellbygene"
    CELLS = r"meta_?data|cell_info|centroids?|coordinates|locations?|positions?"
    WHOLE = r"merfish|all_cells"


class Column(StrEnum):
    """Names of columns, in small letters."""

    CELL = "cell_id"
    AREA = "area"
    VOLUME = "volume"
    MCMICRO_CELL = "cellid"


_POSITIONS = (("center_x", "center_y"), ("centroid_x", "centroid_y"), ("x_centroid", "y_centroid"), ("x", "y"))
_MCMICRO = {"CellID", "X_centroid", "Y_centroid"}
_CELL_NAMES = (
    "cell_id",
    "unnamed: 0",
    "cell",
    "cellid",
    "cell_name",
    "cell_label",
    "entityid",
    "barcode",
    "id",
    "",
    "index",
)
# Columns whose values distinguish the sections of a file.
_SECTIONS = ("animal_id", "bregma", "section", "section_id", "slice", "slice_id", "sample", "sample_id", "dataset")
# Columns that are no genes, beside those above and those that hold text.
_OTHERS = re.compile(
    r"animal_sex|behavior|cell_class|cell_type|celltype|class|subclass|cluster|cluster_id|neuron_cluster_i"
    r"d|leiden|louvain|volume|area|cell_area|nucleus_area|fov|fov_id|z|center_z|centroid_z|z_centroid|min_"
    r"x|min_y|max_x|max_y|n_counts|n_genes|total_counts|transcript_count|n_transcripts|region|brain_sectio"
    r"n_label|donor|batch|sex|age|replicate",
    re.IGNORECASE,
)
_CONTROL = re.compile(
    r"^(blank|neg(ative)?[_ -]?(control|probe|prb)|false[_ -]?code|system[_ -]?control)", re.IGNORECASE
)


@dataclass(frozen=True)
class Tables:
    """The table of counts, and that of cells; the same where one holds both."""

    counts: Path
    cells: Path


def _header(path: Path) -> list[str]:
    try:
        return table_columns(path)
    except FocusError:
        return []


def _find(names: Sequence[str], wanted: Sequence[str]) -> str | None:
    """The first of `names` that is one of `wanted`, the first wanted first; letters may be large or small."""
    for word in wanted:
        for name in names:
            if name.lower() == word:
                return name
    return None


def _xy(names: Sequence[str]) -> tuple[str, str] | None:
    for pair in _POSITIONS:
        x, y = _find(names, pair[:1]), _find(names, pair[1:])
        if x is not None and y is not None:
            return x, y
    return None


def _fixed(names: Sequence[str]) -> list[str]:
    """The columns that are known to be no genes."""
    known = {*_CELL_NAMES, *_SECTIONS, *(n for pair in _POSITIONS for n in pair)}
    return [
        name
        for name in names
        if name.lower() in known or _OTHERS.fullmatch(name) or is_depth(name) or may_be_depth(name)
    ]


def find_tables(path: Path) -> Tables | None:
    """The tables that `path` (a file, or a folder) means."""
    if path.is_file():
        return Tables(path, path) if _ENDINGS.search(path.name) and _xy(_header(path)) else None
    if not path.is_dir():
        return None
    files = sorted(p for p in path.iterdir() if p.is_file() and _ENDINGS.search(p.name))
    if len(files) > _MOST_FILES:
        return None
    placed = [p for p in files if _xy(_header(p))]
    counts = [p for p in files if p not in placed and re.search(File.COUNTS, p.name, re.IGNORECASE)]
    cells = [p for p in placed if re.search(File.CELLS, p.name, re.IGNORECASE)]
    if len(counts) == 1 and len(cells) == 1:
        return Tables(counts[0], cells[0])
    whole = [p for p in placed if re.search(f"{File.WHOLE}|{File.COUNTS}", p.name, re.IGNORECASE) and p not in cells]
    return Tables(whole[0], whole[0]) if len(whole) == 1 else None


def detect(path: Path) -> Detection | None:
    """Recognise tables by their names and headers."""
    tables = find_tables(path)
    if tables is None:
        return None
    return Detection(NAME, "", tuple(dict.fromkeys([tables.counts.name, tables.cells.name])))


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, region: str | None = None) -> RawSample:
    """Read a table of cells × genes with positions in µm.

    Parameters
    ----------
    path
        The table that holds both, or a folder with it, or with one of counts and one of cells.
    image
        The H&E; otherwise one is looked for in the folder.
    mpp
        µm per pixel of the H&E; without it a pixel is a µm.
    region
        The section, where the table holds several: ``Animal_ID=1,Bregma=0.26``, or the value where one column
        distinguishes them; a plane (``z=3``) or a field of view, where several share one range of positions.

    Raises
    ------
    UsageError
        If there are several sections and none, or an unknown one, is chosen.
    MissingResourceError
        If there is no such table.
    BadInputError
        If a file is damaged or its content cannot be used.
    """
    path = Path(path)
    tables = find_tables(path)
    if tables is None:
        raise MissingResourceError(f"{path}: no table of cells with positions", hint=f"give {LOOKS_FOR}")
    header = table_columns(tables.cells)
    if set(header) >= _MCMICRO:
        raise BadInputError(
            f"{tables.cells} is a table of marker intensities (MCMICRO), not of counts",
            hint="make an .h5ad of it: var['feature_types'] = 'protein', obsm['spatial'] in pixels",
        )
    place = _find(header, _CELL_NAMES)
    pair = _xy(header)
    telling = [name for name in header if name.lower() in _SECTIONS]
    wanted, region = _sections(tables.cells, telling, region)
    whole = tables.cells == tables.counts
    cells, genes, counts, warnings = (_read_one if whole else _read_two)(tables, header, place, pair, wanted)
    um = cells[list(pair)].to_numpy(np.float64)
    check_positions(um, tables.cells.name)
    frame = choose_frame(
        cells[[c for c in frame_columns(list(cells)) if c not in wanted]], um, where=tables.cells.name, region=region
    )
    cells, um, counts = cells.iloc[frame.rows].reset_index(drop=True), um[frame.rows], counts[frame.rows]
    warnings += frame.warnings
    area = _find(list(cells), (Column.AREA, "cell_area"))
    footprint = cell_footprint(um, None if area is None else cells[area].to_numpy(np.float64))
    low, high = _PLAUSIBLE_UM
    if not low <= footprint.pitch_um <= high:
        warnings.append(
            f"neighbouring cells are {footprint.pitch_um:g} µm apart if {pair[0]} and {pair[1]} are in µm: are they?"
        )
    scale = mpp or 1.0
    return assemble(
        platform=PlatformInfo(
            name=NAME, technology="imaging", chemistry="multiplexed FISH", resolution_um=footprint.size_um
        ),
        counts=counts,
        names=cells["\0name"].to_numpy(),
        genes=pd.DataFrame(
            {"id": genes, "name": genes, "type": ["Blank" if _CONTROL.match(g) else GENE_EXPRESSION for g in genes]}
        ),
        xy_px=um / scale,
        mpp=scale,
        footprint=footprint,
        where=tables.counts.name,
        inputs={"matrix": tables.counts} | ({} if whole else {"positions": tables.cells}),
        warnings=warnings,
        obs=cells[[c for c in (*telling, area) if c is not None]].reset_index(drop=True),
        image=choose_he(image, [tables.cells.parent]),
    )


def _sections(path: Path, telling: list[str], region: str | None) -> tuple[dict[str, str], str | None]:
    """Column → value of the section that is meant, empty where the table holds one alone; the rest of `region`."""
    if not telling:
        return {}, region
    blocks = (b.drop_duplicates() for b in iter_table(path, telling, text=telling))
    held = pd.concat(blocks, ignore_index=True).drop_duplicates().sort_values(telling)
    varying = [c for c in telling if held[c].nunique() > 1]
    if not varying:
        return {}, None if len(held) and region in held.iloc[0].tolist() else region
    names = {",".join(f"{c}={row[c]}" for c in varying): dict(row[varying]) for _, row in held.iterrows()}
    if len(varying) == 1 and region is not None and not region.startswith(f"{varying[0]}="):
        region = f"{varying[0]}={region}"
    name, region = split_region(path, list(names), region)
    return names[name], region


def _here(block: pd.DataFrame, wanted: dict[str, str]) -> np.ndarray:
    here = np.ones(len(block), dtype=bool)
    for column, value in wanted.items():
        here &= (block[column] == value).to_numpy()
    return here


def _read_one(tables: Tables, header: list[str], place: str | None, pair: tuple[str, str], wanted: dict[str, str]):
    """Cells, genes and counts of one section from the table that holds both, a block of rows at a time."""
    path = tables.counts
    fixed = _fixed(header)
    area = _find(header, (Column.AREA, "cell_area"))
    numbers = [*pair, *([area] if area else [])]
    text = [c for c in fixed if c in wanted or c == place or c.lower() in _SECTIONS]
    rows = max(1, _BLOCK_VALUES // max(1, len(header)))
    kept = [c for c in frame_columns(fixed) if c not in text and c not in numbers]
    heads, blocks, genes, seen = [], [], None, 0
    for block in iter_table(path, required=pair, text=text, numbers=numbers, rows=rows):
        if genes is None:  # what the first rows hold as text is no gene
            genes = [c for c in block.columns if c not in fixed and _numeric(block[c])]
            if not genes:
                raise BadInputError(f"{path}: the panel is empty (no column of counts)", hint="check the file")
            check_unique(genes, "genes", path.name)
        here = _here(block, wanted)
        head = block.loc[here, list(dict.fromkeys([*text, *numbers, *kept]))]
        head = head.assign(**{"\0name": head[place] if place else [f"cell{i}" for i in seen + np.flatnonzero(here)]})
        heads.append(head)
        seen += len(block)
        try:
            blocks.append(block.loc[here, genes].apply(pd.to_numeric).to_numpy(np.float32))
        except (ValueError, TypeError) as error:
            raise BadInputError(f"{path}: a count is no number ({error})", hint="restore the file") from error
        blocks[-1] = _sparse_known(blocks[-1])
    values = sparse.vstack([v for v, _ in blocks], format="csr")
    unknown = np.sum([u for _, u in blocks], axis=0)
    n = values.shape[0]
    warnings = []
    absent = unknown == n
    if n and absent.any():
        warnings.append(f"{int(absent.sum())} genes have no value in this section and were left out")
    if np.any(unknown[~absent]):
        gene = genes[int(np.argmax((unknown > 0) & ~absent))]
        raise BadInputError(f"{path}: counts of {gene!r} are missing for some cells", hint="restore the file")
    kept = np.flatnonzero(~absent)
    return pd.concat(heads, ignore_index=True), [genes[i] for i in kept], values[:, kept], warnings


def _sparse_known(values: np.ndarray) -> tuple[sparse.csr_matrix, np.ndarray]:
    """The known values as CSR, and how many of each column are not known."""
    missing = np.isnan(values)
    return sparse.csr_matrix(np.where(missing, 0, values)), missing.sum(axis=0)


def _numeric(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _read_two(tables: Tables, header: list[str], place: str | None, pair: tuple[str, str], wanted: dict[str, str]):
    """Cells, genes and counts of one section from two tables that share the cells' ids."""
    first = table_columns(tables.counts)
    key = _find(first, _CELL_NAMES) or first[0]
    place = place if place is not None else header[0]
    area = _find(header, (Column.AREA, "cell_area"))
    telling = [c for c in header if c.lower() in _SECTIONS]
    columns = list(dict.fromkeys([place, *telling, *pair, *([area] if area else []), *frame_columns(header)]))
    numbers = [*pair, *([area] if area else [])]
    cells = read_table(tables.cells, columns, required=[place, *pair], text=[place, *telling], numbers=numbers)
    cells = cells[_here(cells, wanted)]
    check_unique(cells[place], "cells", tables.cells.name)
    wide = read_wide_counts(tables.counts, [key, *_fixed(first)])
    names = wide.keys[key]
    check_unique(names, "cells", tables.counts.name)
    rows = pd.Index(cells[place]).get_indexer(names)
    known = rows >= 0
    warnings = []
    if known.sum() < 0.5 * min(len(names), max(1, len(cells))):
        raise BadInputError(
            f"positions do not match the matrix: {int(known.sum())} of {len(names)} cells of {tables.counts.name} "
            f"are in {tables.cells.name}",
            hint="the two files come from different samples",
        )
    if not known.all() and not wanted:
        warnings.append(f"{int((~known).sum())} of {len(names)} cells have no position and were left out")
    cells = cells.iloc[rows[known]].assign(**{"\0name": names[known].to_numpy()})
    return cells.reset_index(drop=True), wide.features, wide.counts[np.flatnonzero(known)], warnings

"""Cells that Space Ranger 4 segments on Visium HD: a matrix of cells, and their outlines as GeoJSON."""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage import PlatformInfo
from focus_cli.platforms.assemble import cell_footprint
from focus_cli.platforms.checks import check_positions
from focus_cli.platforms.formats.matrix import read_matrix
from focus_cli.platforms.formats.opening import DAMAGE, damaged, open_maybe_gzip
from focus_cli.platforms.formats.outs import picture_files
from focus_cli.platforms.formats.spaceranger import (
    Scale,
    Spatial,
    add_pictures,
    choose_image,
    preservation_of,
    scanpy_spatial,
    version_of,
)
from focus_cli.platforms.pitch import choose_mpp
from focus_cli.platforms.sample import RawSample

SEGMENTED = "segmented_outputs"
_MATRICES = ("filtered_feature_cell_matrix", "raw_feature_cell_matrix")
_OUTLINES = "cell_segmentations.geojson"
_NUMBER = re.compile(r"(?:cellid_)?0*(\d+)(?:-\d+)?")
_READ_BYTES = 1 << 22
_LONGEST_FEATURE = 1 << 25  # characters of one cell's outline


@dataclass(frozen=True)
class CellFiles:
    """The folder of segmented cells; what is not there is None."""

    folder: Path
    matrix: Path | None
    outlines: Path | None

    def files(self) -> list[Path]:
        """Those that are there."""
        return [path for path in (self.matrix, self.outlines) if path is not None]

    def missing(self) -> list[str]:
        """The names of those that are not."""
        pairs = ((f"{_MATRICES[0]}.h5", self.matrix), (_OUTLINES, self.outlines))
        return [name for name, path in pairs if path is None]


def find_cells(path: Path) -> CellFiles | None:
    """The segmented cells that a path means: their folder, a file in it, or what holds it."""
    folder = path.parent if path.is_file() else path
    for candidate in (folder, folder / SEGMENTED, folder / "outs" / SEGMENTED):
        matrix = next((p for n in _MATRICES for p in (candidate / f"{n}.h5", candidate / n) if p.exists()), None)
        outlines = next((p for p in (candidate / _OUTLINES, candidate / f"{_OUTLINES}.gz") if p.is_file()), None)
        if matrix is not None or outlines is not None:
            return CellFiles(candidate, matrix, outlines)
    return None


def read_cells(
    cells: CellFiles, library_id: str, image_folders: list[Path], *, image: Path | None, mpp: float | None
) -> RawSample:
    """Read segmented cells: counts as Space Ranger assigned them, positions at the centroids of the outlines.

    Parameters
    ----------
    cells
        The files.
    library_id
        Name of the sample.
    image_folders
        Where the H&E may lie.
    image
        The H&E that was given.
    mpp
        µm per full-resolution pixel; otherwise ``microns_per_pixel`` of the scale factors.

    Raises
    ------
    MissingResourceError
        If a file, or µm per pixel, is not there.
    BadInputError
        If a file is damaged, or fewer than half of the cells have an outline.
    """
    for name in cells.missing():
        raise MissingResourceError(
            f"{cells.folder}: {name} is missing", hint="restore the folder, or give the bins (binned_outputs)"
        )
    adata, attributes, warnings = read_matrix(cells.matrix)
    numbers, xy, area = read_outlines(cells.outlines)
    adata, rows, notes = _match(adata, numbers, cells)
    xy, area = xy[rows], area[rows]
    check_positions(xy, cells.outlines.name)
    inputs = {"matrix": cells.matrix, "outlines": cells.outlines}
    spatial = Spatial(pd.DataFrame(), {}, {}, inputs)
    add_pictures(spatial, picture_files(cells.folder))
    vendor = spatial.scalefactors.get(Scale.MPP)
    scale, of_scale = choose_mpp(given=mpp, vendor=vendor, fit=None, where=str(cells.folder))
    chosen, image_scale, about_image = choose_image(image, image_folders, spatial)
    adata.obs = pd.DataFrame({keys.IN_TISSUE: np.ones(adata.n_obs, np.int64)}, index=adata.obs_names)
    adata.obsm[keys.SPATIAL], adata.obsm[keys.SPATIAL_UM] = xy, xy * scale
    adata.uns[keys.UNS_SPATIAL] = {library_id: scanpy_spatial(spatial, attributes)}
    footprint = cell_footprint(xy * scale, area * scale**2)
    chemistry = attributes.get("chemistry_description", "unknown")
    version = version_of(attributes, cells.outlines)
    return RawSample(
        adata=adata,
        platform=PlatformInfo(
            name="visium_hd",
            version=version if attributes.get("software_version") else "4 or later",
            technology="sequencing",
            chemistry=chemistry,
            preservation=preservation_of(chemistry),
            resolution_um=footprint.size_um,
        ),
        footprint=footprint,
        mpp=scale,
        image_path=chosen,
        image_scale=image_scale,
        inputs=inputs if chosen is None else {**inputs, "image": chosen},
        warnings=[
            "segmented cells are read, each at the centroid of its outline",
            *warnings,
            *notes,
            *of_scale,
            *about_image,
        ],
    )


def _match(adata: AnnData, numbers: np.ndarray, cells: CellFiles) -> tuple[AnnData, np.ndarray, list[str]]:
    """Rows of the outlines for the cells of the matrix, and a note on cells without one."""
    names = [_NUMBER.fullmatch(name) for name in adata.obs_names]
    if None in names:
        other = adata.obs_names[names.index(None)]
        raise BadInputError(f"{cells.matrix}: {other!r} is no cell of Space Ranger", hint="restore the folder")
    rows = pd.Index(numbers).get_indexer([int(name.group(1)) for name in names])
    found = rows >= 0
    if found.sum() < 0.5 * len(found):
        raise BadInputError(
            f"{cells.outlines.name} has outlines of {int(found.sum())} of {len(found)} cells of {cells.matrix.name}",
            hint="the two files are of different runs; use those of one run",
        )
    if found.all():
        return adata, rows, []
    note = f"{int((~found).sum())} of {len(found)} cells have no outline and were left out"
    return adata[found].copy(), rows[found], [note]


def read_outlines(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read the outlines of cells, one at a time.

    Returns
    -------
    numbers
        int64 (n,), the cells' numbers.
    xy
        float64 (n, 2), centroids in full-resolution pixels.
    area
        float64 (n,), in square pixels.

    Raises
    ------
    BadInputError
        If it is no GeoJSON of polygons, or a cell comes twice.
    """
    numbers, xy, area = [], [], []
    try:
        for feature in _features(path):
            number = _NUMBER.fullmatch(str(feature["properties"]["cell_id"]))
            if number is None:
                raise ValueError(f"{feature['properties']['cell_id']!r} is no cell")
            centre, size = _centroid(feature["geometry"])
            numbers.append(int(number.group(1)))
            xy.append(centre)
            area.append(size)
    except BadInputError:
        raise
    except (*DAMAGE, AttributeError, RecursionError) as error:
        raise damaged(path, error) from error
    if not numbers:
        raise BadInputError(f"{path} holds no outline", hint="restore the file")
    index = pd.Index(np.asarray(numbers, np.int64))
    if not index.is_unique:
        raise BadInputError(f"{path}: cell {index[index.duplicated()][0]} comes twice", hint="restore the file")
    return index.to_numpy(), np.asarray(xy, np.float64).reshape(-1, 2), np.asarray(area, np.float64)


def _centroid(geometry: dict) -> tuple[np.ndarray, float]:
    """Centroid (x, y) and area of a polygon or of several; of a degenerate one, the mean of its corners and 0."""
    kinds = {"Polygon": lambda rings: [rings], "MultiPolygon": lambda polygons: polygons}
    if geometry["type"] not in kinds:
        raise ValueError(f"an outline is a {str(geometry['type'])[:40]}, not a polygon")
    moment, total, corners = np.zeros(2), 0.0, []
    for rings in kinds[geometry["type"]](geometry["coordinates"]):
        for number, ring in enumerate(rings):  # rings after the first are holes
            points = np.asarray(ring, np.float64)[:, :2]
            corners.append(points)
            origin = points[0]
            (x, y), (x1, y1) = (points - origin).T, np.roll(points - origin, -1, axis=0).T
            cross = x * y1 - x1 * y
            signed = float(cross.sum()) / 2
            if signed == 0:
                continue
            middle = origin + np.array([((x + x1) * cross).sum(), ((y + y1) * cross).sum()]) / (6 * signed)
            size = abs(signed) * (1 if number == 0 else -1)
            moment, total = moment + size * middle, total + size
    if total <= 0:
        return np.concatenate(corners).mean(axis=0), 0.0
    return moment / total, total


def _features(path: Path) -> Iterator[dict]:
    """The features of a collection, decoded one by one: the file of a whole slide has hundreds of megabytes."""
    decoder = json.JSONDecoder()
    with open_maybe_gzip(path) as stream:
        text = _Text(stream)
        text.skip_to(re.compile(r'"features"\s*:\s*\['))
        while text.next_is("{"):
            yield text.take(decoder)


class _Text:
    """A stream of JSON of which one value is held at a time."""

    def __init__(self, stream) -> None:
        self._stream = codecs.getreader("utf-8-sig")(stream)
        self._held, self._at, self._ended = "", 0, False

    def _more(self) -> bool:
        """Read on; False at the end of the file."""
        if len(self._held) - self._at > _LONGEST_FEATURE:
            raise ValueError("an outline has no end")
        piece = "" if self._ended else self._stream.read(_READ_BYTES)
        self._ended = not piece
        self._held, self._at = self._held[self._at :] + piece, 0
        return bool(piece)

    def skip_to(self, pattern: re.Pattern) -> None:
        """Go behind the first match."""
        while (match := pattern.search(self._held)) is None:
            if not self._more():
                raise ValueError("it has no list of features")
        self._at = match.end()

    def next_is(self, sign: str) -> bool:
        """Whether the next value begins with `sign`; False at the end of the list."""
        while True:
            match = re.compile(r"[\s,]*").match(self._held, self._at)
            self._at = match.end()
            if self._at < len(self._held):
                break
            if not self._more():
                raise ValueError("its list of features has no end")
        if self._held[self._at] not in (sign, "]"):
            raise ValueError("its list of features holds something else")
        return self._held[self._at] == sign

    def take(self, decoder: json.JSONDecoder):
        """Decode the next value."""
        while True:
            try:
                value, self._at = decoder.raw_decode(self._held, self._at)
                return value
            except json.JSONDecodeError:
                if not self._more():
                    raise

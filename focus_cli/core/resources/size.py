"""Size of a sample, from headers and the sizes of files; no bulk data is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from focus_cli.core import keys
from focus_cli.core.errors import FocusError
from focus_cli.core.resources.headers import h5ad_matrix, image_pixels, result_matrix
from focus_cli.core.resources.raw import raw_matrix
from focus_cli.core.storage.documents import read_json_object


@dataclass(frozen=True)
class Size:
    """Size of a sample, or of a file of single cells.

    Attributes
    ----------
    locations, genes
        Rows and columns of the counts.
    nonzeros
        Entries of the counts that are stored.
    raw_bytes
        Of the text or table that the counts are read from; 0 where they are a binary matrix.
    image_px
        Pixels of the H&E; 0 without one.
    whole_px
        Those that are decoded in one piece, as JPEG and PNG are.
    pitch_um
        Between neighbouring locations.
    known
        Whether counts of locations and entries come from a header; else they are guessed from the sizes of files.
    """

    locations: int
    genes: int
    nonzeros: int
    raw_bytes: int = 0
    image_px: int = 0
    whole_px: int = 0
    pitch_um: float = 100.0
    known: bool = True


_MOST_SPOTS = 15_000  # a sample of more locations has small ones, where it is not stated which
_SPOTS_UM, _CELLS_UM = 100.0, 10.0

# A full Visium slide: what is assumed of a sample of which nothing can be seen yet.
DEFAULT_SIZE = Size(5000, 18_000, 20_000_000, image_px=400_000_000, known=False)


def sample_size(
    path_or_row: Any,
    *,
    stored: str | Path | None = None,
    platform: str | None = None,
    image: str | Path | None = None,
    bin_um: float | None = None,
) -> Size:
    """Size of a sample, without reading its counts.

    Parameters
    ----------
    path_or_row
        A sample folder, a raw folder or file, an .h5ad; or a row of the samples sheet (``path``, ``platform``,
        ``image``, ``bin_um``).
    stored
        Where the prepared sample will be: once it is there its own headers are read.
    platform, image, bin_um
        As in a row of the sheet, for a raw path.

    Returns
    -------
    Size
        `DEFAULT_SIZE` where nothing is there yet, or a header cannot be read: never an error.
    """
    path = path_or_row
    if not isinstance(path_or_row, str | Path):
        path, row = path_or_row.path, path_or_row
        platform, image, bin_um = (getattr(row, name, None) for name in ("platform", "image", "bin_um"))
    path = Path(path)
    for folder in (stored, path):
        if folder is not None and (found := _stored_size(Path(folder))) is not None:
            return found
    matrix = raw_matrix(path, platform, bin_um)
    if matrix is None:
        return DEFAULT_SIZE
    image_px, whole_px = image_pixels(Path(image) if image else matrix.image)
    return Size(
        matrix.locations,
        matrix.genes,
        matrix.nonzeros,
        raw_bytes=matrix.raw_bytes,
        image_px=image_px,
        whole_px=whole_px,
        pitch_um=matrix.pitch_um or (_SPOTS_UM if matrix.locations < _MOST_SPOTS else _CELLS_UM),
        known=matrix.known,
    )


def result_size(path: str | Path) -> Size:
    """Size of an .h5ad of ``focus enhance`` or of an analysis result: locations, genes, and entries of its raw counts.

    Returns
    -------
    Size
        `DEFAULT_SIZE` where the header cannot be read: opening the file reports what is wrong with it.
    """
    matrix = result_matrix(Path(path))
    return DEFAULT_SIZE if matrix is None else Size(*matrix)


def total(sizes: Sequence[Size]) -> Size:
    """Several samples as one: locations and entries add up, genes are those of the largest panel."""
    return replace(
        max(sizes, key=lambda size: size.image_px),
        locations=sum(size.locations for size in sizes),
        genes=max(size.genes for size in sizes),
        nonzeros=sum(size.nonzeros for size in sizes),
        known=all(size.known for size in sizes),
    )


def _stored_size(folder: Path) -> Size | None:
    """Size of a folder that ``focus preprocess`` wrote; None for any other path."""
    try:
        document = read_json_object(folder / keys.SAMPLE_JSON)
        locations, genes = int(document["n_locations"]), int(document["n_genes"])
        pitch_um = float(document["footprint"]["pitch_um"])
        image = document.get("image") or {}
        image_px = int(image.get("width", 0)) * int(image.get("height", 0))
    except (FocusError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
        return None
    matrix = h5ad_matrix(folder / keys.COUNTS_H5AD)
    nonzeros = matrix[2] if matrix else min(locations * genes, locations * 4000)
    return Size(locations, genes, nonzeros, image_px=image_px, pitch_um=pitch_um)

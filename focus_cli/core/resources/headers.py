"""Facts in the headers of matrices and images: shapes, numbers of entries, pixels. None where they cannot be read."""

from __future__ import annotations

import warnings
import zlib
from pathlib import Path
from typing import Any, cast

from focus_cli.core.errors import FocusError
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.regular import open_maybe_gzip, require_regular

Shape = tuple[int, int, int]  # locations, genes, stored entries

_ZIPPED_IMAGES = (".jpg", ".jpeg", ".png")  # decoded in one piece
_TIFFS = (".tif", ".tiff", ".svs", ".btf", ".qptiff")
_SAMPLE_BYTES = 1 << 17
_LOOKED_THROUGH = 1 << 28
_LONG_TABLE_COLUMNS = 12
_ZEROS = (b"0", b"0.0", b"")
_PX_PER_BYTE = 10.0  # of a compressed slide whose header is not read


def h5ad_matrix(path: Path) -> Shape | None:
    """Shape of the largest matrix of an .h5ad: X, ``raw/X`` or ``layers/counts``."""
    with _h5(path) as file:
        if file is None:
            return None
        found = [_anndata_matrix(file[name]) for name in ("layers/counts", "raw/X", "X") if name in file]
        return max((shape for shape in found if shape), key=lambda shape: shape[2], default=None)
    return None  # damaged


def result_matrix(path: Path) -> Shape | None:
    """Locations, genes and stored raw counts of enhanced expression, or of an analysis result, which holds none."""
    with _h5(path) as file:
        if file is None or "obs" not in file or "var" not in file:
            return None
        for name in ("layers/counts", "X"):
            if name in file and (found := _anndata_matrix(file[name])):
                return found
        return _index_length(file["obs"]), _index_length(file["var"]), 0
    return None  # damaged


def _index_length(table: Any) -> int:
    """Rows of a table of an AnnData; its names are an array, or values with a mask as pandas 3 has them."""
    names = table[table.attrs["_index"]]
    return len(names["values"] if hasattr(names, "keys") else names)


def tenx_matrix(path: Path) -> Shape | None:
    """Shape of a matrix in 10x Genomics' HDF5 layout, stored genes × barcodes."""
    with _h5(path) as file:
        if file is None or "matrix/data" not in file or "matrix/shape" not in file:
            return None
        genes, locations = (int(n) for n in file["matrix/shape"][:2])
        return locations, genes, int(file["matrix/data"].shape[0])
    return None  # damaged


def loom_matrix(path: Path) -> Shape | None:
    """Shape of a loom file: dense, genes × cells."""
    with _h5(path) as file:
        if file is None or "matrix" not in file or not hasattr(file["matrix"], "shape"):
            return None
        genes, cells = file["matrix"].shape
        return int(cells), int(genes), int(cells) * int(genes)
    return None  # damaged


def gef_matrix(path: Path, bin_size: int) -> Shape | None:
    """Shape of a GEF: its cells, else its square bins of `bin_size` nanoballs, else the UMIs of the finest."""
    with _h5(path) as file:
        if file is None:
            return None
        if "cellBin/cellExp" in file:
            genes = file["cellBin/gene"].shape[0] if "cellBin/gene" in file else 0
            return int(file["cellBin/cell"].shape[0]), int(genes), int(file["cellBin/cellExp"].shape[0])
        for name in (f"geneExp/bin{bin_size}", "geneExp/bin1"):
            if f"{name}/expression" in file:
                table = file[f"{name}/expression"]
                entries, genes = int(table.shape[0]), int(file[f"{name}/gene"].shape[0])
                sides = [int(table.attrs[f"max{a}"][0]) - int(table.attrs[f"min{a}"][0]) for a in "XY"]
                bins = (sides[0] // bin_size + 1) * (sides[1] // bin_size + 1)
                return min(bins, entries), genes, entries
        return None
    return None  # damaged


def mtx_matrix(path: Path) -> Shape | None:
    """Shape that the third line of a Matrix Market file states, genes × barcodes; gzip or not."""
    try:
        with open_maybe_gzip(path) as stream:
            for _ in range(100):
                line = stream.readline(4096)
                if not line.startswith(b"%"):
                    genes, locations, entries = (int(word) for word in line.split()[:3])
                    return locations, genes, entries
    except (FocusError, OSError, ValueError, EOFError):
        pass
    return None


def text_matrix(path: Path) -> tuple[Shape, int] | None:
    """Shape of a table of text by its first `_SAMPLE_BYTES`, and its bytes unzipped; gzip or not.

    A table of few columns is taken as one of entries (gene, x, y, count), whose locations are not known (0); a wide one
    as locations × genes.
    """
    try:
        size = require_regular(path).stat().st_size
        with path.open("rb") as stream:
            zipped = path.suffix == ".gz"
            text = head = stream.read(_SAMPLE_BYTES)
        if zipped:
            text = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16).decompress(head)
            size = int(size * len(text) / max(len(head), 1))
    except (FocusError, OSError, zlib.error):
        return None
    lines = [line for line in text.splitlines() if not line.startswith(b"#")]
    if len(lines) < 2:
        return None
    separator = b"\t" if b"\t" in lines[0] else b","
    columns = lines[0].count(separator) + 1
    body = lines[1:-1] or lines[1:]
    rows = max(1, round(size / (sum(len(line) + 1 for line in body) / len(body))))
    if columns <= _LONG_TABLE_COLUMNS:
        return (0, 0, rows), size
    filled = sum(field not in _ZEROS for line in body for field in line.split(separator)) / len(body)
    return (rows, columns, max(1, int(rows * filled))), size


def zarr_matrix(table: Path) -> Shape | None:
    """Shape of an AnnData table in a zarr store (version 2 or 3)."""
    entries, rows = _zarr_length(table / "X/data"), _zarr_length(table / "X/indptr")
    columns = _zarr_length(table / "var/_index") or _zarr_length(table / "var/_index/values")
    if not entries or not rows:
        return None
    return rows - 1, columns or 0, entries


def image_pixels(path: Path | None) -> tuple[int, int]:
    """Pixels of an image, and those that are decoded in one piece; guessed from its bytes where no header states it."""
    if path is None or not path.is_file():
        return 0, 0
    suffix = path.suffix.lower()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if suffix in _ZIPPED_IMAGES:
                width, height = _picture_shape(path)
                return width * height, width * height
            if suffix in _TIFFS:
                from focus_cli.core.storage.tiff_file import open_tiff_file

                with open_tiff_file(path) as file:
                    page = cast(Any, file.pages[0])
                    return page.imagewidth * page.imagelength, 0
    except Exception:  # libraries raise many kinds for a damaged file; the stage itself reports what is wrong
        pass
    return int(path.stat().st_size * _PX_PER_BYTE), 0


def _picture_shape(path: Path) -> tuple[int, int]:
    from PIL import Image

    bound, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
    try:
        with Image.open(path) as image:
            return image.size
    finally:
        Image.MAX_IMAGE_PIXELS = bound


class _h5:
    """An HDF5 file for a block; None where it is none, is not there, or is being written."""

    def __init__(self, path: Path) -> None:
        self.path, self.file = path, None

    def __enter__(self):
        from focus_cli.core.storage.hdf5 import open_hdf5

        try:
            # Whoever reads a large file looks through all of it; its header is read here alone.
            self.file = open_hdf5(self.path, whole=self.path.stat().st_size < _LOOKED_THROUGH)
        except (FocusError, OSError):
            self.file = None
        return self.file

    def __exit__(self, kind, *_) -> bool:
        if self.file is not None:
            self.file.close()
        # HDF5 raises many kinds for a damaged file; the stage itself reports what is wrong.
        return kind is not None and issubclass(kind, Exception)


def _anndata_matrix(part) -> Shape | None:
    """A group of CSR or CSC, or a dense data set."""
    if hasattr(part, "shape"):
        rows, columns = part.shape
        return int(rows), int(columns), int(rows) * int(columns)
    if "data" not in part:
        return None
    rows, columns = part.attrs["shape"] if "shape" in part.attrs else part.attrs["h5sparse_shape"]
    return int(rows), int(columns), int(part["data"].shape[0])


def _zarr_length(array: Path) -> int | None:
    for name in ("zarr.json", ".zarray"):
        try:
            return int(read_json_object(array / name)["shape"][0])
        except (FocusError, ValueError, KeyError, IndexError, TypeError):
            continue
    return None

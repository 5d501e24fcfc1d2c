"""How large a raw folder is, for every platform, by the headers and sizes of its files."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from focus_cli.core.platform_names import IMAGING
from focus_cli.core.resources import headers

_MOST_FILES = 5000  # of a folder that are looked at
_DEPTH = 4
_IMAGES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".svs", ".btf", ".ndpi", ".mrxs", ".scn", ".bif", ".qptiff")
_TEXT = (".csv", ".tsv", ".txt", ".gem", ".dge", ".parquet")
_NOT_COUNTS = re.compile(
    r"position|transcript|tx_file|polygon|boundar|meta_?data|^cells\.|location|scalef|selection", re.IGNORECASE
)
_THUMBNAIL = re.compile(r"tissue_(hi|low)res_image|fiducials|detected_tissue", re.IGNORECASE)

_BYTES_PER_ENTRY = 4.0  # of a table whose head cannot be read
_GZIP = 4.0  # times smaller than the text

# Entries of a location, and genes, where only bytes are known; by what the platform counts.
_PER_LOCATION = {"stereoseq": 1000, "slideseq": 200, "legacy_st": 2500, "dbit": 2000, "openst": 300}
_GENES_BY_LOCATIONS = ("slideseq", "starmap")  # their tables of text
_PITCH_UM = {"visium": 100.0, "visium_hd": 8.0, "legacy_st": 200.0, "stereoseq": 25.0, "slideseq": 10.0, "dbit": 100.0}


@dataclass(frozen=True)
class Matrix:
    """What is known of a raw sample; `image` is the largest picture beside the counts, None without one."""

    locations: int
    genes: int
    nonzeros: int
    raw_bytes: int = 0
    image: Path | None = None
    pitch_um: float | None = None
    known: bool = True


def raw_matrix(path: Path, platform: str | None = None, bin_um: float | None = None) -> Matrix | None:
    """Size of the counts of a raw folder or file, None where nothing is there that counts could come from.

    Parameters
    ----------
    path
        What the instrument wrote.
    platform
        A name of `platform_names`, ``"auto"`` or None.
    bin_um
        Side of a bin, for the layouts that hold several.
    """
    files = list(_files(path))
    if not files:
        return _legacy_section(path)
    image = _largest_image(files)
    if platform not in _PITCH_UM and any("square_0" in f.as_posix() for f, _ in files):
        platform = "visium_hd"
    pitch = bin_um or _PITCH_UM.get(platform or "") or (10.0 if platform in IMAGING else None)
    shape = _by_header(path, files, bin_um)
    if shape is not None:
        return Matrix(*shape, image=image, pitch_um=pitch)
    return _by_bytes(files, platform, image, pitch)


def _files(path: Path, depth: int = _DEPTH) -> Iterator[tuple[Path, int]]:
    """Files below a path with their sizes, at most `_MOST_FILES`."""
    if path.is_file():
        yield path, path.stat().st_size
        return
    seen, folders = 0, [(path, 0)]
    while folders:
        folder, level = folders.pop()
        try:
            with os.scandir(folder) as entries:
                for entry in entries:
                    seen += 1
                    if seen > _MOST_FILES:
                        return
                    if entry.is_dir():
                        if level < depth and not entry.name.endswith(".zarr"):
                            folders.append((Path(entry.path), level + 1))
                    elif entry.is_file():
                        yield Path(entry.path), entry.stat().st_size
        except OSError:
            continue


def _largest_image(files: list[tuple[Path, int]]) -> Path | None:
    """The picture of most bytes, thumbnails left aside where there is another."""
    found = [f for f in files if f[0].suffix.lower() in _IMAGES]
    kept = [f for f in found if not _THUMBNAIL.search(f[0].name)] or found
    return max(kept, key=lambda f: f[1])[0] if kept else None


def _by_header(path: Path, files: list[tuple[Path, int]], bin_um: float | None) -> headers.Shape | None:
    """The first layout whose header can be read: the filtered matrix before the raw one, bins of the requested size."""
    names = {f: f.as_posix() for f, _ in files}
    largest_first = [f for f, _ in sorted(files, key=lambda f: -f[1])]

    def chosen(*endings: str) -> list[Path]:
        found = [f for f in largest_first if f.name.lower().endswith(endings)]
        kept = [f for f in found if "filtered" in names[f]] or [f for f in found if "molecule" not in f.name]
        return [f for f in kept if f"square_{int(bin_um or 8):03d}um" in names[f]] or kept

    for file in chosen("matrix.h5", "feature_bc_matrix.h5"):
        if shape := headers.tenx_matrix(file):
            return shape
    for file in chosen(".gef"):
        if shape := headers.gef_matrix(file, round((bin_um or 25.0) / 0.5)):
            return shape
    for file in chosen(".h5ad"):
        if shape := headers.h5ad_matrix(file):
            return shape
    for file in chosen(".loom"):
        if shape := headers.loom_matrix(file):
            return shape
    for file in chosen(".mtx.gz", ".mtx"):
        if shape := headers.mtx_matrix(file):
            return shape
    shapes = [headers.zarr_matrix(table) for table in sorted((path / "tables").glob("*"))]
    return max((shape for shape in shapes if shape), key=lambda shape: shape[2], default=None)


def _by_bytes(
    files: list[tuple[Path, int]], platform: str | None, image: Path | None, pitch: float | None
) -> Matrix | None:
    """The largest table of counts, by its bytes."""
    sizes: dict[Path, float] = {}
    for file, size in files:
        zipped = file.suffix == ".gz"
        ending = Path(file.stem).suffix.lower() if zipped else file.suffix.lower()
        if ending in _TEXT and not _NOT_COUNTS.search(file.name):
            sizes[file] = size * (_GZIP if zipped else 1.0)
    if not sizes:
        return None
    file = max(sizes, key=sizes.__getitem__)
    found = None if file.suffix == ".parquet" else headers.text_matrix(file)
    (locations, genes, entries), raw_bytes = found or ((0, 0, int(sizes[file] / _BYTES_PER_ENTRY)), int(sizes[file]))
    if platform in _GENES_BY_LOCATIONS:
        locations, genes = genes, locations
    imaging = platform in IMAGING
    locations = locations or max(1, entries // _PER_LOCATION.get(platform or "", 100 if imaging else 1000))
    return Matrix(locations, genes or (1000 if imaging else 18_000), entries, raw_bytes, image, pitch, known=False)


def _legacy_section(path: Path) -> Matrix | None:
    """DATASET/SECTION of legacy ST is no path on disk: its counts and picture lie in folders of the data set."""
    for ending in (".tsv.gz", ".tsv"):
        counts = path.parent / "ST-cnts" / f"{path.name}{ending}"
        if counts.is_file():
            picture = (path.parent / "ST-imgs").glob(f"*/{path.name}/*")
            found = [(f, f.stat().st_size) for f in [counts, *picture] if f.is_file()]
            return _by_bytes(found, "legacy_st", _largest_image(found), _PITCH_UM["legacy_st"])
    return None

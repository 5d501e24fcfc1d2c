"""One sample = one folder: ``sample.json``, ``counts.h5ad`` and, with an image, rasters of its features.

The schema is documented in ``docs/store.md``. Counts are CSR on disk and in memory, always.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli import keys
from focus_cli.coordinates import Coordinates
from focus_cli.errors import BadInputError, UsageError
from focus_cli.store.anndata_writing import write_anndata
from focus_cli.store.atomic import atomic_directory
from focus_cli.store.folder import require_files
from focus_cli.store.kinds import SAMPLE

if TYPE_CHECKING:
    from anndata import AnnData

SCHEMA_VERSION = 1
_SAMPLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True)
class PlatformInfo:
    """What the instrument is, as far as the model needs to know it.

    `technology` is ``"sequencing"`` or ``"imaging"``; `resolution_um` is the size of one location in µm.
    """

    name: str
    version: str = ""
    technology: str = "sequencing"
    chemistry: str = "unknown"
    preservation: str = "unknown"
    resolution_um: float = 0.0


@dataclass(frozen=True)
class Footprint:
    """The area that one location collects molecules from: a circle's diameter or a square's side, µm."""

    shape: str  # "circle" or "square"
    size_um: float
    pitch_um: float  # centre to centre of neighbouring locations


@dataclass(frozen=True)
class ImageInfo:
    """The H&E that belongs to the sample.

    `scale` is image pixels per full-resolution pixel, so ``mpp = sample.mpp / scale``.
    """

    path: str
    sha256: str
    width: int
    height: int
    scale: float
    mpp: float


@dataclass(frozen=True)
class SampleInfo:
    """The content of ``sample.json``. All lengths in µm; `mpp` is µm per full-resolution pixel.

    `organ` and `species` are words of the user, empty where they are not known. `coordinates` links the systems
    that the sample knows; older files have none.
    """

    sample_id: str
    platform: PlatformInfo
    mpp: float
    footprint: Footprint
    n_locations: int
    n_genes: int
    image: ImageInfo | None = None
    organ: str = ""
    species: str = ""
    alignment: dict[str, Any] = field(default_factory=dict)
    coordinates: Coordinates = field(default_factory=Coordinates)
    warnings: list[str] = field(default_factory=list)
    provenance: dict[str, Any] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def to_json(self) -> str:
        """Serialise with sorted keys, so that equal samples give equal bytes."""
        raw = asdict(self) | {"coordinates": self.coordinates.to_json()}
        return json.dumps(raw, indent=2, sort_keys=True, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> SampleInfo:
        """Parse ``sample.json``.

        Raises
        ------
        BadInputError
            If the text is not a sample description of this schema version.
        """
        try:
            raw = json.loads(text)
            if raw["schema_version"] != SCHEMA_VERSION:
                raise BadInputError(
                    f"{keys.SAMPLE_JSON} has schema version {raw['schema_version']}, this FOCUS reads {SCHEMA_VERSION}",
                    hint="run focus preprocess again on the raw folder",
                )
            image = ImageInfo(**raw.pop("image")) if raw.get("image") else raw.pop("image", None)
            return cls(
                platform=PlatformInfo(**raw.pop("platform")),
                footprint=Footprint(**raw.pop("footprint")),
                image=image,
                coordinates=Coordinates.from_json(raw.pop("coordinates", [])),
                **raw,
            )
        except (KeyError, TypeError, ValueError) as error:
            raise BadInputError(
                f"{keys.SAMPLE_JSON} is not a sample description: {error}",
                hint="run focus preprocess again on the raw folder",
            ) from error


def is_sample_id(text: str) -> bool:
    """Whether a text is safe as the name of a folder or file: letters, digits, dot, dash and underscore."""
    return _SAMPLE_ID.fullmatch(text) is not None


def sample_id_of(file_name: str, otherwise: str) -> str:
    """A sample id out of the name of a file up to its first dot; `otherwise` where nothing of it is left."""
    safe = "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "_" for c in file_name.split(".")[0])
    return safe.strip("_-")[:100] or otherwise


def check_sample_id(sample_id: str) -> str:
    """Return `sample_id` if it is safe as a folder name.

    Raises
    ------
    UsageError
        If it holds anything but letters, digits, dot, dash and underscore, or starts with a sign.
    """
    if not is_sample_id(sample_id):
        raise UsageError(
            f"sample id {sample_id!r} cannot name a folder",
            hint="use letters, digits, '.', '_' and '-', at most 100, starting with a letter or digit",
        )
    return sample_id


class StoredSample:
    """A sample on disk. Nothing is read before it is asked for."""

    def __init__(self, path: Path, info: SampleInfo) -> None:
        self.path = Path(path)
        self.info = info

    @property
    def counts_path(self) -> Path:
        """The AnnData file with raw counts, positions and thumbnails."""
        return self.path / keys.COUNTS_H5AD

    @property
    def morphology_path(self) -> Path | None:
        """The raster of image features, or None for a sample without an image."""
        path = self.path / keys.MORPHOLOGY_ZARR
        return path if path.exists() else None

    @property
    def raster_paths(self) -> list[Path]:
        """Every raster of image features that is there: the built-in morphology first, then an encoder's."""
        paths = (self.path / keys.MORPHOLOGY_ZARR, self.path / keys.ENCODER_ZARR)
        return [path for path in paths if path.exists()]

    def read(self) -> AnnData:
        """Read the whole AnnData: X raw counts as CSR, obsm positions, uns images."""
        import anndata

        try:
            return anndata.read_h5ad(self.counts_path)
        except (OSError, KeyError, ValueError) as error:
            raise BadInputError(
                f"cannot read {self.counts_path}: {error}", hint="run focus preprocess again"
            ) from error


def is_sample(path: Path) -> bool:
    """Whether `path` is a folder written by ``focus preprocess``."""
    return (Path(path) / keys.SAMPLE_JSON).is_file()


def open_sample(path: Path) -> StoredSample:
    """Open a sample folder.

    Raises
    ------
    MissingResourceError
        If the folder or one of its files is not there.
    BadInputError
        If ``sample.json`` is not a sample description of this schema version.
    """
    path = Path(path)
    require_files(path, (keys.SAMPLE_JSON, keys.COUNTS_H5AD), "sample", "preprocess")
    return StoredSample(path, SampleInfo.from_json((path / keys.SAMPLE_JSON).read_text()))


def write_sample(
    path: Path,
    info: SampleInfo,
    adata: AnnData,
    *,
    parts: Sequence[Callable[[Path], None]] = (),
    overwrite: bool = False,
) -> StoredSample:
    """Write a sample folder atomically.

    Parameters
    ----------
    path
        Folder to make.
    info
        Goes to ``sample.json``; its sample id, counts of locations and genes must match `adata`.
    adata
        X: raw counts, CSR, locations × genes; ``obsm["spatial"]`` px and ``obsm["spatial_um"]`` µm.
    parts
        Called one after the other with the folder, to write the rasters of image features and pictures into it.
    overwrite
        Replace an existing folder.

    Raises
    ------
    BadInputError
        If `adata` is dense or lacks positions.
    OutputExistsError
        If `path` exists and `overwrite` is false.
    """
    from scipy import sparse

    check_sample_id(info.sample_id)
    if not sparse.issparse(adata.X):
        raise BadInputError("counts of a sample must be sparse", hint="convert X to CSR")
    for key in (keys.SPATIAL, keys.SPATIAL_UM):
        if key not in adata.obsm:
            raise BadInputError(f"a sample needs obsm[{key!r}]")
    if (info.n_locations, info.n_genes) != adata.shape:
        raise BadInputError(f"sample.json says {info.n_locations} × {info.n_genes}, the counts are {adata.shape}")
    with atomic_directory(path, overwrite, kind=SAMPLE) as temporary:
        adata.X = adata.X.tocsr()
        write_anndata(adata, temporary / keys.COUNTS_H5AD)
        for write_part in parts:
            write_part(temporary)
        (temporary / keys.SAMPLE_JSON).write_text(info.to_json())
    return open_sample(path)

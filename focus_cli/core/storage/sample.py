"""One sample = one folder: ``sample.json``, ``counts.h5ad`` and, with an image, rasters of its features.

The schema is documented in ``docs/store.md``. Counts are CSR on disk and in memory, always.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core import keys
from focus_cli.core.coordinates import Coordinates
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.storage.anndata_writing import write_anndata
from focus_cli.core.storage.atomic import atomic_directory
from focus_cli.core.storage.folder import require_files
from focus_cli.core.storage.kinds import SAMPLE
from focus_cli.core.storage.names import is_sample_id
from focus_cli.core.storage.regular import read_text_bounded

if TYPE_CHECKING:
    from anndata import AnnData

SCHEMA_VERSION = 1


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
    """The area that one location collects RNA from: a circle's diameter or a square's side, µm."""

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
    that the sample has; older files have none.
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
    def from_json(cls, text: str, name: str = keys.SAMPLE_JSON) -> SampleInfo:
        """Parse ``sample.json``; `name` stands in messages.

        Raises
        ------
        BadInputError
            If the text is not a sample description of this schema version.
        """
        from focus_cli.core.storage.documents import parse_json

        return cls.of(parse_json(text, name), name)

    @classmethod
    def of(cls, raw: Any, name: str = keys.SAMPLE_JSON) -> SampleInfo:
        """From the content of ``sample.json``; `name` stands in messages.

        Raises
        ------
        BadInputError
            If it is not a sample description of this schema version.
        """
        from focus_cli.core.storage.sample_schema import SampleDocument
        from focus_cli.core.storage.schema import require_version, validated

        again = "run focus preprocess again on the raw folder"
        if isinstance(raw, dict):
            require_version(raw, SCHEMA_VERSION, name, again)
        document = validated(SampleDocument, raw, name, again)
        plain = document.model_dump()
        image, links = plain.pop("image"), plain.pop("coordinates")
        return cls(
            platform=PlatformInfo(**plain.pop("platform")),
            footprint=Footprint(**plain.pop("footprint")),
            image=None if image is None else ImageInfo(**image),
            coordinates=Coordinates.from_json(links),
            **plain,
        )


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
    """A sample on disk. Nothing is read before it is requested."""

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
        """Read the whole AnnData: X raw counts as CSR, obsm positions, uns images.

        Raises
        ------
        MissingResourceError, BadInputError
            If the file is not there, is damaged, or does not fit ``sample.json``.
        """
        from focus_cli.core.storage.hdf5 import read_anndata

        again = "run focus preprocess again"
        adata = read_anndata(self.counts_path, again)
        stated = (self.info.n_locations, self.info.n_genes)
        if adata.shape != stated:
            raise BadInputError(
                f"{self.counts_path} holds {adata.n_obs} × {adata.n_vars} counts, {keys.SAMPLE_JSON} states "
                f"{stated[0]} × {stated[1]}",
                hint=again,
            )
        check_counts(adata, self.counts_path, again)
        return adata


MAX_COUNT = 2**31 - 1  # of one gene at one location
_BLOCK = 1 << 22  # values that are looked at together


def check_counts(adata: AnnData, path: Path, hint: str) -> None:
    """Refuse what no sample holds: counts that are no whole numbers, positions that are no positions.

    Raises
    ------
    BadInputError
        Naming the part.
    """
    import numpy as np
    from scipy import sparse

    if not sparse.issparse(adata.X) or adata.X.dtype.kind not in "iufb":
        raise BadInputError(f"{path}: X is no sparse matrix of numbers", hint=hint)
    values = adata.X.data
    if len(values) and not (np.isfinite(values).all() and values.min() >= 0):
        raise BadInputError(f"{path}: X holds values that are negative or not finite", hint=hint)
    if len(values) and values.max() > MAX_COUNT:
        raise BadInputError(f"{path}: X holds {values.max():g}, which is not a valid count", hint=hint)
    if values.dtype.kind == "f" and not _holds_proteins(adata, all):
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            fraction = block[block != np.rint(block)]
            if len(fraction):
                raise BadInputError(
                    f"{path}: X holds {fraction[0]:g}, which is no whole number: a sample stores raw counts", hint=hint
                )
    for key in (keys.SPATIAL, keys.SPATIAL_UM):
        xy = adata.obsm.get(key)
        if not isinstance(xy, np.ndarray) or xy.shape != (adata.n_obs, 2) or xy.dtype.kind not in "iuf":
            raise BadInputError(f"{path}: obsm[{key!r}] is no table of (x, y)", hint=hint)
        if not np.isfinite(xy).all():
            raise BadInputError(f"{path}: obsm[{key!r}] holds NaN or infinite positions", hint=hint)
    for axis, names in (("location", adata.obs_names), ("gene", adata.var_names)):
        if not names.is_unique:
            raise BadInputError(f"{path}: a {axis} has the name of another", hint=hint)


def check_panel_of_genes(adata: AnnData, path: Path) -> None:
    """Refuse the intensities of a protein panel, which are no counts.

    Raises
    ------
    BadInputError
        If a feature of the sample at `path` is a protein.
    """
    if _holds_proteins(adata, any):
        raise BadInputError(
            f"{path}: the panel is of proteins: FOCUS models counts, not intensities",
            hint="give a sample with a panel of genes",
        )


def _holds_proteins(adata: AnnData, how: Callable) -> bool:
    """Whether any or all of the features are proteins."""
    return keys.FEATURE_TYPE in adata.var and adata.n_vars > 0 and how(adata.var[keys.FEATURE_TYPE] == "protein")


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
    described = path / keys.SAMPLE_JSON
    return StoredSample(path, SampleInfo.from_json(read_text_bounded(described), str(described)))


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
        raise BadInputError(f"sample.json states {info.n_locations} × {info.n_genes}, the counts are {adata.shape}")
    with atomic_directory(path, overwrite, kind=SAMPLE) as temporary:
        adata.X = adata.X.tocsr()
        write_anndata(adata, temporary / keys.COUNTS_H5AD)
        for write_part in parts:
            write_part(temporary)
        (temporary / keys.SAMPLE_JSON).write_text(info.to_json())
    return open_sample(path)

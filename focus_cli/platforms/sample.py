"""What a reader hands over: one sample in memory, and what was recognised before reading it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from focus_cli.core.coordinates import Affine
from focus_cli.core.errors import one_line
from focus_cli.core.storage import Footprint, PlatformInfo

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Detection:
    """What a path looks like before its data are read.

    `evidence` are the files that were recognised; `problems` are the missing files. `weak`: what is there fits
    the platform, but others as well.
    """

    platform: str
    version: str = ""
    evidence: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    weak: bool = False

    def __post_init__(self) -> None:
        for name in ("version", "evidence", "problems"):
            value = getattr(self, name)
            object.__setattr__(self, name, one_line(value) if name == "version" else tuple(map(one_line, value)))


@dataclass
class RawSample:
    """One raw sample in memory.

    Attributes
    ----------
    adata
        ``X`` CSR float32 raw counts, locations × genes. ``obs_names`` barcodes; ``obs`` has ``in_tissue``,
        ``array_row``, ``array_col`` where they exist. ``var_names`` are symbols (a symbol that two genes
        share gives way to the gene id); ``var`` has ``gene_ids``, ``gene_symbols``, ``feature_types``.
        ``obsm["spatial"]`` float64 (n, 2), (x, y) in full-resolution pixels; ``obsm["spatial_um"]`` in µm.
        ``uns["spatial"][library_id]`` holds the vendor's thumbnails as scanpy writes them.
    platform
        The instrument.
    footprint
        The area that one location collects from.
    mpp
        µm per full-resolution pixel.
    image_path
        The H&E to tile, or None.
    image_scale
        Image pixels per full-resolution pixel.
    to_image
        Full-resolution pixels → image pixels, for a separate image, which may be rotated
        or shifted; None where it is only scaled.
    inputs
        Role → every file or folder that was read.
    warnings
        One line each: what was dropped, guessed or disagrees.
    """

    adata: AnnData
    platform: PlatformInfo
    footprint: Footprint
    mpp: float
    image_path: Path | None = None
    image_scale: float = 1.0
    to_image: Affine | None = None
    inputs: dict[str, Path] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.warnings = [one_line(warning) for warning in self.warnings]

    @property
    def image_transform(self) -> Affine:
        """Full-resolution pixels → image pixels, whichever way it is stated."""
        return Affine.scaling(self.image_scale) if self.to_image is None else self.to_image

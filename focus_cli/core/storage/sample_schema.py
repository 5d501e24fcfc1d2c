"""The schema of ``sample.json``, which a corpus and a model repeat parts of."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from focus_cli.core.storage.schema import (
    Count,
    Document,
    LocalPath,
    Microns,
    MicronsPerPixel,
    Name,
    Pitch,
    Pixels,
    SampleId,
    Sha256,
    Text,
)


class PlatformDocument(Document):
    """As `focus_cli.core.storage.sample.PlatformInfo`."""

    name: Name
    version: Text = ""
    technology: Literal["sequencing", "imaging"] = "sequencing"
    chemistry: Text = "unknown"
    preservation: Text = "unknown"
    resolution_um: Microns = 0.0


class FootprintDocument(Document):
    """As `focus_cli.core.storage.sample.Footprint`."""

    shape: Literal["circle", "square"]
    size_um: Microns
    pitch_um: Pitch


class ImageDocument(Document):
    """As `focus_cli.core.storage.sample.ImageInfo`."""

    path: LocalPath
    sha256: Sha256
    width: Pixels
    height: Pixels
    scale: float = Field(ge=1e-6, le=1e6)
    mpp: MicronsPerPixel


class LinkDocument(Document):
    """As `focus_cli.core.coordinates.Link`."""

    source: Name
    target: Name
    matrix: list[list[float]]
    origin: Text


class SampleDocument(Document):
    """As `focus_cli.core.storage.sample.SampleInfo`."""

    schema_version: int
    sample_id: SampleId
    platform: PlatformDocument
    mpp: MicronsPerPixel
    footprint: FootprintDocument
    n_locations: Count
    n_genes: Count
    image: ImageDocument | None = None
    organ: Text = ""
    species: Text = ""
    alignment: dict[str, Any] = Field(default_factory=dict)
    coordinates: list[LinkDocument] = Field(default_factory=list, max_length=100)
    warnings: list[Text] = Field(default_factory=list)
    provenance: dict[str, Any] = Field(default_factory=dict)

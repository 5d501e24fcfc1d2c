"""The schemas of ``model.json`` and of the state of an unfinished training."""

from __future__ import annotations

from typing import Any

from pydantic import ConfigDict, Field

from focus_cli.core.storage.sample_schema import FootprintDocument, PlatformDocument
from focus_cli.core.storage.schema import Count, Document, EncoderDocument, Name, SampleId


class MeasurementDocument(Document):
    """What training samples were measured with."""

    platform: PlatformDocument
    footprint: FootprintDocument


class EncoderOfModel(EncoderDocument):
    """The encoder that the training samples had; the pitch of its raster is known."""

    step_um: float = Field(ge=1e-3, le=1e6)


class ModelDocument(Document):
    """``model.json``. Keys of later versions that change nothing of the network are kept."""

    model_config = ConfigDict(extra="allow")

    schema_version: int
    config: dict[str, Any]
    feature_names: list[Name] = Field(max_length=1 << 20)
    encoder: EncoderOfModel | None = None
    samples: list[SampleId] = Field(default_factory=list)
    platforms: list[Name] = Field(default_factory=list)
    measurements: list[MeasurementDocument] = Field(default_factory=list)
    n_locations: Count | None = None
    n_genes: Count | None = None
    n_measured: Count | None = None
    n_states: Count | None = None
    seed: int | None = None
    preset: Name | None = None
    training: dict[str, Any] = Field(default_factory=dict)
    provenance: dict[str, Any] = Field(default_factory=dict)

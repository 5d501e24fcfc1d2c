"""Configuration of each stage of a run."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from focus_cli.core import keys
from focus_cli.workflow.config.fields import Device, Positive, Section, Text


class Stage(Section):
    """Resources of one job of a stage. By default memory and time are estimated from its samples."""

    threads: int = Field(1, ge=1)
    """Threads of one job. Not estimated: sums over other numbers of threads may differ in the last bit."""
    mem_mb: int | None = Field(None, ge=500)
    """Memory of one job in MB; a retried job gets twice, then three times as much."""
    runtime: int | None = Field(None, ge=1)
    """Time limit of one job in minutes; a retried job gets twice, then three times as much."""


class Preprocess(Stage):
    """Raw folder → stored sample."""

    step_um: Positive = 8.0
    """Pitch of the grid of image features in µm."""
    encoder: Text | None = None
    """Learned image encoder in addition to the built-in features (focus features --list); may contain ${VARIABLES}."""
    encoder_step_um: Positive | None = None
    """Pitch of the encoder's raster in µm; half a tile where it is not given."""
    encoder_mpp: Positive | None = None
    """µm per pixel of the encoder's tiles, if it does not state it."""
    dense: bool = False
    """Use patch tokens of the encoder instead of one vector per tile."""
    features_store: Text | None = None
    """Folder that keeps encoded slides for other runs; OUTPUT/features where it is not given."""
    device: Device = "auto"
    """Where to run the encoder."""
    gpu: int = Field(0, ge=0)
    """GPUs to request from the scheduler for one job."""


class Reference(Stage):
    """Annotated single cells → reference."""

    path: Text | None = None
    """An .h5ad of single cells for the samples without one in the sheet; relative to the working directory, may
    contain ${VARIABLES}. Without it they have no reference."""
    cell_type: Text | None = None
    """Column of obs with the cell types; by default detected by common names."""


class Train(Stage):
    """Samples (+ reference) → model."""

    scope: Literal["all", "self", "group", "organ"] = "all"
    """One model for all samples, one for each sample, or one for each group or organ of the sheet."""
    preset: Literal["nano", "base", "large"] = "nano"
    """Size of the model."""
    max_steps: int | None = Field(None, ge=1)
    """Training steps; by default those of the preset."""
    settings: Text | None = None
    """A YAML file that overrides the preset (focus train --config)."""
    corpus: bool = False
    """Pack the samples into corpora first, and stream these in training: for more than fits in memory."""
    device: Device = "auto"
    """Where to compute."""
    gpu: int = Field(0, ge=0)
    """GPUs to request from the scheduler for one job, on each node."""
    processes: int = Field(1, ge=1)
    """Processes of one training on each node, usually one per GPU."""
    nodes: int = Field(1, ge=1)
    """Nodes of one training; more than one needs a cluster profile."""


class Enhance(Stage):
    """Sample + model → enhanced AnnData."""

    genes: Text = "measured"
    """measured, all (measured and the reference's), or a file with one gene per line."""
    resolution_um: Positive | None = None
    """Also write results/refined/SAMPLE.h5ad on a grid of this pitch in µm."""
    layers: Text | None = None
    """Layers besides X and the raw counts, separated by commas; by default mean_counts, std, q05, q95."""
    samples: int | None = Field(None, ge=1)
    """Posterior draws of the latent state to keep in the file; none where not given."""
    adapt: int | None = Field(None, ge=1)
    """Self-supervised steps on each sample before it is enhanced; the model as it is where not given."""
    device: Device = "auto"
    """Where to compute."""
    gpu: int = Field(0, ge=0)
    """GPUs to request from the scheduler for one job."""

    @field_validator("layers")
    @classmethod
    def _known_layers(cls, layers: str | None) -> str | None:
        named = [name.strip() for name in (layers or "").split(",") if name.strip()]
        if unknown := [name for name in named if name not in keys.ENHANCED_LAYERS]:
            raise ValueError(f"unknown layer {unknown[0]!r}; layers: {', '.join(keys.ENHANCED_LAYERS)}")
        return layers


class Report(Stage):
    """One HTML file per sample."""

    together: bool = False
    """true: also OUTPUT/report.html, all samples on one page."""

"""The configuration of a run and the columns of its samples sheet, as pydantic models.

The JSON schemas that Snakemake validates are made from these classes
(``python -m focus_cli.workflow schemas``), so that there is one description and not two.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from focus_cli.platform_names import AUTO, PLATFORMS

SAFE_NAME = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$"

Name = Annotated[str, StringConstraints(pattern=SAFE_NAME)]
Text = Annotated[str, StringConstraints(min_length=1)]
Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(gt=0, lt=1)]
Device = Literal["auto", "cpu", "cuda"]
Task = Literal["denoise", "impute", "refine", "histology"]

# Options of one task only; given with another task they are a mistake worth a word.
TASK_OPTIONS: dict[str, str] = {
    "fraction": "denoise",
    "truth_bin_um": "refine",
    "test_fraction": "histology",
}


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Stage(Section):
    """What one job of a stage may use."""

    threads: int = Field(1, ge=1)
    """Threads of one job."""
    mem_mb: int = Field(4000, ge=500)
    """Memory of one job in MB; a retried job gets twice, then three times as much."""
    runtime: int = Field(60, ge=1)
    """Time limit of one job in minutes."""


class Preprocess(Stage):
    """Raw folder → stored sample."""

    step_um: Positive = 8.0
    """Pitch of the grid of image features in µm."""
    encoder: Text | None = None
    """Learned image encoder beside the built-in features (focus features --list); may hold ${VARIABLES}."""
    encoder_step_um: Positive | None = None
    """Pitch of the encoder's raster in µm; half a tile where it is not given."""
    encoder_mpp: Positive | None = None
    """µm per pixel of the encoder's tiles, where it does not say."""
    dense: bool = False
    """Patch tokens of the encoder in place of one vector per tile."""
    features_store: Text | None = None
    """Folder that keeps encoded slides for other runs; OUTPUT/features where it is not given."""
    device: Device = "auto"
    """Where to run the encoder."""
    gpu: int = Field(0, ge=0)
    """GPUs to ask of the scheduler for one job."""


class Reference(Stage):
    """Annotated single cells → reference. Without a path the run has no reference."""

    path: Text | None = None
    """An .h5ad of single cells; relative to the working directory, may hold ${VARIABLES}."""
    cell_type: Text | None = None
    """The key of obs that holds the cell types; found by itself where it has a usual name."""


class Train(Stage):
    """Samples (+ reference) → model."""

    mem_mb: int = Field(8000, ge=500)
    """Memory of one job in MB; a retried job gets twice, then three times as much."""
    runtime: int = Field(240, ge=1)
    """Time limit of one job in minutes."""
    scope: Literal["all", "self"] = "all"
    """One model for all samples, or one for each sample."""
    preset: Literal["nano", "base", "large"] = "nano"
    """Size of the model."""
    max_steps: int | None = Field(None, ge=1)
    """Training steps; the preset's own number where it is not given."""
    settings: Text | None = None
    """A YAML file that overrides the preset (focus train --config)."""
    device: Device = "auto"
    """Where to compute."""
    gpu: int = Field(0, ge=0)
    """GPUs to ask of the scheduler for one job."""


class Enhance(Stage):
    """Sample + model → enhanced AnnData."""

    mem_mb: int = Field(8000, ge=500)
    """Memory of one job in MB; a retried job gets twice, then three times as much."""
    genes: Text = "measured"
    """measured, all (measured and the reference's), or a file with one gene per line."""
    resolution_um: Positive | None = None
    """Also write results/refined/SAMPLE.h5ad on a grid of this pitch in µm."""
    layers: Text | None = None
    """Layers beside X and the raw counts, by comma, such as std; mean_counts, std, q05, q95 where not given."""
    samples: int | None = Field(None, ge=1)
    """Posterior draws of the latent state to keep in the file; none where not given."""
    adapt: int | None = Field(None, ge=1)
    """Self-supervised steps on each sample before it is enhanced; the model as it is where not given."""
    device: Device = "auto"
    """Where to compute."""
    gpu: int = Field(0, ge=0)
    """GPUs to ask of the scheduler for one job."""


class Fold(Section):
    """One hold-out: a part of a sample is hidden, a model is trained without it, and the two compared."""

    sample: Name | list[Name] = "all"
    """A sample, a list of samples, or all: one fold for each."""
    task: Task
    """What is hidden: molecules, genes, resolution, or all counts (the H&E alone remains)."""
    name: Name | None = None
    """Name of the fold, where one sample has two of the same task; the task's name otherwise."""
    training: Literal["auto", "self", "others", "all"] = "auto"
    """What the model learns from: the visible part of the sample, other samples, or both. Others are those of
    other donors where the sheet names more than one donor. auto: self, but others for histology."""
    seed: int | None = Field(None, ge=0)
    """Seed of what is hidden; the run's seed where it is not given."""
    fraction: Share | None = None
    """denoise: share of the molecules that stays visible."""
    n_genes: int | None = Field(None, ge=1)
    """How many genes are scored; impute: how many are candidates, of which half are hidden."""
    truth_bin_um: Positive | None = None
    """refine: side in µm of the bins to be recovered."""
    test_fraction: Share | None = None
    """histology: share of the sample whose counts are hidden, in one block; all of it where not given."""

    @model_validator(mode="after")
    def _options_fit_task(self) -> Fold:
        for name, task in TASK_OPTIONS.items():
            if task != self.task and getattr(self, name) is not None:
                raise ValueError(f"{name} belongs to the task {task}, not to {self.task}")
        return self


class Evaluate(Stage):
    """Hold-outs and scores."""

    mem_mb: int = Field(8000, ge=500)
    """Memory of one job in MB; a retried job gets twice, then three times as much."""
    folds: list[Fold] = []
    """The hold-outs; none: nothing is trained but the model, and nothing scored but against given truth."""


class Report(Stage):
    """One HTML file per sample."""


class RunConfig(Section):
    """The configuration of one run of the workflow."""

    samples: Text = "config/samples.tsv"
    """The samples sheet; relative to the working directory."""
    output: Text = "results"
    """Folder of everything that is written; relative to the working directory."""
    seed: int = Field(0, ge=0)
    """Same seed, same bytes."""
    preprocess: Preprocess = Preprocess()
    reference: Reference = Reference()
    train: Train = Train()
    enhance: Enhance = Enhance()
    evaluate: Evaluate = Evaluate()
    report: Report = Report()


class SampleRow(Section):
    """One line of the samples sheet. Relative paths are relative to the sheet and may hold ${VARIABLES}."""

    sample: Name
    """Id of the sample; names its files."""
    path: Text
    """What the instrument wrote: a folder, or a file (legacy ST counts, .h5ad)."""
    platform: Literal[(AUTO, *PLATFORMS)] = AUTO
    """What wrote it."""
    image: Text | None = None
    """The H&E image, where it does not lie beside the data."""
    mpp: Positive | None = None
    """µm per pixel of the full-resolution image, where the vendor's files do not say."""
    align: Text | None = None
    """How an H&E that was imaged apart lies on the positions: a csv of numbers (focus preprocess --align)."""
    align_from: Literal["image", "positions"] | None = None
    """Which pixels align maps from; image where not given."""
    landmarks: Text | None = None
    """The same places on H&E and positions (csv), in place of align."""
    register_image: bool | None = None
    """true: find how the H&E lies, in place of align."""
    orient: Text | None = None
    """One of the eight orientations by name, in place of align."""
    shift_um: Text | None = None
    """RIGHT,DOWN: shift the positions on the H&E, in µm."""
    bin_um: Positive | None = None
    """Bin side in µm (Visium HD, Stereo-seq), or width of a channel (DBiT-seq)."""
    region: Text | None = None
    """Which section, where a file holds several."""
    table: Text | None = None
    """Which table of a SpatialData store."""
    donor: Text | None = None
    """Who it comes from: samples of one donor never sit on both sides of a split."""
    organ: Text | None = None
    """What the tissue is; a condition of the model."""
    species: Text | None = None
    """A condition of the model."""
    truth: Text | None = None
    """Known expression at the sample's locations (.h5ad): the enhanced file is scored against it."""
    truth_fine: Text | None = None
    """Known expression on a finer grid (.h5ad): the refined file is scored against it."""

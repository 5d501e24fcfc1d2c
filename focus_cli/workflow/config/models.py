"""The configuration of a run and the columns of its samples sheet, as pydantic models.

The JSON schemas that Snakemake validates are made from these classes
(``python -m focus_cli.cli.workflow_steps schemas``), so that there is one description and not two.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from focus_cli.core.platform_names import AUTO, PLATFORMS
from focus_cli.workflow.config.analyses import (
    Annotate,
    CellTypes,
    Domains,
    Embed,
    Export,
    Interactions,
    Outcome,
    Patterns,
    Why,
)
from focus_cli.workflow.config.fields import Name, Positive, Section, Share, Task, Text
from focus_cli.workflow.config.stages import Enhance, Preprocess, Reference, Report, Stage, Train

# Options of a single task; given with another task they are refused.
TASK_OPTIONS: dict[str, str] = {
    "fraction": "denoise",
    "truth_bin_um": "refine",
    "test_fraction": "histology",
}


class Fold(Section):
    """One hold-out: a part of a sample is held out, a model is trained without it, and its prediction is scored."""

    sample: Name | list[Name] = "all"
    """A sample, a list of samples, or all: one fold for each."""
    task: Task
    """What is held out: counts, genes, resolution, or all counts (only the H&E remains)."""
    name: Name | None = None
    """Name of the fold, where one sample has two of the same task; the task's name otherwise."""
    training: Literal["auto", "self", "others", "all"] = "auto"
    """Training data: the visible part of the sample, other samples, or both. Others are training
    samples that share its model, of other donors where the sheet names more than one. auto: self, but others for
    histology. A test sample is always scored with the model that enhances it, which was not trained on it."""
    seed: int | None = Field(None, ge=0)
    """Seed of the hold-out; by default the seed of the run."""
    fraction: Share | None = None
    """denoise: share of the counts that stays visible."""
    n_genes: int | None = Field(None, ge=1)
    """How many genes are scored; impute: how many are candidates, of which half are hidden."""
    truth_bin_um: Positive | None = None
    """refine: side in µm of the bins to be recovered."""
    test_fraction: Share | None = None
    """histology: share of the sample whose counts are held out, in one block; by default all."""

    @model_validator(mode="after")
    def _options_fit_task(self) -> Fold:
        for name, task in TASK_OPTIONS.items():
            if task != self.task and getattr(self, name) is not None:
                raise ValueError(f"{name} belongs to the task {task}, not to {self.task}")
        return self


class Evaluate(Stage):
    """Hold-outs and scores."""

    folds: list[Fold] = Field([])
    """The hold-outs; none: only the model is trained, and only samples with a given truth are scored."""


class RunConfig(Section):
    """The configuration of one run of the workflow."""

    samples: Text = "config/samples.tsv"
    """The samples sheet; relative to the working directory."""
    output: Text = "results"
    """Folder of everything that is written; relative to the working directory."""
    seed: int = Field(0, ge=0)
    """Same seed, same bytes."""
    container: Text | None = None
    """Image for --sdm apptainer: a .sif file, docker:// or oras://; may contain ${VARIABLES}."""
    preprocess: Preprocess = Preprocess()
    reference: Reference = Reference()
    train: Train = Train()
    enhance: Enhance = Enhance()
    evaluate: Evaluate = Evaluate()
    embed: Embed = Embed()
    domains: Domains = Domains()
    celltypes: CellTypes = CellTypes()
    patterns: Patterns = Patterns()
    interactions: Interactions = Interactions()
    annotate: Annotate = Annotate()
    outcome: Outcome = Outcome()
    why: Why = Why()
    export: Export = Export()
    report: Report = Report()


class SampleRow(Section):
    """One line of the samples sheet. Relative paths are relative to the sheet and may contain ${VARIABLES}."""

    sample: Name
    """Id of the sample; names its files."""
    path: Text
    """Raw data: a folder, or a file (legacy ST counts, .h5ad)."""
    platform: Literal[(AUTO, *PLATFORMS)] = AUTO
    """Platform of the raw data."""
    image: Text | None = None
    """The H&E image, if it is not next to the data."""
    mpp: Positive | None = None
    """µm per pixel of the full-resolution image, if the vendor's files do not state it."""
    align: Text | None = None
    """Alignment of a separate H&E image to the positions: a csv matrix (focus preprocess --align)."""
    align_from: Literal["image", "positions"] | None = None
    """Which pixels align maps from; image where not given."""
    landmarks: Text | None = None
    """Matching points of H&E and positions (csv), instead of align."""
    register_image: bool | None = None
    """true: register the H&E, instead of align."""
    orient: Text | None = None
    """Name of one of the eight orientations, instead of align."""
    shift_um: Text | None = None
    """RIGHT,DOWN: shift the positions on the H&E, in µm."""
    bin_um: Positive | None = None
    """Bin side in µm (Visium HD, Stereo-seq), or width of a channel (DBiT-seq)."""
    region: Text | None = None
    """Section to read, if a file holds several."""
    table: Text | None = None
    """Which table of a SpatialData store."""
    counts: Text | None = None
    """platform tables: the table of counts: its name in path, or a path relative to the sheet."""
    positions: Text | None = None
    """platform tables: the table of positions: its name in path, or a path relative to the sheet."""
    xy: Text | None = None
    """platform tables: columns of x and y, X,Y, if their names are not recognised."""
    in_order: bool | None = None
    """true: the positions have no names and are in the order of the counts."""
    reference: Text | None = None
    """An .h5ad of single cells for this sample; the run's reference.path where not given."""
    donor: Text | None = None
    """Donor: samples of one donor are never split between training and test."""
    group: Name | None = None
    """Which samples share a model, where train.scope is group."""
    split: Literal["train", "test"] = "train"
    """test: enhanced and scored, never trained on."""
    organ: Text | None = None
    """Tissue; a condition of the model."""
    species: Text | None = None
    """A condition of the model."""
    truth: Text | None = None
    """Known expression at the sample's locations (.h5ad): the enhanced file is scored against it."""
    truth_fine: Text | None = None
    """Known expression on a finer grid (.h5ad): the refined file is scored against it."""

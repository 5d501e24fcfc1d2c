"""Configuration of the analyses after enhancement; all are off by default."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from focus_cli.workflow.config.fields import Device, Name, Positive, Text
from focus_cli.workflow.config.stages import Stage


class Embed(Stage):
    """Sample + model → representations of locations, neighbourhoods and the whole section."""

    enabled: bool = False
    """true: write OUTPUT/embeddings. Domains, annotations and outcomes make them anyway."""
    mode: Literal["auto", "joint", "expression", "histology"] = "auto"
    """Data to embed: counts and H&E, or one of them; auto: those that a sample has. Samples without an image
    among others with one need expression."""
    samples: int | None = Field(None, ge=1)
    """Posterior draws to keep, on which the confidence of domains rests; none where not given."""
    device: Device = "auto"
    """Where to compute."""
    gpu: int = Field(0, ge=0)
    """GPUs to request from the scheduler for one job."""


class Domains(Stage):
    """Embeddings or enhanced AnnData of all samples of a model → spatial domains that mean the same in each."""

    enabled: bool = False
    """true: write OUTPUT/domains."""
    of: Literal["embeddings", "enhanced"] = "embeddings"
    """Input of the domains. Enhanced expression captures variation within these samples: better without an H&E, under a
    model of other patients."""
    ignore_depth: bool = False
    """Do not use the total counts of a location."""
    n_domains: int | None = Field(None, ge=2)
    """Number of domains; chosen by stability where it is not given."""


class CellTypes(Stage):
    """Enhanced AnnData + reference → proportions of cell types."""

    enabled: bool = False
    """true: write OUTPUT/celltypes of every sample that has a reference."""
    unit: Literal["auto", "spots", "cells"] = "auto"
    """What a location is: a mixture of cells, or one cell; auto: by platform and size."""
    cells_per_location: Positive | None = None
    """Mean number of cells of a location; by default estimated from its area."""
    same_platform: bool = False
    """Samples and reference were measured on the same platform: no gene-specific gains."""
    alone: bool = False
    """Every location for itself: its neighbours are not used."""


class Patterns(Stage):
    """Enhanced AnnData → spatially variable genes and niches."""

    enabled: bool = False
    """true: write OUTPUT/patterns."""


class Interactions(Stage):
    """Enhanced AnnData + pairs → ligands and receptors that meet."""

    pairs: Text | None = None
    """A csv of ligands and receptors (CellChatDB, CellPhoneDB, or columns ligand, receptor); none: no interactions."""


class Annotate(Stage):
    """Embeddings + labels of some locations → annotations of all."""

    labels: Text | None = None
    """A table of sample, location, label: a head is fitted on it for every model."""
    head: Text | None = None
    """An existing head, instead of labels."""
    against_rest: Text | None = None
    """A label to classify against all others."""
    ignore: list[Text] = Field([])
    """Labels whose rows are excluded."""
    leave_out: Literal["donor", "block"] = "donor"
    """Cross-validation: hold out donors, or (for a single donor) blocks of tissue."""

    @model_validator(mode="after")
    def _one_of_both(self) -> Annotate:
        if self.labels is not None and self.head is not None:
            raise ValueError("labels and head contradict each other; give one")
        return self


class Outcome(Stage):
    """Embeddings + clinical table → response or survival from slides."""

    table: Text | None = None
    """A table of sample, donor, covariates and outcome; none: no outcome."""
    response: Name | None = None
    """Column of the table with one of two classes."""
    positive: Text | None = None
    """The class to predict, if the column does not hold 0 and 1."""
    time: Name | None = None
    """Column of the table with the time to event or end of follow-up; with event."""
    event: Name | None = None
    """Column of the table with 1 for an event and 0 for the end of follow-up."""
    covariates: list[Name] = Field([])
    """Columns of the table with clinical covariates."""
    permutations: int | None = Field(None, ge=0)
    """Number of repetitions with permuted outcomes; ten if not given."""

    @model_validator(mode="after")
    def _asks_one_thing(self) -> Outcome:
        if (self.time is None) != (self.event is None):
            raise ValueError("time and event go together")
        if self.table is not None and (self.response is None) == (self.time is None):
            raise ValueError("table needs either response, or time and event")
        return self


class Why(Stage):
    """Sample + model → how much of a gene came from image, neighbours, reference and prior."""

    genes: list[Text] = Field([])
    """Genes to attribute; none: the stage is off."""


class Export(Stage):
    """Enhanced AnnData and its analysis results → files for other programs."""

    to: list[Literal["anndata", "spatialdata", "vitessce"]] = Field([])
    """Formats to write into OUTPUT/exports; none: nothing is written."""

    @model_validator(mode="after")
    def _each_once(self) -> Export:
        if len(set(self.to)) < len(self.to):
            raise ValueError("to names a format twice")
        return self

"""Configuration of a benchmark: sections, references, models and cases in one file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from focus_cli.core.errors import MissingResourceError, UsageError
from focus_cli.core.platform_names import AUTO, PLATFORMS
from focus_cli.core.storage.documents import read_yaml
from focus_cli.model.conditioning import SIGNALS
from focus_cli.workflow.config.models import Name, Positive, Share, Task, Text
from focus_cli.workflow.config.paths import at_key
from focus_cli.workflow.config.variables import input_path

PEERS = ("magic", "scvi", "gimvi", "tangram")
OBSERVED = "observed"
Box = tuple[float, float, float, float]


class _Part(BaseModel):
    """Unknown keys are refused, values never change."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Holdout(_Part):
    """Options of ``focus holdout``."""

    task: Task
    n_genes: int | None = Field(None, ge=1)
    fraction: Share | None = None
    truth_bin_um: Positive | None = None
    test_fraction: float | None = Field(None, gt=0, le=1)
    buffer_um: float | None = Field(None, ge=0)
    region: Box | None = None
    crop: Box | None = None
    reference: Name | None = None
    """impute: hide only genes of this reference; that of the case where it is not given."""


class RawSection(_Part):
    """Raw data of an instrument."""

    path: Text
    platform: Literal[(AUTO, *PLATFORMS)] = AUTO
    image: Text | None = None
    mpp: Positive | None = None
    bin_um: Positive | None = None
    organ: Text | None = None
    species: Text | None = None
    encoder: Text | None = None
    """A learned image encoder in addition to the built-in features, as `focus preprocess --encoder`."""
    encoder_step_um: Positive | None = None
    encoder_mpp: Positive | None = None
    dense: bool = False


class DerivedSection(_Part):
    """The visible part of a hold-out of another section, as a separate section."""

    of: Name
    holdout: Holdout


class ReferenceCells(_Part):
    """Annotated single cells."""

    path: Text
    cell_type: Text | None = None


class Model(_Part):
    """A model that several cases share."""

    train: tuple[Name, ...] = Field(min_length=1)
    reference: Name | None = None


class Floor(_Part):
    """Required difference to each of some methods; methods that did not run are ignored."""

    over: tuple[Name, ...] = Field(min_length=1)
    ratio: Positive | None = None
    """Mean PCC over the other's."""
    points: float | None = Field(None, ge=0)
    """Hundredths of the noise ceiling above the other."""
    likelihood: float | None = Field(None, ge=0)
    """Difference in log-likelihood of held-out counts, per count."""

    @model_validator(mode="after")
    def _one(self) -> Floor:
        if sum(value is not None for value in (self.ratio, self.points, self.likelihood)) != 1:
            raise ValueError("give one of ratio, points, likelihood")
        return self


class Case(_Part):
    """One hold-out and the methods that are run on it."""

    task: Literal["T1", "T2", "T3", "T4", "T5"]
    section: Name
    holdout: Holdout
    train: tuple[Name, ...] = ()
    """Sections that a model of this case learns from; ``observed`` is the visible part of the section itself."""
    model: Name | None = None
    """A shared model instead."""
    reference: Name | None = None
    adapt: int | None = Field(None, ge=1)
    ablate: tuple[Literal[SIGNALS], ...] = ()
    peers: tuple[Literal[PEERS], ...] = ()
    floor: Floor | None = None
    note: str = ""

    @model_validator(mode="after")
    def _one_model(self) -> Case:
        if bool(self.train) == bool(self.model):
            raise ValueError("give train or model")
        return self


class BenchmarkConfig(_Part):
    """A whole benchmark."""

    output: Text = "results/benchmark"
    seed: int = Field(0, ge=0)
    max_steps: int | None = Field(None, ge=1)
    threads: int = Field(1, ge=1)
    sections: dict[Name, RawSection | DerivedSection] = Field(min_length=1)
    references: dict[Name, ReferenceCells] = {}
    models: dict[Name, Model] = {}
    cases: dict[Name, Case] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_known(self) -> BenchmarkConfig:
        def known(name: str | None, among: Mapping[str, Any], where: str) -> None:
            if name is not None and name not in among:
                raise ValueError(f"{where}: no such name {name!r}; there are {', '.join(among) or 'none'}")

        for name, section in self.sections.items():
            if isinstance(section, DerivedSection):
                known(section.of, self.sections, f"sections.{name}.of")
                if isinstance(self.sections[section.of], DerivedSection):
                    raise ValueError(f"sections.{name}.of: {section.of} is derived itself")
        for name, model in self.models.items():
            known(model.reference, self.references, f"models.{name}.reference")
            for section in model.train:
                known(section, self.sections, f"models.{name}.train")
        for name, case in self.cases.items():
            known(case.section, self.sections, f"cases.{name}.section")
            known(case.reference, self.references, f"cases.{name}.reference")
            known(case.model, self.models, f"cases.{name}.model")
            for section in case.train:
                known(section, {**self.sections, OBSERVED: None}, f"cases.{name}.train")
        return self


def check_benchmark(values: Mapping[str, Any], source: str = "config") -> BenchmarkConfig:
    """Check a parsed configuration.

    Raises
    ------
    UsageError
        With every problem in one line.
    """
    try:
        return BenchmarkConfig.model_validate(values)
    except ValidationError as invalid:
        found = []
        for error in invalid.errors():
            where = ".".join(str(part) for part in error["loc"] if part not in ("RawSection", "DerivedSection"))
            found.append(f"{where}: {error['msg'].removeprefix('Value error, ')}".removeprefix(": "))
        raise UsageError(
            f"{source}: " + "; ".join(dict.fromkeys(found)), hint="config/benchmark.yaml is an example"
        ) from None


def load_benchmark(path: Path) -> BenchmarkConfig:
    """Read and check a configuration; the files that it names must be there.

    Raises
    ------
    MissingResourceError, BadInputError, UsageError
        In one line.
    """
    if not Path(path).exists():
        raise MissingResourceError(f"no such config file: {path}", hint="config/benchmark.yaml is an example")
    config = check_benchmark(read_yaml(Path(path)) or {}, str(path))
    for key, name in input_files(config).items():
        if not Path(name).exists():
            raise MissingResourceError(f"{path}: {key}: no such file or folder: {name}", hint="set FOCUS_DATA")
    return config


def input_files(config: BenchmarkConfig) -> dict[str, str]:
    """Every file or folder that a benchmark reads: ``sections.NAME.path`` and such keys → path.

    Raises
    ------
    FocusError
        If a variable is not set, or Snakemake could not take the path as it is written; the key is named.
    """
    named = {}
    for name, section in config.sections.items():
        if isinstance(section, RawSection):
            named[f"sections.{name}.path"] = section.path
            if section.image is not None:
                named[f"sections.{name}.image"] = section.image
    named |= {f"references.{name}.path": reference.path for name, reference in config.references.items()}
    return {key: at_key(key, input_path, text) for key, text in named.items()}

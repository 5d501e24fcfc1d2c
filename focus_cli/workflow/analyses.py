"""Analyses of the enhanced samples of a run: their inputs and output paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

from focus_cli.core.errors import UsageError
from focus_cli.reporting.cohort import SHARED_RULES

# Analysis results of one sample, in the order of a report: name of the stage and of its folder.
OF_A_SAMPLE = ("domains", "celltypes", "patterns", "interactions", "annotations", "attention", "why")
# Stages with one job for all samples of a model, which writes one folder.
_TOGETHER = ("domains", "attention")
# Stages whose rule has another name.
_RULES = {"annotations": "annotate", "attention": "outcome"}

_SUFFIX = {"anndata": "h5ad", "spatialdata": "zarr", "vitessce": "vitessce"}


class Run(Protocol):
    """Attributes of the plan that the analyses use."""

    out: str
    config: Any
    files: dict[str, str]
    samples: dict[str, Any]

    def sample(self, sample: str) -> str: ...
    def enhanced(self, sample: str) -> str: ...
    def model_of(self, sample: str) -> str: ...
    def reference_of(self, sample: str) -> list[str]: ...
    def training_of(self, sample: str) -> tuple[str, ...]: ...


class Analyses:
    """Files derived from enhanced samples; none unless the configuration enables them.

    Parameters
    ----------
    plan
        The run that they belong to.
    model_of
        Sample → name of the model that enhances it. Samples of one model share a space and are analysed together.

    Raises
    ------
    UsageError
        If cell types are enabled and no sample has a reference.
    """

    def __init__(self, plan: Run, model_of: Mapping[str, str]) -> None:
        self._plan, self._model_of, self._config = plan, model_of, plan.config
        if self._config.celltypes.enabled and not any(map(plan.reference_of, plan.samples)):
            raise UsageError(
                "celltypes.enabled is true, but no sample has a reference",
                hint="name one in reference.path or in the sheet",
            )

    # --- paths - ----------------------------------------------------------------------------

    def embedding(self, sample: str) -> str:
        """Representations of a sample."""
        return f"{self._plan.out}/embeddings/{sample}.h5ad"

    def folder(self, stage: str, model: str) -> str:
        """Folder with the analysis results of a stage that works on all samples of a model together."""
        return f"{self._plan.out}/{stage}/{model}"

    def result(self, stage: str, sample: str) -> str:
        """The analysis result of a stage that works on one sample."""
        return f"{self._plan.out}/{stage}/{sample}.h5ad"

    def head(self, stage: str, model: str) -> str:
        """Head fitted on labelled locations (annotations) or on outcomes, for the samples of a model."""
        if stage == "annotations" and self._config.annotate.head:
            return self._plan.files["annotate.head"]
        return f"{self._plan.out}/heads/{stage}/{model}"

    def outcomes(self, model: str) -> str:
        """Outcome scores, one row per sample of a model."""
        return f"{self._plan.out}/outcomes/{model}.tsv"

    def export(self, sample: str, kind: str) -> str:
        """An export: a file, or a folder where the format is one."""
        return f"{self._plan.out}/exports/{sample}.{_SUFFIX[kind]}"

    # --- enabled stages - --------------------------------------------------------------------------

    @cached_property
    def stages(self) -> tuple[str, ...]:
        """Stages of `OF_A_SAMPLE` that the configuration enables."""
        config = self._config
        enabled = {
            "domains": config.domains.enabled,
            "celltypes": config.celltypes.enabled,
            "patterns": config.patterns.enabled,
            "interactions": config.interactions.pairs is not None,
            "annotations": config.annotate.labels is not None or config.annotate.head is not None,
            "attention": config.outcome.table is not None,
            "why": bool(config.why.genes),
        }
        return tuple(stage for stage in OF_A_SAMPLE if enabled[stage])

    @property
    def embedded(self) -> bool:
        """Whether embeddings are made: on request, or because a stage uses them."""
        divided = self.includes("domains") and self._config.domains.of == "embeddings"
        return self._config.embed.enabled or divided or self.includes("annotations", "attention")

    def includes(self, *stages: str) -> bool:
        """Whether one of these stages is enabled."""
        return bool(set(stages) & set(self.stages))

    # --- dependencies - ---------------------------------------------------------------------

    @cached_property
    def cohorts(self) -> dict[str, tuple[str, ...]]:
        """Model → the samples that it enhances, in the order of the sheet."""
        found: dict[str, list[str]] = {}
        for sample in self._plan.samples:
            found.setdefault(self._model_of[sample], []).append(sample)
        return {model: tuple(samples) for model, samples in found.items()}

    def embeddings_of(self, model: str) -> list[str]:
        """Representations of every sample of a model."""
        return [self.embedding(sample) for sample in self.cohorts[model]]

    def divided_into_domains(self, model: str) -> list[str]:
        """Inputs of the domains of a model's samples."""
        if self._config.domains.of == "enhanced":
            return [self._plan.enhanced(sample) for sample in self.cohorts[model]]
        return self.embeddings_of(model)

    def training_embeddings_of(self, model: str) -> list[str]:
        """Embeddings of training samples."""
        return [self.embedding(s) for s in self.cohorts[model] if self._plan.samples[s].split == "train"]

    def tested_with(self, sample: str) -> list[str]:
        """Sample and model, if tests may use the estimate: only if the model was not trained on the sample."""
        if sample in self._plan.training_of(sample):
            return []
        return [self._plan.sample(sample), self._plan.model_of(sample)]

    def celltypes_of(self, sample: str) -> list[str]:
        """Cell types, where the run estimates them for this sample."""
        return [self.result("celltypes", sample)] if "celltypes" in self._stages_of(sample) else []

    def head_of(self, stage: str) -> Callable[[str], str]:
        """Sample → the head that is applied to it."""
        return lambda sample: self.head(stage, self._model_of[sample])

    def of_sample(self, sample: str) -> list[str]:
        """The analysis results of a sample, as a report or an export takes them."""
        return [self._file(stage, sample) for stage in self._stages_of(sample)]

    def made_for(self, sample: str) -> list[str]:
        """Inputs of a job that reads these analysis results: the folder instead of a file within it."""
        return [
            self.folder(stage, self._model_of[sample]) if stage in _TOGETHER else self.result(stage, sample)
            for stage in self._stages_of(sample)
        ]

    def exports_of(self, sample: str) -> list[str]:
        """Every export of a sample."""
        return [self.export(sample, kind) for kind in self._config.export.to]

    def jobs_of(self, sample: str) -> Iterator[tuple[str, str, list[str]]]:
        """Rule, name and outputs of every job that a sample's analysis results need, in their order."""
        model = self._model_of[sample]
        if self.embedded:
            yield "embed", sample, [self.embedding(sample)]
        if self._config.annotate.labels:
            yield "fit_annotations", model, [self.head("annotations", model)]
        if self.includes("attention"):
            yield "fit_outcome", model, [self.head("outcomes", model)]
        for stage, made in zip(self._stages_of(sample), self.made_for(sample)):
            rule = _RULES.get(stage, stage)
            yield rule, model if rule in SHARED_RULES else sample, [made]
        for kind, made in zip(self._config.export.to, self.exports_of(sample)):
            yield f"export_{kind}", sample, [made]

    @property
    def targets(self) -> list[str]:
        """All targets of a run that are derived from enhanced samples."""
        samples = self._plan.samples
        wanted = [path for sample in samples for path in (*self.made_for(sample), *self.exports_of(sample))]
        wanted += [self.embedding(sample) for sample in samples if self._config.embed.enabled]
        wanted += [self.outcomes(model) for model in self.cohorts if self.includes("attention")]
        return list(dict.fromkeys(wanted))

    def _file(self, stage: str, sample: str) -> str:
        if stage in _TOGETHER:
            return f"{self.folder(stage, self._model_of[sample])}/{sample}.h5ad"
        return self.result(stage, sample)

    def _stages_of(self, sample: str) -> list[str]:
        return [stage for stage in self.stages if stage != "celltypes" or self._plan.reference_of(sample)]

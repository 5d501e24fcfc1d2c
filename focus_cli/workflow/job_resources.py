"""Resources of each job: the values of the config, else an estimate from the samples that the job reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from focus_cli.core.errors import FocusError
from focus_cli.core.resources import Needs, Size, needs, sample_size
from focus_cli.core.storage.documents import read_yaml
from focus_cli.core.storage.regular import read_text_bounded
from focus_cli.workflow.config.stages import Stage
from focus_cli.workflow.plan import Plan
from focus_cli.workflow.retries import failures

# Default of the shipped presets, where neither the config nor its settings file states a number.
DEFAULT_STEPS = 1000
_DEFAULT_LAYERS = 4
_needs = cache(needs)  # samples of one size need the same


class JobResources:
    """Memory and time of the jobs of one run. Every size is read once, from headers alone.

    Parameters
    ----------
    plan
        The run.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        config = plan.config
        self._stages: dict[str, Stage] = {
            "preprocess": config.preprocess,
            "reference": config.reference,
            "pack": Stage(),
            "train": config.train,
            "train_fold": config.train,
            "enhance": config.enhance,
            "enhance_fold": config.enhance,
            "refine_fold": config.enhance,
            "hold_out": config.evaluate,
            "score": config.evaluate,
            "score_fold": config.evaluate,
            "report": config.report,
            "embed": config.embed,
            "domains": config.domains,
            "celltypes": config.celltypes,
            "patterns": config.patterns,
            "interactions": config.interactions,
            "fit_annotations": config.annotate,
            "annotate": config.annotate,
            "fit_outcome": config.outcome,
            "outcome": config.outcome,
            "why": config.why,
            "export": config.export,
        }
        self.size_of = cache(self._size_of)
        self.needs_of = cache(self._needs_of)

    def mem_mb(self, stage: str, wildcard: str) -> Callable[..., int]:
        """For Snakemake: memory in MB of the job of a stage, more at every attempt.

        Parameters
        ----------
        stage
            One of those of `focus_cli.core.resources.estimates`, or score_fold.
        wildcard
            Wildcard that names the job's input: a sample, model, fold or reference.
        """
        fixed = self._stages[stage].mem_mb
        return self._growing(lambda name: fixed or self.needs_of(stage, name).mem_mb, stage, wildcard)

    def runtime(self, stage: str, wildcard: str) -> Callable[..., int]:
        """For Snakemake: time limit in minutes of the job of a stage; parameters as for `mem_mb`."""
        fixed = self._stages[stage].runtime
        return self._growing(lambda name: fixed or self.needs_of(stage, name).runtime_min, stage, wildcard)

    def of_all(self, stage: str) -> Callable[..., int]:
        """For Snakemake: memory in MB of a job that takes all samples of the run, more at every attempt."""
        fixed = self._stages[stage].mem_mb

        def requested(wildcards, attempt):
            return (fixed or needs(stage, self._sizes(self.plan.samples)).mem_mb) * attempt

        return requested

    def _growing(self, value: Callable[[str], int], stage: str, wildcard: str) -> Callable[..., int]:
        """A resource for Snakemake: `value` of the wildcard, times the number of failed attempts."""
        logs = f"{self.plan.out}/logs/{stage}"

        def requested(wildcards, attempt):
            name = wildcards[wildcard]
            # A training that was preempted requests the same resources again.
            return value(name) * (attempt if attempt == 1 else failures(f"{logs}/{name}.log", attempt))

        # Snakemake inspects the signature twice for every job, which takes longer than the estimate.
        requested.__signature__ = _SIGNATURE
        return requested

    def _size_of(self, sample: str) -> Size:
        return sample_size(self.plan.samples[sample], stored=self.plan.sample(sample))

    def _sizes(self, samples: Iterable[str]) -> tuple[Size, ...]:
        return tuple(self.size_of(sample) for sample in samples)

    @cached_property
    def _steps(self) -> int:
        """Training steps: of the config, else of its settings file, else the default."""
        train = self.plan.config.train
        if train.max_steps is not None or train.settings is None:
            return train.max_steps or DEFAULT_STEPS
        try:
            return int(read_yaml(Path(self.plan.files["train.settings"]))["max_steps"])
        except (FocusError, ValueError, KeyError, TypeError):
            return DEFAULT_STEPS

    @cached_property
    def _genes(self) -> int | None:
        """Number of genes written where these are not the panel: those of a list, or all genes of the references."""
        genes = self.plan.config.enhance.genes
        if genes == "measured":
            return None
        if genes == "all":
            found = [sample_size(path).genes for path in self.plan.references.values()]
            return max(found, default=None)
        try:
            return len(read_text_bounded(Path(self.plan.files["enhance.genes"])).split())
        except FocusError:
            return None

    def _needs_of(self, stage: str, name: str) -> Needs:
        size, options = self._work(stage, name)
        kind = "score" if stage == "score_fold" else stage
        return _needs(kind, size, threads=self._stages[stage].threads, **options)

    def _work(self, stage: str, name: str) -> tuple[Size | tuple[Size, ...], dict[str, Any]]:
        """Sizes of a job's inputs, and the options of `needs` that affect it."""
        plan, config = self.plan, self.plan.config
        if stage == "reference":
            return sample_size(plan.references[name]), {}
        if stage == "preprocess":
            stage_config = config.preprocess
            return self.size_of(name), {"encoder": stage_config.encoder is not None, "gpu": bool(stage_config.gpu)}
        if stage == "pack":
            return self.size_of(name), {}
        if stage == "train":
            return self._sizes(plan.models[name]), self._training(bool(plan.reference_of_model(name)))
        if stage in ("domains", "fit_annotations", "fit_outcome", "outcome"):
            return self._sizes(plan.analyses.cohorts[name]), {}
        fold = plan.folds.get(name)
        sample = name if fold is None else fold.sample
        size = self.size_of(sample)
        reference = bool(plan.reference_of(name) if fold is None else plan.reference_of_fold(name))
        if stage == "train_fold":
            itself = (size,) if fold.on_itself else ()
            return itself + self._sizes(fold.others), self._training(reference)
        if stage == "enhance":
            return size, self._enhancing(reference, self._genes, config.enhance.resolution_um)
        if stage in ("enhance_fold", "refine_fold"):
            fine = fold.truth_bin_um if stage == "refine_fold" else None
            return size, self._enhancing(reference, fold.fold.n_genes, fine)
        if stage in ("score", "score_fold"):
            training = plan.training_of(sample) if fold is None else fold.others
            return size, {"reference": reference, "training": self._sizes(training)}
        if stage in ("patterns", "interactions"):
            # Without a model and a reference they read counts alone.
            return size, {"reference": reference and bool(plan.analyses.tested_with(name))}
        if stage in ("embed", "why"):
            known = {"reference": reference, "preset": config.train.preset, "gpu": bool(config.embed.gpu)}
            return size, known | {"samples": config.embed.samples or 0}
        return size, {}

    def _training(self, reference: bool) -> dict[str, Any]:
        train = self.plan.config.train
        return {
            "preset": train.preset,
            "steps": self._steps,
            "reference": reference,
            "gpu": bool(train.gpu),
            "corpus": train.corpus,
            "processes": train.processes,
        }

    def _enhancing(self, reference: bool, genes: int | None, resolution_um: float | None) -> dict[str, Any]:
        enhance = self.plan.config.enhance
        return {
            "preset": self.plan.config.train.preset,
            "steps": enhance.adapt or 0,
            "reference": reference,
            "genes": genes,
            "resolution_um": resolution_um,
            "layers": len(enhance.layers.split(",")) if enhance.layers else _DEFAULT_LAYERS,
            "samples": enhance.samples or 0,
            "gpu": bool(enhance.gpu),
        }


_SIGNATURE = inspect.signature(lambda wildcards, attempt: None)

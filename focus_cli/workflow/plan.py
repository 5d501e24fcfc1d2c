"""What a run consists of: which files, which hold-outs, which model learns from which samples.

The rules ask this plan and hold no logic of their own, so that all of it is tested without Snakemake.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from focus_cli.config import Fold, RunConfig, SampleRow, expand
from focus_cli.errors import UsageError
from focus_cli.workflow.shell import flags

DEFAULT_TRUTH_BIN_UM = 16.0


@dataclass(frozen=True)
class FoldPlan:
    """One hold-out of one sample.

    `others` are the samples that the fold's model learns from in full; with `on_itself` it also learns from
    the part of the sample that stays visible.
    """

    id: str
    sample: str
    fold: Fold
    on_itself: bool
    others: tuple[str, ...]

    @property
    def task(self) -> str:
        """What is hidden."""
        return self.fold.task

    @property
    def truth_bin_um(self) -> float:
        """refine: side in µm of the bins to be recovered."""
        return self.fold.truth_bin_um or DEFAULT_TRUTH_BIN_UM

    def options(self) -> str:
        """The task's options as ``focus holdout`` takes them."""
        return flags(
            task=self.task,
            n_genes=self.fold.n_genes,
            fraction=self.fold.fraction,
            truth_bin_um=self.truth_bin_um if self.task == "refine" else None,
            test_fraction=self.fold.test_fraction,
        )


class Plan:
    """The files and dependencies of one run.

    Parameters
    ----------
    config
        The checked configuration.
    samples
        The checked samples sheet.

    Raises
    ------
    UsageError
        If a fold names an unknown sample, two folds have one name, or a fold has nothing to learn from.
    """

    def __init__(self, config: RunConfig, samples: Sequence[SampleRow]) -> None:
        self.config = config
        self.samples = {row.sample: row for row in samples}
        self.out = expand(config.output).rstrip("/")
        self.reference_path = expand(config.reference.path) if config.reference.path else None
        self.folds = {fold.id: fold for fold in self._plan_folds()}

    # --- where things go: one rule owns one of these, and none lies inside another ------------------

    def sample(self, name: str) -> str:
        """The stored sample."""
        return f"{self.out}/samples/{name}"

    @property
    def reference(self) -> list[str]:
        """The reference, if the run has one."""
        return [f"{self.out}/reference"] if self.reference_path else []

    def encoder_options(self) -> str:
        """What ``focus preprocess`` is told of the learned image encoder; nothing without one."""
        stage = self.config.preprocess
        if stage.encoder is None:
            return ""
        store = expand(stage.features_store) if stage.features_store else f"{self.out}/features"
        return flags(
            encoder=expand(stage.encoder),
            encoder_step_um=stage.encoder_step_um,
            encoder_mpp=stage.encoder_mpp,
            features_store=store,
            device=stage.device,
            dense=stage.dense,
        )

    @property
    def encoder_files(self) -> list[str]:
        """The learned image encoder, where it is a folder or a file of the user's and not a name."""
        spec = expand(self.config.preprocess.encoder or "")
        return [spec] if spec and Path(spec).exists() else []

    def model(self, name: str) -> str:
        """A model for the enhanced files."""
        return f"{self.out}/models/{name}"

    def enhanced(self, name: str) -> str:
        """The enhanced AnnData of a sample."""
        return f"{self.out}/enhanced/{name}.h5ad"

    def refined(self, name: str) -> list[str]:
        """The enhanced AnnData on a finer grid, if the run makes one."""
        return [f"{self.out}/refined/{name}.h5ad"] if self.config.enhance.resolution_um else []

    def report(self, name: str) -> str:
        """The report of a sample."""
        return f"{self.out}/reports/{name}.html"

    def scores_of_fold(self, fold: str) -> str:
        """Scores of one hold-out."""
        return f"{self.out}/folds/{fold}/scores"

    @property
    def table(self) -> str:
        """All scores in one table."""
        return f"{self.out}/scores.tsv"

    # --- what follows from what ----------------------------------------------------------------------

    @cached_property
    def models(self) -> dict[str, tuple[str, ...]]:
        """Model → the samples that it learns from."""
        if self.config.train.scope == "all":
            return {"all": tuple(self.samples)}
        return {name: (name,) for name in self.samples}

    def model_of(self, sample: str) -> str:
        """The model that enhances a sample."""
        return self.model("all" if self.config.train.scope == "all" else sample)

    def training_of(self, sample: str) -> tuple[str, ...]:
        """The samples that the model of a sample learns from."""
        return self.models["all" if self.config.train.scope == "all" else sample]

    def scored_file_of(self, fold: str) -> str:
        """What is compared with the truth of a fold."""
        name = "refined" if self.folds[fold].task == "refine" else "enhanced"
        return f"{self.out}/folds/{fold}/{name}.h5ad"

    def training_of_fold(self, fold: str) -> list[str]:
        """The sample folders that a fold's model learns from."""
        plan = self.folds[fold]
        itself = [f"{self.out}/folds/{fold}/observed"] if plan.on_itself else []
        return itself + [self.sample(other) for other in plan.others]

    def scores_of(self, sample: str) -> list[str]:
        """Every folder of scores that belongs to a sample."""
        row = self.samples[sample]
        folders = [self.scores_of_fold(fold.id) for fold in self.folds.values() if fold.sample == sample]
        if row.truth:
            folders.append(f"{self.out}/scores/{sample}.truth")
        if row.truth_fine and self.refined(sample):
            folders.append(f"{self.out}/scores/{sample}.truth_fine")
        return folders

    @property
    def scores(self) -> list[str]:
        """Every folder of scores of the run."""
        return [folder for sample in self.samples for folder in self.scores_of(sample)]

    @property
    def targets(self) -> list[str]:
        """What a whole run makes in the end."""
        wanted = [self.enhanced(s) for s in self.samples] + [self.report(s) for s in self.samples]
        wanted += [path for s in self.samples for path in self.refined(s)]
        return wanted + ([self.table] if self.scores else [])

    # --- hold-outs -----------------------------------------------------------------------------------

    def _plan_folds(self) -> list[FoldPlan]:
        plans: dict[str, FoldPlan] = {}
        for fold in self.config.evaluate.folds:
            named = [fold.sample] if isinstance(fold.sample, str) else fold.sample
            for sample in self.samples if "all" in named else named:
                if sample not in self.samples:
                    raise UsageError(
                        f"evaluate.folds: {fold.task} asks for sample {sample}, which is not in the sheet",
                        hint=f"samples: {', '.join(self.samples)}",
                    )
                plan = self._plan_fold(fold, sample)
                if plan.id in plans:
                    raise UsageError(f"evaluate.folds: two folds are called {plan.id}", hint="give one of them a name")
                plans[plan.id] = plan
        return list(plans.values())

    def _plan_fold(self, fold: Fold, sample: str) -> FoldPlan:
        training = fold.training
        others = self._others(sample)
        if training == "auto":
            whole = fold.task == "histology" and fold.test_fraction is None
            training = "others" if whole else "self"
        on_itself = training in ("self", "all")
        if training == "self":
            others = ()
        nothing_of_itself = fold.task == "histology" and fold.test_fraction is None
        if not others and (nothing_of_itself or not on_itself):
            raise UsageError(
                f"evaluate.folds: {fold.task} on {sample} has nothing to learn from: no other sample",
                hint="set test_fraction, so that a part of the sample stays visible"
                if fold.task == "histology"
                else "set training: self",
            )
        return FoldPlan(
            id=f"{sample}.{fold.name or fold.task}",
            sample=sample,
            fold=fold,
            on_itself=on_itself and not nothing_of_itself,
            others=others,
        )

    def _others(self, sample: str) -> tuple[str, ...]:
        """The other samples; where donors are told apart, only those of other donors."""
        donors = {row.donor for row in self.samples.values()}
        mine = self.samples[sample].donor
        apart = len(donors) > 1
        return tuple(name for name, row in self.samples.items() if name != sample and not (apart and row.donor == mine))

"""What a run consists of: which files, and which of them follow from which.

The rules use this plan and hold no logic, so that all of it is tested without Snakemake.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from focus_cli.workflow.analyses import Analyses
from focus_cli.workflow.config import (
    RunConfig,
    SampleRow,
    container_image,
    expand,
    input_files,
    load_samples,
    output_folder,
)
from focus_cli.workflow.holdouts import FoldPlan, plan_folds
from focus_cli.workflow.shell import flags
from focus_cli.workflow.training_plan import ModelPlan, agreed, model_names, name_references, plan_models


def make_plan(config: RunConfig, *, check_paths: bool = False) -> Plan:
    """The plan of a configuration: its sheet is read and checked as a whole.

    Parameters
    ----------
    config
        The checked configuration.
    check_paths
        Also look whether the files that the sheet names are there.

    Raises
    ------
    FocusError
        With every problem of the sheet at once, or why the run cannot be planned.
    """
    return Plan(config, load_samples(expand(config.samples), check_paths=check_paths))


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
        If a path cannot be given to Snakemake as it is written, a model or a fold has nothing to learn from, a fold
        names an unknown sample, two folds have one name, the samples of a model do not agree on a reference, or cell
        types are requested without one.
    """

    def __init__(self, config: RunConfig, samples: Sequence[SampleRow]) -> None:
        self.config = config
        self.samples = {row.sample: row for row in samples}
        self.out = output_folder(config)
        # What the configuration names, by key: reference.path, train.settings, …
        self.files = input_files(config)
        self.container = container_image(config)
        self.reference_path = self.files.get("reference.path")
        self._model_of = model_names(config, self.samples)
        self.model_plans: dict[str, ModelPlan] = plan_models(config, self.samples, self._model_of, self.reference_path)
        self.models = {name: plan.samples for name, plan in self.model_plans.items()}
        self.folds: dict[str, FoldPlan] = plan_folds(config, self.samples, self._model_of, self.models)
        self._folds_of: dict[str, list[str]] = {}
        for fold in self.folds.values():
            self._folds_of.setdefault(fold.sample, []).append(fold.id)
        self.analyses = Analyses(self, self._model_of)

    # --- where things go: one rule owns one of these, and none lies inside another ------------------

    def sample(self, name: str) -> str:
        """The stored sample."""
        return f"{self.out}/samples/{name}"

    def corpus(self, name: str) -> str:
        """A sample packed for streaming, where train.corpus requests it."""
        return f"{self.out}/corpora/{name}"

    def reference(self, name: str) -> str:
        """A harmonised reference."""
        return f"{self.out}/references/{name}"

    def encoder_options(self) -> str:
        """Options of ``focus preprocess`` for the learned image encoder; empty without one."""
        stage = self.config.preprocess
        if stage.encoder is None:
            return ""
        store = expand(stage.features_store) if stage.features_store else f"{self.out}/features"
        return flags(
            encoder=self.files.get("preprocess.encoder") or expand(stage.encoder),
            encoder_step_um=stage.encoder_step_um,
            encoder_mpp=stage.encoder_mpp,
            features_store=store,
            device=stage.device,
            dense=stage.dense,
        )

    @property
    def encoder_files(self) -> list[str]:
        """The learned image encoder, where it is a folder or a file of the user's and not a name."""
        return [self.files[key] for key in ("preprocess.encoder",) if key in self.files]

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

    @property
    def report_of_all(self) -> str:
        """The report of all samples on one page, where report.together requests it."""
        return f"{self.out}/report.html"

    def fold_file(self, fold: str, name: str) -> str:
        """A file or folder of one hold-out."""
        return f"{self.out}/folds/{fold}/{name}"

    @property
    def table(self) -> str:
        """All scores in one table."""
        return f"{self.out}/scores.tsv"

    # --- references ----------------------------------------------------------------------------------

    @cached_property
    def _reference_names(self) -> dict[str, str]:
        return name_references([self.reference_path, *(row.reference for row in self.samples.values())])

    @property
    def references(self) -> dict[str, str]:
        """Name of each harmonised reference → the file of single cells that it is made of."""
        return {name: path for path, name in self._reference_names.items()}

    def _made_of(self, path: str | None) -> list[str]:
        return [self.reference(self._reference_names[path])] if path else []

    def reference_of_model(self, model: str) -> list[str]:
        """The harmonised reference that a model learns from, if it has one."""
        return self._made_of(self.model_plans[model].reference)

    def reference_of(self, sample: str) -> list[str]:
        """The harmonised reference of a sample: its own, the run's, or that of the model that enhances it."""
        own = self.samples[sample].reference or self.reference_path
        return self._made_of(own or self.model_plans[self._model_of[sample]].reference)

    def reference_of_fold(self, fold: str) -> list[str]:
        """The harmonised reference of a hold-out: that on which its samples agree, else the run's or the sample's."""
        plan = self.folds[fold]
        if not plan.own_model:
            return self.reference_of(plan.sample)
        learnt_from = [*([plan.sample] if plan.on_itself else []), *plan.others]
        one = agreed(self.samples[name].reference or self.reference_path for name in learnt_from)
        return self._made_of(one or self.reference_path) or self.reference_of(plan.sample)

    # --- what follows from what ----------------------------------------------------------------------

    def model_of(self, sample: str) -> str:
        """The model that enhances a sample."""
        return self.model(self._model_of[sample])

    def training_of(self, sample: str) -> tuple[str, ...]:
        """The samples that the model of a sample learns from."""
        return self.models[self._model_of[sample]]

    def learnt_from(self, samples: Sequence[str]) -> list[str]:
        """What ``focus train`` reads of samples: their folders, or the corpora that they are packed into."""
        return [self.corpus(name) if self.config.train.corpus else self.sample(name) for name in samples]

    def model_of_fold(self, fold: str) -> str:
        """The model that a hold-out is enhanced by: its own, but for a test sample that of the run."""
        plan = self.folds[fold]
        return self.fold_file(fold, "model") if plan.own_model else self.model_of(plan.sample)

    def scored_file_of(self, fold: str) -> str:
        """What is compared with the truth of a fold."""
        return self.fold_file(fold, "refined.h5ad" if self.folds[fold].task == "refine" else "enhanced.h5ad")

    def training_of_fold(self, fold: str) -> list[str]:
        """The sample folders that a fold's model learns from."""
        return self._itself(fold) + [self.sample(other) for other in self.folds[fold].others]

    def learnt_from_by_fold(self, fold: str) -> list[str]:
        """What ``focus train`` reads for a fold's model."""
        return self._itself(fold) + self.learnt_from(self.folds[fold].others)

    def _itself(self, fold: str) -> list[str]:
        return [self.fold_file(fold, "observed")] if self.folds[fold].on_itself else []

    def scores_of_fold(self, fold: str) -> str:
        """Scores of one hold-out."""
        return self.fold_file(fold, "scores")

    def folds_of(self, sample: str) -> list[str]:
        """The hold-outs of a sample."""
        return self._folds_of.get(sample, [])

    def scores_of(self, sample: str) -> list[str]:
        """Every folder of scores that belongs to a sample."""
        row = self.samples[sample]
        folders = [self.scores_of_fold(fold) for fold in self.folds_of(sample)]
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
        wanted += self.analyses.targets
        wanted += [self.report_of_all] if self.config.report.together else []
        return wanted + ([self.table] if self.scores else [])

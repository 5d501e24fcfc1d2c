"""The hold-outs of a run: held-out parts of samples, and the training data of their models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from focus_cli.core.errors import UsageError
from focus_cli.workflow.config import Fold, RunConfig, SampleRow
from focus_cli.workflow.shell import flags
from focus_cli.workflow.training_plan import TEST

DEFAULT_TRUTH_BIN_UM = 16.0


@dataclass(frozen=True)
class FoldPlan:
    """One hold-out of one sample.

    `others` are the samples that the fold's model learns from in full; with `on_itself` it also learns from
    the part of the sample that stays visible. A test sample has no separate model: it is enhanced by the model of
    the run, which was not trained on it.
    """

    id: str
    sample: str
    fold: Fold
    on_itself: bool
    others: tuple[str, ...]
    own_model: bool = True

    @property
    def task(self) -> str:
        """Task: what is held out."""
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


def plan_folds(
    config: RunConfig,
    samples: Mapping[str, SampleRow],
    names: Mapping[str, str],
    training: Mapping[str, tuple[str, ...]],
) -> dict[str, FoldPlan]:
    """Every hold-out by its id, SAMPLE.NAME.

    Parameters
    ----------
    names
        Sample → model.
    training
        Model → the samples that it learns from.

    Raises
    ------
    UsageError
        If a fold names an unknown sample, two folds have one name, or a fold has nothing to learn from.
    """
    plans: dict[str, FoldPlan] = {}
    apart = len({row.donor for row in samples.values()}) > 1
    for fold in config.evaluate.folds:
        named = [fold.sample] if isinstance(fold.sample, str) else fold.sample
        for sample in samples if "all" in named else named:
            if sample not in samples:
                raise UsageError(
                    f"evaluate.folds: {fold.task} uses sample {sample}, which is not in the sheet",
                    hint=f"samples: {', '.join(samples)}",
                )
            # A model of one sample shares no training data: all others are then training samples.
            alone = config.train.scope == "self"
            pool = tuple(n for n in samples if samples[n].split != TEST) if alone else training[names[sample]]
            plan = _plan_fold(fold, sample, samples, pool, apart)
            if plan.id in plans:
                raise UsageError(f"evaluate.folds: two folds are called {plan.id}", hint="give one of them a name")
            plans[plan.id] = plan
    return plans


def _plan_fold(
    fold: Fold, sample: str, samples: Mapping[str, SampleRow], pool: tuple[str, ...], apart: bool
) -> FoldPlan:
    """Training samples of `pool`; with `apart`, without those of the sample's donor."""
    name = f"{sample}.{fold.name or fold.task}"
    if samples[sample].split == TEST:
        if fold.training in ("self", "all"):
            raise UsageError(
                f"evaluate.folds: {fold.task} on {sample} has training: {fold.training}, but it is split test",
                hint="remove training, or list the training samples in the fold",
            )
        return FoldPlan(name, sample, fold, on_itself=False, others=pool, own_model=False)
    nothing_of_itself = fold.task == "histology" and fold.test_fraction is None
    training = fold.training
    if training == "auto":
        training = "others" if nothing_of_itself else "self"
    on_itself = training in ("self", "all")
    others: tuple[str, ...] = ()
    if training != "self":
        mine = samples[sample].donor
        others = tuple(n for n in pool if n != sample and not (apart and samples[n].donor == mine))
    if not others and (nothing_of_itself or not on_itself):
        raise UsageError(
            f"evaluate.folds: {fold.task} on {sample} has nothing to learn from: no other sample",
            hint="set test_fraction, so that a part of the sample stays visible"
            if fold.task == "histology"
            else "set training: self",
        )
    return FoldPlan(name, sample, fold, on_itself and not nothing_of_itself, others)

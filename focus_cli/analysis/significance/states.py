"""The state of every location, inferred with the tested gene hidden.

The panel is dealt into folds. For each fold the sample is inferred anew with the fold's genes hidden: from the other
genes, the H&E, the neighbours and the cell states of a reference. A gene's own counts are then new to the state that
it is tested against, whatever the model does with what it is shown. (Testing a gene on an estimate that has seen its
counts uses them twice: Kriegeskorte et al. 2009, doi:10.1038/nn.2303.)
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from focus_cli.analysis.significance.pvalues import cauchy_combination
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.provenance import bytes_of, describe_path
from focus_cli.core.random import stream

if TYPE_CHECKING:
    from focus_cli.enhancement import Inputs

MIN_SHOWN_GENES = 20
TRAINED_ON = "The model was trained on this sample and may have learnt its chance patterns: p is of counts alone."


@dataclass(frozen=True)
class MadeOf:
    """What an enhanced file was made of, as ``focus enhance`` takes it; nothing of it: counts alone are used.

    Raises
    ------
    UsageError
        If there is a sample and no model, a model and no sample, or a reference without both.
    """

    sample: Path | None = None
    model: Path | None = None
    reference: Path | None = None

    def __post_init__(self) -> None:
        if (self.sample is None) != (self.model is None):
            raise UsageError("--sample and --model go together", hint="give both, or neither to test counts alone")
        if self.reference is not None and self.sample is None:
            raise UsageError("--reference goes with --sample and --model", hint="give all, or none")

    def open(self) -> Inputs | None:
        """Open the folders before anything is tested; None where no sample is given.

        Raises
        ------
        FocusError
            Naming the folder that does not exist or cannot be opened.
        """
        if self.sample is None or self.model is None:
            return None
        from focus_cli.enhancement import Inputs  # imported here: tests of counts alone need no PyTorch

        return Inputs.open(self.sample, self.model, self.reference)


@dataclass(frozen=True)
class HiddenGeneStates:
    """States of locations without the genes of a fold.

    Attributes
    ----------
    fold
        Fold of each requested gene, int64 (G,); −1: the sample does not hold it.
    states
        float32 (folds, n, K): posterior means, standardised by the prior.
    trained_on
        Whether the model was trained on this very sample.
    """

    fold: np.ndarray
    states: np.ndarray
    trained_on: bool = False


def combined(counts: np.ndarray, estimates: np.ndarray | None, hidden: HiddenGeneStates | None) -> np.ndarray:
    """Combined p-values of both tests, float64 (n,); of the counts alone where the sample was trained on."""
    if hidden is None or hidden.trained_on:
        return counts
    return cauchy_combination(np.column_stack([counts, estimates]))


def facts_of(hidden: HiddenGeneStates | None) -> dict[str, Any]:
    """Record of the tests for an analysis result."""
    return {
        "tests": "counts and estimates" if hidden is not None else "counts",
        "model_trained_on_sample": hidden is not None and hidden.trained_on,
    }


def warnings_of(hidden: HiddenGeneStates | None) -> list[str]:
    """What a reader of the tests has to be warned of."""
    return [TRAINED_ON] if hidden is not None and hidden.trained_on else []


def deal(names: np.ndarray, folds: int, seed: int) -> np.ndarray:
    """Fold of each gene, int64; it depends on the names and the seed, not on the order."""
    order = np.argsort(names, kind="stable")
    dealt = np.empty(len(names), np.int64)
    dealt[order] = stream(seed, "patterns/hidden genes").permutation(len(names)) % folds
    return dealt


def infer_hidden(
    inputs: Inputs | None,
    locations: np.ndarray,
    genes: np.ndarray,
    *,
    folds: int,
    seed: int = 0,
    device: str = "auto",
) -> HiddenGeneStates | None:
    """Infer a stored sample once for each fold of genes, with these genes hidden; None where no sample is given.

    Parameters
    ----------
    inputs
        Sample, model and reference, of `MadeOf.open`.
    locations, genes
        Names whose states and folds are requested.

    Raises
    ------
    BadInputError
        If the sample lacks a location, or is too small a panel to hide a fold of.
    """
    if inputs is None:
        return None
    sample = inputs.stored.path
    rows = pd.Index(inputs.data.obs_names).get_indexer(pd.Index(locations))
    if (rows < 0).any():
        raise BadInputError(
            f"{sample} lacks {int((rows < 0).sum()):,} of the {len(rows):,} locations "
            f"(the first is {locations[np.flatnonzero(rows < 0)[0]]})",
            hint="give the sample that the enhanced file was made of",
        )
    data = inputs.shown()
    section = inputs.section(data, seed=seed, device=device)
    prior = section.prior
    known = prior.loadings[section.panel_rows].any(axis=1)
    if known.sum() * (1 - 1 / folds) < MIN_SHOWN_GENES:
        raise BadInputError(
            f"the model contains {int(known.sum())} genes of {sample}: with a fold hidden fewer than "
            f"{MIN_SHOWN_GENES} would be left",
            hint="leave out --model: counts are tested without it",
        )
    dealt = deal(data.names, folds, seed)
    states = np.empty((folds, len(rows), prior.n_factors), np.float32)
    for fold in range(folds):
        shown = dealt != fold
        counts = data.counts.copy()
        counts.data = counts.data * shown[counts.indices].astype(np.float32)
        counts.eliminate_zeros()
        label = f"hiding fold {fold + 1} of {folds}"
        latents = section.infer(section.view(counts, shown), data.xy_um, label, footprint=section.area, n_spread=0)
        states[fold] = latents.mean[rows]
    column = pd.Index(data.names).get_indexer(pd.Index(genes))
    facts = inputs.model.info
    trained_on = data.info.sample_id in map(str, facts.get("samples", ())) or _hashed(sample, facts)
    return HiddenGeneStates(np.where(column >= 0, dealt[column], -1), states, trained_on)


def _hashed(sample: Path, info: dict) -> bool:
    """Whether the content of a sample is among what a model was trained on, under whatever name."""
    inputs = info.get("provenance", {}).get("inputs", {})
    size = bytes_of(sample)  # a folder of another size need not be read
    known = {t.get("sha256") for t in inputs.values() if isinstance(t, dict) and t.get("bytes", size) == size}
    return bool(known) and describe_path(sample)["sha256"] in known

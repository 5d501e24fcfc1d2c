"""The simulated study under its model, opened for attribution."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

GENES = 8  # of each kind that are asked about


@dataclass(frozen=True)
class Opened:
    """One section, its model and reference, and what is asked of them."""

    stored: object
    model: object
    reference: object
    genes: tuple[str, ...]
    locations: tuple[str, ...]


@pytest.fixture(scope="session")
def opened(enhanced_study) -> Opened:
    import anndata

    from focus_cli.core.storage import open_sample
    from focus_cli.genes.reference import open_reference
    from focus_cli.model.training import load_model

    enhanced = anndata.read_h5ad(enhanced_study.enhanced["S1"], backed="r")
    measured = enhanced.var["measured"].to_numpy()
    names = enhanced.var_names.to_numpy(str)
    genes = (*names[measured][:GENES], *names[~measured][:GENES])
    return Opened(
        open_sample(enhanced_study.samples["S1"]),
        load_model(enhanced_study.model),
        open_reference(enhanced_study.reference),
        genes,
        tuple(enhanced.obs_names[[3, 70]]),
    )


@pytest.fixture(scope="session")
def explained(opened):
    """Some genes of the section taken apart, two locations in detail."""
    from focus_cli.enhancement.attribution.stage import WhyOptions, explain

    options = WhyOptions(genes=opened.genes, locations=opened.locations, device="cpu")
    return explain(opened.stored, opened.model, opened.reference, options)


def changed(model, change):
    """The model with weights that `change` (of a copy of its network) has altered."""
    net = copy.deepcopy(model.net)
    with torch.no_grad():
        change(net)
    return replace(model, net=net)


def network_alone(opened, model) -> dict[str, np.ndarray]:
    """Parts of the estimates of the network alone: nothing is fitted to the section beside it."""
    from focus_cli.enhancement.attribution.estimate import Estimate
    from focus_cli.enhancement.attribution.game import shapley
    from focus_cli.enhancement.inference import EnhanceOptions, Inference

    class Unfitted(Inference):
        def _holdout_calibration(self):
            return None

    run = Unfitted(opened.stored, model, opened.reference, EnhanceOptions(device="cpu"))
    parts = shapley(Estimate(run).values(np.arange(len(run.data.xy_um))))
    return parts | {"measured": run.genes.measured}

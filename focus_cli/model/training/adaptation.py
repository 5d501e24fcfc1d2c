"""Adapting a trained model to one more sample: a few self-supervised steps on it."""

from __future__ import annotations

import copy
import json

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import print_message
from focus_cli.model.conditioning import SampleData
from focus_cli.model.conditioning.conditions import state_latents
from focus_cli.model.priors.transfer import extend_prior
from focus_cli.model.training.checkpoint import TrainedModel
from focus_cli.model.training.config import TrainingConfig
from focus_cli.model.training.fitting import MIN_LOCATIONS
from focus_cli.model.training.loop import make_optimiser, run_loop
from focus_cli.model.training.source import ViewSource
from focus_cli.model.training.views import ViewMaker

RATE = 0.3  # of the training's peak learning rate


def adapt(
    model: TrainedModel, data: SampleData, steps: int, *, reference=None, seed: int = 0, device: str = "cpu"
) -> TrainedModel:
    """Continue the training of a model on one sample alone; the model given is left as it is.

    The masks are those of training, so nothing is learnt by copying. Gene vectors are not refitted: genes of the
    panel that the model does not know get the reference's vector, or none.

    Parameters
    ----------
    model
        As loaded; its image features must be those of `data`.
    data
        The sample, with counts.
    steps
        Optimisation steps, at 0.3 of the training's learning rate.
    reference
        `focus_cli.genes.reference.Reference`, or None.
    seed
        Of views, masks and noise.

    Raises
    ------
    BadInputError
        If fewer than four locations hold counts.
    FocusError
        If the loss stops being a number.
    """
    n_locations = int((data.exposure > 0).sum())
    if n_locations < MIN_LOCATIONS:
        raise BadInputError(f"{n_locations} locations with counts are too few to adapt to", hint="leave out --adapt")
    trained = TrainingConfig(**model.info.get("training", {}))
    settings = {"max_steps": steps, "learning_rate": RATE * trained.learning_rate}
    settings |= {"views_per_step": 1, "precision": "float32"}  # one process, most often on a CPU
    config = trained.model_copy(update=settings)
    prior = extend_prior(model.prior, data.genes, data.panel_share(), reference)
    maker = ViewMaker(data, prior, state_latents(reference, prior), config, model.net.config.labels)
    net = copy.deepcopy(model.net).to(device).train()
    log = run_loop(net, make_optimiser(net, config), ViewSource.of([maker]), config, seed, label="adapting")
    print_message(f"adapted to {data.info.sample_id}: {steps} steps on {n_locations:,} locations")
    return TrainedModel(net.to("cpu").eval(), prior, model.image, {**model.info, "adapted": _summary(log)})


def _summary(log: str) -> str:
    """Steps and the loss at both ends, as JSON."""
    rows = np.array([line.split(",") for line in log.splitlines()[1:]], float)
    return json.dumps({"steps": int(rows[-1, 0]), "loss_first": rows[0, -1], "loss_last": rows[-1, -1]})

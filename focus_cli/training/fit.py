"""From samples to a model: what is fitted in closed form, then the loop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from focus_cli.conditioning import SampleData
from focus_cli.conditioning.familiarity import fit_familiarity
from focus_cli.conditioning.image_space import ImageSpace, fit_axes
from focus_cli.conditioning.labels import vocabulary
from focus_cli.conditioning.states import state_latents
from focus_cli.errors import BadInputError
from focus_cli.genes import common_names
from focus_cli.models import FocusNet, ModelConfig
from focus_cli.priors import SpatialPrior, fit_prior
from focus_cli.priors.transfer import MIN_SHARED_GENES, extend_prior
from focus_cli.progress import say
from focus_cli.training.checkpoint import TrainedModel, checkpoint_path, load_state
from focus_cli.training.config import TrainingConfig
from focus_cli.training.image_map import fit_depth_map, fit_image_map
from focus_cli.training.loop import START, make_optimiser, run_loop
from focus_cli.training.views import ViewMaker

MIN_LOCATIONS = 4


def _image_space(samples: Sequence[SampleData], seed: int) -> tuple[ImageSpace, list[SampleData]]:
    """The image features that the samples share, and the samples on their axes."""
    seen = [s for s in samples if s.raster is not None]
    named = {tuple(s.raster.names) for s in seen}
    if len(named) > 1:
        raise BadInputError(
            "the samples were preprocessed with different image features",
            hint="preprocess them again with one version of FOCUS and one --encoder",
        )
    if not seen:
        return ImageSpace(), list(samples)
    image = ImageSpace(named.pop(), seen[0].raster.encoder, fit_axes(seen))
    samples = [s if s.raster is None else image.see(s) for s in samples]
    met = fit_familiarity([s for s in samples if s.raster is not None], seed)
    return replace(image, familiarity=met), samples


def _run_key(samples, model: ModelConfig, config: TrainingConfig, seed: int, prior: SpatialPrior, states) -> str:
    """Digest of everything that a run's weights depend on."""
    described = [samples_key(s) for s in samples], model.model_dump(), config.model_dump(), seed
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    digest.update("\n".join(prior.genes).encode())
    for array in (prior.loadings, prior.reference_loadings, states):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def samples_key(sample: SampleData) -> str:
    """Content hash of a sample's counts and positions."""
    digest = hashlib.sha256(sample.info.sample_id.encode())
    arrays = (sample.counts.data, sample.counts.indices, sample.counts.indptr, sample.xy_um)
    for array in (*arrays, sample.feature_mean, sample.feature_sd):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def fit(
    samples: Sequence[SampleData],
    preset: ModelConfig,
    config: TrainingConfig,
    *,
    reference=None,
    prior: SpatialPrior | None = None,
    seed: int = 0,
    device: str = "cpu",
    out: Path | None = None,
    resume: bool = False,
) -> tuple[TrainedModel, str]:
    """Train a model by self-supervision on one or many samples.

    Parameters
    ----------
    samples
        In memory; locations without molecules are not trained on.
    preset
        Sizes of the network.
    reference
        `focus_cli.reference.Reference`, or None.
    prior
        One fitted before, which is given the samples' genes; by default one is fitted on the samples.
    seed
        Of weights, views, masks and noise; the same seed gives the same model.
    out
        Where the model will be written; its unfinished state is kept beside it.
    resume
        Continue from that state, to the result of an unbroken run.

    Returns
    -------
    The model, and its log as CSV.

    Raises
    ------
    BadInputError
        If no location has molecules, or the samples do not fit together.
    FocusError
        If the loss stops being a number; the last good state is kept.
    """
    usable = [s for s in samples if (s.exposure > 0).any()]
    if not usable:
        raise BadInputError("no location of the samples has a molecule: there is nothing to train on")
    n_locations = sum(int((s.exposure > 0).sum()) for s in usable)
    if n_locations < MIN_LOCATIONS:
        raise BadInputError(
            f"{n_locations} locations with molecules are too few to train on",
            hint=f"give at least {MIN_LOCATIONS}",
        )
    image, usable = _image_space(usable, seed)
    usable = _under_common_names(usable, prior)
    if prior is None:
        prior = fit_prior([_for_prior(s) for s in usable], preset.max_factors, reference=reference, seed=seed)
    else:
        prior = _with_panels(prior, usable, reference)
    states = state_latents(reference, prior)
    say(
        f"training: {len(usable)} samples, {n_locations} locations, "
        f"{len(prior.genes)} genes ({int(prior.measured.sum())} measured), {prior.n_factors} factors, "
        f"{len(states)} cell states, {len(image.names)} image features"
        + (f" on {image.n_features} axes" if image.axes is not None else "")
    )
    torch.manual_seed(seed)
    found = {"n_features": image.n_features, "n_factors": prior.n_factors}
    model = preset.model_copy(update={**found, "labels": vocabulary(s.info for s in usable)})
    net = FocusNet(model)
    trained_on = [_with_features(s, image.n_features) for s in usable]
    weight, bias = fit_image_map(trained_on, prior)
    depth_weight, level = fit_depth_map(trained_on)
    net.start_from((torch.from_numpy(weight), torch.from_numpy(bias)), (torch.from_numpy(depth_weight), level))
    net.to(device)
    optimiser = make_optimiser(net, config)
    makers = [ViewMaker(s, prior, states, config, model.labels) for s in trained_on]
    key = _run_key(usable, model, config, seed, prior, states)
    state = START
    state_dir = checkpoint_path(out) if out is not None else None
    if resume and state_dir is not None and state_dir.exists():
        state = load_state(state_dir, net, optimiser, key)
        say(f"training: continuing at step {state[0]}")
    net.train()
    log = run_loop(net, optimiser, makers, config, seed, state=state, state_dir=state_dir, key=key)
    net.to("cpu").eval()
    return TrainedModel(net, prior, image, _describe(usable, prior, states, config, seed)), log


def _under_common_names(samples: Sequence[SampleData], prior: SpatialPrior | None) -> list[SampleData]:
    """The samples with their genes called alike: as the prior calls them, else as the first sample that has them."""
    first = [] if prior is None else [prior.var]
    tables = common_names([*first, *(s.genes for s in samples)])[len(first) :]
    return [s if table is s.genes else replace(s, genes=table) for s, table in zip(samples, tables)]


def _with_panels(prior: SpatialPrior, samples: Sequence[SampleData], reference) -> SpatialPrior:
    known = prior.genes[(prior.loadings != 0).any(axis=1)]
    for sample in samples:
        shared = int(np.isin(sample.names, known).sum())
        if shared < min(MIN_SHARED_GENES, len(sample.names)):
            raise BadInputError(
                f"the prior shares {shared} genes with {sample.info.sample_id}",
                hint="use a prior of the same species and the same kind of gene names",
            )
        prior = extend_prior(prior, sample.genes, sample.panel_share(), reference)
    return prior


def _for_prior(sample: SampleData):
    kept = sample.exposure > 0
    return sample.genes, sample.counts[kept], sample.xy_um[kept], sample.info.footprint.pitch_um


def _with_features(sample: SampleData, n_features: int) -> SampleData:
    if sample.n_features == n_features:
        return sample
    from focus_cli.conditioning.sample import without_image

    return without_image(sample, n_features)


def describe_measurements(samples: Sequence[SampleData]) -> list[dict[str, Any]]:
    """What measured the samples, each kind once, that of most locations first: platform and footprint."""
    kinds: dict[str, int] = {}
    for s in samples:
        kind = json.dumps({"platform": asdict(s.info.platform), "footprint": asdict(s.info.footprint)}, sort_keys=True)
        kinds[kind] = kinds.get(kind, 0) + len(s.xy_um)
    return [json.loads(kind) for kind, _ in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))]


def _describe(samples, prior: SpatialPrior, states, config: TrainingConfig, seed: int) -> dict[str, Any]:
    return {
        "samples": [s.info.sample_id for s in samples],
        "platforms": sorted({s.info.platform.name for s in samples}),
        "measurements": describe_measurements(samples),
        "n_locations": int(sum((s.exposure > 0).sum() for s in samples)),
        "n_genes": len(prior.genes),
        "n_measured": int(prior.measured.sum()),
        "n_states": len(states),
        "training": config.model_dump(mode="json"),
        "seed": seed,
    }

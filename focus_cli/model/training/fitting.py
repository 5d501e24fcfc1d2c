"""From samples to a model: what is fitted in closed form, then the loop."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from focus_cli.core.distributed.processes import Processes
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import print_message
from focus_cli.genes import common_names
from focus_cli.model.conditioning import LoadedOneByOne, SampleData, SampleHandle
from focus_cli.model.conditioning.conditions import state_latents, vocabulary
from focus_cli.model.conditioning.image_space import ImageSpace, fit_axes
from focus_cli.model.conditioning.ood import fit_ood_reference
from focus_cli.model.conditioning.sample import without_image
from focus_cli.model.network import FocusNet, ModelConfig
from focus_cli.model.priors import PriorSection, SpatialPrior, fit_prior
from focus_cli.model.priors.transfer import MIN_SHARED_GENES, extend_prior
from focus_cli.model.training.checkpoint import TrainedModel, checkpoint_path, load_state
from focus_cli.model.training.config import MEANS, TrainingConfig
from focus_cli.model.training.image_map import fit_maps
from focus_cli.model.training.loop import START, make_optimiser, run_loop
from focus_cli.model.training.source import ViewSource
from focus_cli.model.training.views import ViewMaker

MIN_LOCATIONS = 4


def _image_space(samples: Sequence[SampleHandle], seed: int) -> ImageSpace:
    """The image features that the samples share, on which axes, and what tissue they show."""
    seen = [s for s in samples if s.image_names is not None]
    named = {tuple(s.image_names) for s in seen}
    if len(named) > 1:
        raise BadInputError(
            "the samples were preprocessed with different image features",
            hint="preprocess them again with one version of FOCUS and one --encoder",
        )
    if not seen:
        return ImageSpace()
    image = ImageSpace(named.pop(), seen[0].encoder, fit_axes(LoadedOneByOne(seen)))
    return replace(image, ood_reference=fit_ood_reference(LoadedOneByOne(seen, lambda _, data: image.see(data)), seed))


def _run_key(samples, model: ModelConfig, config: TrainingConfig, seed: int, prior: SpatialPrior, states) -> str:
    """Digest of everything that a run's weights depend on."""
    described = [s.content for s in samples], model.model_dump(), config.model_dump(exclude=MEANS), seed
    digest = hashlib.sha256(json.dumps(described, sort_keys=True, default=str).encode())
    digest.update("\n".join(prior.genes).encode())
    for array in (prior.loadings, prior.reference_loadings, states):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def fit(
    samples: Sequence[SampleHandle],
    preset: ModelConfig,
    config: TrainingConfig,
    *,
    reference=None,
    prior: SpatialPrior | None = None,
    seed: int = 0,
    device: str = "cpu",
    out: Path | None = None,
    resume: bool = False,
    or_anew: bool = False,
    processes: Processes | None = None,
) -> tuple[TrainedModel, str]:
    """Train a model by self-supervision on one or many samples.

    Parameters
    ----------
    samples
        In memory (`SampleData`) or not: those of a corpus are read one at a time, to the same result. Locations without
        counts are not trained on.
    preset
        Sizes of the network.
    reference
        `focus_cli.genes.reference.Reference`, or None.
    prior
        One fitted before, which is given the samples' genes; by default one is fitted on the samples.
    seed
        Of weights, views, masks and noise; the same seed gives the same model.
    out
        Where the model will be written; its unfinished state is kept beside it.
    resume
        Continue from that state, to the result of an unbroken run.
    or_anew
        Begin anew where that state belongs to another training, in place of refusing.
    processes
        Those that train together; each is given the same samples. The first fits what is fitted in closed form.

    Returns
    -------
    The model, and its log as CSV.

    Raises
    ------
    BadInputError
        If no location has counts, or the samples do not fit together.
    FocusError
        If the loss stops being a number; the last good state is kept.
    Preempted
        If a signal requested a stop; the state is kept.
    """
    processes = processes or Processes(device=device)
    usable = [s for s in samples if s.n_measured]
    if not usable:
        raise BadInputError("no location of the samples has counts: there is nothing to train on")
    n_locations = sum(s.n_measured for s in usable)
    if n_locations < MIN_LOCATIONS:
        raise BadInputError(
            f"{n_locations} locations with counts are too few to train on",
            hint=f"give at least {MIN_LOCATIONS}",
        )
    image = processes.from_first(lambda: _image_space(usable, seed))
    tables = _common_tables(usable, prior)
    if prior is None:
        sections = [_for_prior(s, table) for s, table in zip(usable, tables)]
        prior = processes.from_first(lambda: fit_prior(sections, preset.max_factors, reference=reference, seed=seed))
    else:
        prior = _with_panels(prior, usable, tables, reference)
    states = state_latents(reference, prior)
    print_message(
        f"training: {len(usable)} samples, {n_locations} locations, "
        f"{len(prior.genes)} genes ({int(prior.measured.sum())} measured), {prior.n_factors} factors, "
        f"{len(states)} cell states, {len(image.names)} image features"
        + (f" on {image.n_features} axes" if image.axes is not None else "")
    )
    torch.manual_seed(seed)
    found = {"n_features": image.n_features, "n_factors": prior.n_factors}
    model = preset.model_copy(update={**found, "labels": vocabulary(s.info for s in usable)})
    net = FocusNet(model)
    ready = LoadedOneByOne(usable, lambda i, data: _prepared(data, tables[i], image))
    net.start_from(processes.from_first(lambda: fit_maps(ready, prior, seed)))
    net.to(device)
    optimiser = make_optimiser(net, config)
    n_measured = [s.n_measured for s in usable]
    source = ViewSource(n_measured, lambda i: ViewMaker(ready[i], prior, states, config, model.labels))
    key = _run_key(usable, model, config, seed, prior, states)
    state = START
    state_dir = checkpoint_path(out) if out is not None else None
    if resume and state_dir is not None and state_dir.exists():
        try:
            state = load_state(state_dir, net, optimiser, key)
        except BadInputError as error:
            if not or_anew:
                raise
            print_message(f"training: {error.message}: beginning anew")
        else:
            print_message(f"training: continuing at step {state[0]}")
    net.train()
    log = run_loop(net, optimiser, source, config, seed, processes=processes, state=state, state_dir=state_dir, key=key)
    net.to("cpu").eval()
    return TrainedModel(net, prior, image, _describe(usable, prior, states, config, seed)), log


def _common_tables(samples: Sequence[SampleHandle], prior: SpatialPrior | None) -> list[pd.DataFrame]:
    """The samples' genes, called alike: as the prior calls them, else as the first sample that has them."""
    first = [] if prior is None else [prior.var]
    # Samples that share a table share what is made of it.
    panels = list({id(s.genes): s.genes for s in samples}.values())
    named = common_names([*first, *panels])[len(first) :]
    by_panel = {id(panel): table for panel, table in zip(panels, named)}
    return [by_panel[id(s.genes)] for s in samples]


def _with_panels(
    prior: SpatialPrior, samples: Sequence[SampleHandle], tables: Sequence[pd.DataFrame], reference
) -> SpatialPrior:
    known = prior.genes[(prior.loadings != 0).any(axis=1)]
    done: set[int] = set()
    for sample, table in zip(samples, tables):
        if id(table) in done:
            continue  # its genes are in the prior by now
        done.add(id(table))
        names = table.index.to_numpy(str)
        shared = int(np.isin(names, known).sum())
        if shared < min(MIN_SHARED_GENES, len(names)):
            raise BadInputError(
                f"the prior shares {shared} genes with {sample.info.sample_id}",
                hint="use a prior of the same species and the same kind of gene names",
            )
        prior = extend_prior(prior, table, sample.load().panel_share(), reference)
    return prior


def _for_prior(sample: SampleHandle, table: pd.DataFrame) -> PriorSection:
    def read():
        data = sample.load()
        kept = data.exposure > 0
        return data.counts[kept], data.xy_um[kept]

    return PriorSection(
        table, sample.info.footprint.pitch_um, sample.n_values, read, lambda: sample.load().counts.sum(axis=0)
    )


def _prepared(data: SampleData, table: pd.DataFrame, image: ImageSpace) -> SampleData:
    """A sample as the network sees it: its genes called as in the prior, its image on the model's axes."""
    data = data if data.genes is table else replace(data, genes=table)
    if data.raster is not None:
        return image.see(data)
    return data if data.n_features == image.n_features else without_image(data, image.n_features)


def describe_measurements(samples: Sequence[SampleHandle]) -> list[dict[str, Any]]:
    """What measured the samples, each kind once, that of most locations first: platform and footprint."""
    kinds: dict[str, int] = {}
    for s in samples:
        kind = json.dumps({"platform": asdict(s.info.platform), "footprint": asdict(s.info.footprint)}, sort_keys=True)
        kinds[kind] = kinds.get(kind, 0) + s.info.n_locations
    return [json.loads(kind) for kind, _ in sorted(kinds.items(), key=lambda item: (-item[1], item[0]))]


def _describe(samples, prior: SpatialPrior, states, config: TrainingConfig, seed: int) -> dict[str, Any]:
    return {
        "samples": [s.info.sample_id for s in samples],
        "platforms": sorted({s.info.platform.name for s in samples}),
        "measurements": describe_measurements(samples),
        "n_locations": sum(s.n_measured for s in samples),
        "n_genes": len(prior.genes),
        "n_measured": int(prior.measured.sum()),
        "n_states": len(states),
        "training": config.model_dump(mode="json", exclude=MEANS),
        "seed": seed,
    }

"""The stage behind ``focus train``: sample folders and corpora → model folder."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from focus_cli.core import provenance
from focus_cli.core.device import choose_device
from focus_cli.core.distributed.processes import started_processes
from focus_cli.core.distributed.stop import stop_on_signal
from focus_cli.core.errors import UsageError
from focus_cli.core.progress import print_message
from focus_cli.core.resources import check_memory, sample_size
from focus_cli.core.storage import check_output, is_sample
from focus_cli.core.storage.kinds import MODEL, STATE
from focus_cli.genes import gene_table_inputs
from focus_cli.genes.reference import Reference, open_reference
from focus_cli.model.corpus import TrainingSample, open_training_samples
from focus_cli.model.network import PRESETS
from focus_cli.model.priors import SpatialPrior, read_prior
from focus_cli.model.training.checkpoint import TrainedModel, checkpoint_path, load_model, save_model
from focus_cli.model.training.config import MEANS, TrainingConfig, load_training_config, share_of_views
from focus_cli.model.training.fitting import fit


@dataclass(frozen=True)
class _Ready:
    """What a training starts from: everything that could be refused was looked at, and no sample was read whole."""

    settings: TrainingConfig
    device: str
    samples: list[TrainingSample]
    reference: Reference | None
    prior: SpatialPrior | None


def check_training(
    samples: list[Path],
    out: Path,
    *,
    reference: Path | None = None,
    prior: Path | None = None,
    preset: str = "nano",
    config: Path | None = None,
    max_steps: int | None = None,
    device: str = "auto",
    overwrite: bool = False,
    processes: int = 1,
) -> _Ready:
    """Refuse everything that can be refused before any sample is read whole.

    Raises
    ------
    FocusError
        Of the kind that fits; see `focus_cli.core.errors`.
    """
    read = [*samples, reference, prior, config]
    check_output(out, MODEL, inputs=read, overwrite=overwrite)
    check_output(checkpoint_path(out), STATE, inputs=read, overwrite=True)
    settings = load_training_config(config, max_steps=max_steps)
    settings = settings.model_copy(update={"views_per_step": processes * share_of_views(settings, processes)})
    where = choose_device(device)
    stored = open_training_samples(samples)
    ids = [s.info.sample_id for s in stored]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise UsageError(f"sample {twice!r} was given twice", hint="give each sample once")
    opened = open_reference(reference) if reference is not None else None
    # What a corpus streams is bounded by itself; sample folders are held whole.
    if whole := [sample_size(path) for path in samples if is_sample(path)]:
        check_memory(
            "train", whole, "stream the samples from disk (focus corpus)", preset=preset, reference=opened is not None
        )
    return _Ready(settings, where, stored, opened, read_prior(prior) if prior is not None else None)


def train(
    samples: list[Path],
    out: Path,
    *,
    reference: Path | None = None,
    prior: Path | None = None,
    preset: str = "nano",
    config: Path | None = None,
    max_steps: int | None = None,
    device: str = "auto",
    seed: int = 0,
    resume: bool = False,
    or_anew: bool = False,
    overwrite: bool = False,
) -> TrainedModel:
    """Train on stored samples or corpora of them and write the model.

    Where torchrun has started several processes, they train together and the first one writes. With ``resume`` an
    unfinished training is resumed; one of other samples or settings is refused, or with ``or_anew`` replaced.

    Raises
    ------
    FocusError
        Of the kind that fits; see `focus_cli.core.errors`.
    Preempted
        If SIGTERM or SIGUSR1 requested a stop: the state is saved for ``resume``.
    """
    world = int(os.environ.get("WORLD_SIZE", "1"))
    ready = check_training(
        samples,
        out,
        reference=reference,
        prior=prior,
        preset=preset,
        config=config,
        max_steps=max_steps,
        device=device,
        overwrite=overwrite,
        processes=world,
    )
    with stop_on_signal(), started_processes(ready.device) as processes, processes.only_first_speaks():
        model, log = fit(
            [s.open() for s in ready.samples],
            PRESETS[preset],
            ready.settings,
            reference=ready.reference,
            prior=ready.prior,
            seed=seed,
            device=processes.device,
            out=out,
            resume=resume,
            or_anew=or_anew,
            processes=processes,
        )
        if processes.first:
            settings = {"preset": preset, **ready.settings.model_dump(mode="json", exclude=MEANS)}
            model.info["preset"] = preset
            record = provenance.describe_run("train", settings, _inputs(reference, prior), seed)
            record["inputs"] |= {f"sample:{s.info.sample_id}": s.described() for s in ready.samples}
            model.info["provenance"] = record
            save_model(out, model, log, overwrite=overwrite)
            if (state := checkpoint_path(out)).exists():
                shutil.rmtree(state)
            print_message(f"training: done → {out}")
            model = load_model(out)
        processes.wait()
    return model


def _inputs(reference: Path | None, prior: Path | None) -> dict[str, Path]:
    """What the model was made from besides samples, by what it is."""
    given = {"reference": reference, "prior": prior}
    return gene_table_inputs() | {role: Path(path) for role, path in given.items() if path is not None}

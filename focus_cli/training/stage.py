"""The stage behind ``focus train``: sample folders → model folder."""

from __future__ import annotations

import shutil
from pathlib import Path

from focus_cli import provenance
from focus_cli.conditioning import load_sample_data
from focus_cli.errors import UsageError
from focus_cli.genes import gene_table_inputs
from focus_cli.models import PRESETS
from focus_cli.models.device import choose_device
from focus_cli.priors import read_prior
from focus_cli.progress import say
from focus_cli.reference import open_reference
from focus_cli.store import open_sample, refuse_existing
from focus_cli.training.checkpoint import TrainedModel, checkpoint_path, load_model, save_model
from focus_cli.training.config import load_training_config
from focus_cli.training.fit import fit


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
    overwrite: bool = False,
) -> TrainedModel:
    """Train on stored samples and write the model.

    Everything that can be refused is refused before any sample is read whole.

    Raises
    ------
    FocusError
        Of the kind that fits; see `focus_cli.errors`.
    """
    refuse_existing(out, overwrite)
    settings = load_training_config(config, max_steps=max_steps)
    where = choose_device(device)
    stored = [open_sample(path) for path in samples]
    ids = [s.info.sample_id for s in stored]
    if len(set(ids)) < len(ids):
        twice = next(i for i in ids if ids.count(i) > 1)
        raise UsageError(f"sample {twice!r} was given twice", hint="give each sample once")
    opened = open_reference(reference) if reference is not None else None
    given = read_prior(prior) if prior is not None else None
    data = [load_sample_data(s) for s in stored]
    model, log = fit(
        data,
        PRESETS[preset],
        settings,
        reference=opened,
        prior=given,
        seed=seed,
        device=where,
        out=out,
        resume=resume,
    )
    inputs = {f"sample:{s.info.sample_id}": s.path for s in stored} | gene_table_inputs()
    if reference is not None:
        inputs["reference"] = Path(reference)
    if prior is not None:
        inputs["prior"] = Path(prior)
    model.info["preset"] = preset
    model.info["provenance"] = provenance.describe_run(
        "train", {"preset": preset, **settings.model_dump(mode="json")}, inputs, seed
    )
    save_model(out, model, log, overwrite=overwrite)
    if (state := checkpoint_path(out)).exists():
        shutil.rmtree(state)
    say(f"training: done → {out}")
    return load_model(out)

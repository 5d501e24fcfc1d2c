"""Training: it learns, it repeats itself to the byte, and an interruption changes nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from model.training.reading import loss_on_fixed_views, rows, weights
from model.training.tiny_cohort import TINY_NET, TINY_TRAINING, cells, grow, store_tissue, write_cells
from safetensors.torch import load_file

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.storage import open_sample
from focus_cli.genes.reference import build_reference
from focus_cli.model.conditioning import load_sample_data
from focus_cli.model.training import fit
from focus_cli.model.training import loop as training_loop
from focus_cli.model.training.checkpoint import checkpoint_path
from focus_cli.model.training.stage import train


class Interrupted(Exception):
    """Stands for a killed job."""


def interrupt_after(monkeypatch, steps: int) -> None:
    """Let `steps` steps pass and then fail, as a killed job would."""
    original, taken = training_loop.compute_losses, []

    def counted(*arguments):
        if len(taken) == steps:
            raise Interrupted
        taken.append(1)
        return original(*arguments)

    monkeypatch.setattr(training_loop, "compute_losses", counted)


@pytest.fixture(scope="module")
def learned(data):
    """A model that has learnt for longer, and its log."""
    return fit([data], TINY_NET, TINY_TRAINING.model_copy(update={"max_steps": 100, "batch_points": 672}))


def test_the_loss_falls(data, learned):
    untrained = fit([data], TINY_NET, TINY_TRAINING.model_copy(update={"max_steps": 1, "learning_rate": 1e-12}))[0]
    assert loss_on_fixed_views(data, learned[0]) < loss_on_fixed_views(data, untrained) - 0.05


def test_the_log_is_complete(learned):
    log = rows(learned[1])
    assert [int(row["step"]) for row in log] == [20, 40, 60, 80, 100]
    assert set(log[0]) == {"step", "learning_rate", "prior", "counts", "flow", "total"}
    assert all(np.isfinite(float(value)) for row in log for value in row.values())


def test_the_same_seed_gives_the_same_weights(data):
    first, again, other = (fit([data], TINY_NET, TINY_TRAINING, seed=s)[0] for s in (1, 1, 2))
    assert weights(first) == weights(again)
    assert weights(first) != weights(other)


@pytest.mark.parametrize("stop", [7, 11])
def test_resuming_equals_an_unbroken_run(sample, settings, model, tmp_path, monkeypatch, stop):
    out = tmp_path / "model"
    with monkeypatch.context() as patched:
        interrupt_after(patched, stop)
        with pytest.raises(Interrupted):
            train([sample], out, config=settings, device="cpu", seed=3)
    assert not out.exists() and checkpoint_path(out).is_dir()
    with monkeypatch.context() as patched:
        interrupt_after(patched, 12 - stop // 5 * 5)  # no more steps than are left after the checkpoint
        train([sample], out, config=settings, device="cpu", seed=3, resume=True)
    for name in (keys.WEIGHTS, keys.MODEL_JSON, keys.PRIOR_JSON):
        assert (out / name).read_bytes() == (model / name).read_bytes(), name
    assert not checkpoint_path(out).exists()


def test_the_log_of_a_resumed_run_is_that_of_an_unbroken_one(data, tmp_path, monkeypatch):
    config = TINY_TRAINING.model_copy(update={"max_steps": 30})  # a row at 20, checkpoints at 15 and 25
    unbroken = fit([data], TINY_NET, config)[1]
    with monkeypatch.context() as patched:
        interrupt_after(patched, 17)
        with pytest.raises(Interrupted):
            fit([data], TINY_NET, config, out=tmp_path / "model")
    assert fit([data], TINY_NET, config, out=tmp_path / "model", resume=True)[1] == unbroken


def test_a_loss_that_is_not_a_number_stops_the_training_and_keeps_the_last_good_state(data, tmp_path, monkeypatch):
    honest, calls = training_loop.compute_losses, []

    def spoilt(*args):
        calls.append(1)
        losses = honest(*args)
        return replace(losses, total=losses.total * float("nan")) if len(calls) == 8 else losses

    monkeypatch.setattr(training_loop, "compute_losses", spoilt)
    with pytest.raises(FocusError, match="not a number at step 7") as refusal:
        fit([data], TINY_NET, TINY_TRAINING, out=tmp_path / "model")
    assert "learning_rate" in refusal.value.hint and str(checkpoint_path(tmp_path / "model")) in refusal.value.hint
    assert not (tmp_path / "model").exists()
    kept = load_file(checkpoint_path(tmp_path / "model") / "state.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in kept.values())


def test_a_state_of_other_settings_is_not_continued(data, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt_after(patched, 7)
        with pytest.raises(Interrupted):
            fit([data], TINY_NET, TINY_TRAINING, out=tmp_path / "model")
    for config, seed in ((TINY_TRAINING.model_copy(update={"learning_rate": 1e-4}), 0), (TINY_TRAINING, 1)):
        with pytest.raises(BadInputError, match="other samples or settings") as refused:
            fit([data], TINY_NET, config, seed=seed, out=tmp_path / "model", resume=True)
        assert "--resume" in refused.value.hint
        anew = fit([data], TINY_NET, config, seed=seed, out=tmp_path / "model", resume=True, or_anew=True)[0]
        assert weights(anew) == weights(fit([data], TINY_NET, config, seed=seed)[0])


def test_a_state_of_another_reference_is_not_continued(data, tmp_path, monkeypatch):
    first, second = (
        build_reference(write_cells(tmp_path / f"{s}.h5ad", seed=s), tmp_path / f"r{s}", n_states=4) for s in (5, 6)
    )
    with monkeypatch.context() as patched:
        interrupt_after(patched, 7)
        with pytest.raises(Interrupted):
            fit([data], TINY_NET, TINY_TRAINING, reference=first, out=tmp_path / "model")
    with pytest.raises(BadInputError, match="other"):
        fit([data], TINY_NET, TINY_TRAINING, reference=second, out=tmp_path / "model", resume=True)


@pytest.mark.parametrize("damage", ["truncated", "no-json", "no-key"])
def test_a_damaged_state_is_refused(data, tmp_path, monkeypatch, damage):
    with monkeypatch.context() as patched:
        interrupt_after(patched, 7)
        with pytest.raises(Interrupted):
            fit([data], TINY_NET, TINY_TRAINING, out=tmp_path / "model")
    state = checkpoint_path(tmp_path / "model")
    if damage == "truncated":
        (state / "state.safetensors").write_bytes((state / "state.safetensors").read_bytes()[:100])
    elif damage == "no-json":
        (state / "state.json").write_text("{")
    else:
        (state / "state.json").write_text("{}")
    with pytest.raises(BadInputError, match="damaged"):
        fit([data], TINY_NET, TINY_TRAINING, out=tmp_path / "model", resume=True)


def test_resuming_without_a_state_starts_at_the_beginning(data, tmp_path):
    resumed = fit([data], TINY_NET, TINY_TRAINING, out=tmp_path / "model", resume=True)[0]
    assert weights(resumed) == weights(fit([data], TINY_NET, TINY_TRAINING)[0])


def test_a_loss_that_is_no_number_stops_and_names_the_step(data, tmp_path, monkeypatch):
    original, taken = training_loop.compute_losses, []

    def broken(*arguments):
        losses = original(*arguments)
        taken.append(1)
        if len(taken) < 7:
            return losses
        return type(losses)(losses.prior, losses.counts, losses.flow, losses.total * float("nan"))

    monkeypatch.setattr(training_loop, "compute_losses", broken)
    with pytest.raises(FocusError, match="step 6"):
        fit([data], TINY_NET, TINY_TRAINING, out=tmp_path / "model")
    state = load_file(checkpoint_path(tmp_path / "model") / "state.safetensors")
    assert all(torch.isfinite(tensor).all() for tensor in state.values())


def test_a_state_holds_no_pickle(data, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 7)
    with pytest.raises(Interrupted):
        fit([data], TINY_NET, TINY_TRAINING, out=tmp_path / "model")
    state = checkpoint_path(tmp_path / "model")
    assert {p.suffix for p in state.iterdir()} == {".safetensors", ".json"}


def test_an_existing_output_is_refused_before_work(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(OutputExistsError):
        train([tmp_path / "nowhere"], tmp_path / "model")


def test_a_sample_given_twice_is_refused(sample, tmp_path):
    with pytest.raises(UsageError, match="S1"):
        train([sample, sample], tmp_path / "model", device="cpu")


def test_a_folder_that_is_no_sample_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingResourceError, match=r"sample\.json"):
        train([tmp_path / "empty"], tmp_path / "model", device="cpu")


def test_a_sample_without_molecules_is_refused(tmp_path):
    tissue = grow(side=4)
    empty = store_tissue(tmp_path / "S0", tissue, counts=0 * tissue.counts, image=False)
    with pytest.raises(BadInputError, match="nothing to train on"):
        train([empty], tmp_path / "model", device="cpu")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize("n_filled", [1, 3])
def test_a_handful_of_locations_trains_or_is_refused(tmp_path, n_filled):
    tissue = grow(side=4)
    counts = tissue.counts.toarray()
    counts[n_filled:] = 0
    few = load_sample_data(open_sample(store_tissue(tmp_path / "S0", tissue, counts=counts, image=False)))
    config = TINY_TRAINING.model_copy(update={"max_steps": 3})
    try:
        trained = fit([few], TINY_NET, config)[0]
    except BadInputError:
        return
    assert all(torch.isfinite(p).all() for p in trained.net.parameters())


def test_a_reference_named_by_ids_fits_samples_that_have_ids(data, tmp_path):
    """Names differ, ids agree: the sample's var holds both, so nothing has to be guessed."""
    adata = cells()
    adata.var_names = [f"ENSG{j:011d}" for j in range(adata.n_vars)]  # the ids that the sample's genes have
    adata.write_h5ad(tmp_path / "cells.h5ad")
    reference = build_reference(tmp_path / "cells.h5ad", tmp_path / "reference", n_states=4)
    trained = fit([data], TINY_NET, TINY_TRAINING.model_copy(update={"max_steps": 1}), reference=reference)[0]
    assert trained.prior.in_reference[trained.prior.rows(data.names)].all()


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_trains_and_resumes(data, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt_after(patched, 7)
        with pytest.raises(Interrupted):
            fit([data], TINY_NET, TINY_TRAINING, device="cuda", out=tmp_path / "model")
    trained = fit([data], TINY_NET, TINY_TRAINING, device="cuda", out=tmp_path / "model", resume=True)[0]
    assert all(p.device.type == "cpu" and torch.isfinite(p).all() for p in trained.net.parameters())


def test_samples_with_and_without_an_image_train_together(data, tmp_path):
    plain = load_sample_data(
        open_sample(store_tissue(tmp_path / "S2", grow(seed=1, side=8), image=False, sample_id="S2"))
    )
    trained = fit([data, plain], TINY_NET, TINY_TRAINING)[0]
    assert trained.net.config.n_features == 3
    assert trained.info["samples"] == ["S1", "S2"]


def test_the_image_is_read_where_no_molecule_is_seen(data, learned):
    """The image shows the first factor; what the network reads off it alone must follow that factor."""
    trained, tissue = learned[0], grow()
    with torch.no_grad():
        latent = trained.net.image_latent(torch.from_numpy(data.features(data.xy_um))).numpy()
    deviation = latent @ trained.prior.loadings[trained.prior.rows(tissue.names)].T
    for gene in np.flatnonzero(tissue.loadings[:, 0]):
        pattern = tissue.factors[:, 0] * tissue.loadings[gene, 0]
        assert np.corrcoef(deviation[:, gene], pattern)[0, 1] > 0.8


def test_two_threads_repeat_the_same_bytes(data):
    """Gradients of gathered rows are added up in an order that does not depend on the threads."""
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        first, second = (fit([data], TINY_NET, TINY_TRAINING.model_copy(update={"max_steps": 12})) for _ in range(2))
    finally:
        torch.set_num_threads(threads)
    for name, value in first[0].net.state_dict().items():
        assert torch.equal(value, second[0].net.state_dict()[name]), name
    assert not torch.are_deterministic_algorithms_enabled()

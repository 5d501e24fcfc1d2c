"""Training: it learns, it repeats itself to the byte, and an interruption changes nothing."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from training.tiny_cohort import TINY_NET, TINY_TRAINING, grow, store_tissue, write_cells

from focus_cli import keys
from focus_cli.conditioning import load_sample_data
from focus_cli.errors import (
    BadInputError,
    FocusError,
    MissingResourceError,
    OutputExistsError,
    UsageError,
)
from focus_cli.reference import build_reference
from focus_cli.store import open_sample
from focus_cli.training import fit, is_model, load_model
from focus_cli.training import loop as training_loop
from focus_cli.training.checkpoint import checkpoint_path, model_tensors, save_model
from focus_cli.training.stage import train


class Interrupted(Exception):
    """Stands for a killed job."""


@pytest.fixture(scope="module")
def sample(tmp_path_factory):
    return store_tissue(tmp_path_factory.mktemp("training") / "S1", grow())


@pytest.fixture(scope="module")
def data(sample):
    return load_sample_data(open_sample(sample))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(yaml.safe_dump(TINY_TRAINING.model_dump(mode="json")))
    return path


@pytest.fixture(scope="module")
def model(sample, settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("model") / "model"
    train([sample], out, config=settings, device="cpu", seed=3)
    return out


def rows(log: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(log)))


def weights(model) -> dict[str, bytes]:
    return {name: tensor.numpy().tobytes() for name, tensor in model_tensors(model.net, model.prior).items()}


def interrupt_after(monkeypatch, steps: int) -> None:
    """Let `steps` steps pass and then fail, as a killed job would."""
    original, taken = training_loop.compute_losses, []

    def counted(*arguments):
        if len(taken) == steps:
            raise Interrupted
        taken.append(1)
        return original(*arguments)

    monkeypatch.setattr(training_loop, "compute_losses", counted)


def test_the_loss_falls(data):
    config = TINY_TRAINING.model_copy(update={"max_steps": 80, "batch_locations": 64})
    log = rows(fit([data], TINY_NET, config)[1])
    assert [int(row["step"]) for row in log] == [20, 40, 60, 80]
    assert float(log[-1]["total"]) < float(log[0]["total"])
    assert float(log[-1]["counts"]) < 0  # per molecule, better than the gene's mean
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


def test_a_state_of_other_settings_is_not_continued(data, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        interrupt_after(patched, 7)
        with pytest.raises(Interrupted):
            fit([data], TINY_NET, TINY_TRAINING, out=tmp_path / "model")
    for config, seed in ((TINY_TRAINING.model_copy(update={"learning_rate": 1e-4}), 0), (TINY_TRAINING, 1)):
        with pytest.raises(BadInputError, match="other samples or settings") as refused:
            fit([data], TINY_NET, config, seed=seed, out=tmp_path / "model", resume=True)
        assert "--resume" in refused.value.hint


def test_a_state_of_another_reference_is_not_continued(data, tmp_path, monkeypatch):
    first, second = (
        build_reference(write_cells(tmp_path / f"{s}.h5ad", seed=s), tmp_path / f"r{s}", n_states=4) for s in (5, 6)
    )
    with monkeypatch.context() as patched:
        interrupt_after(patched, 7)
        with pytest.raises(Interrupted):
            fit([data], TINY_NET, TINY_TRAINING, reference=first, out=tmp_path / "model")
    with pytest.raises(BadInputError, match="another|other"):
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


def test_a_model_holds_no_pickle(model):
    assert {p.name for p in model.iterdir()} == {
        keys.WEIGHTS,
        keys.MODEL_JSON,
        keys.PRIOR_JSON,
        keys.TRAINING_LOG,
    }
    load_file(model / keys.WEIGHTS)
    described = json.loads((model / keys.MODEL_JSON).read_text())
    assert described["preset"] == "nano" and described["seed"] == 3
    assert described["training"]["max_steps"] == TINY_TRAINING.max_steps
    assert described["provenance"]["inputs"]["sample:S1"]["sha256"]
    assert rows((model / keys.TRAINING_LOG).read_text())[-1]["step"] == str(TINY_TRAINING.max_steps)


def test_a_state_holds_no_pickle(data, tmp_path, monkeypatch):
    interrupt_after(monkeypatch, 7)
    with pytest.raises(Interrupted):
        fit([data], TINY_NET, TINY_TRAINING, out=tmp_path / "model")
    state = checkpoint_path(tmp_path / "model")
    assert {p.suffix for p in state.iterdir()} == {".safetensors", ".json"}


def test_a_model_comes_back_as_it_was(data, tmp_path):
    trained, log = fit([data], TINY_NET, TINY_TRAINING)
    save_model(tmp_path / "model", trained, log)
    back = load_model(tmp_path / "model")
    assert weights(back) == weights(trained)
    assert back.net.config == trained.net.config and not back.net.training
    assert back.prior.genes.tolist() == trained.prior.genes.tolist()
    assert back.feature_names == ["first", "opposite", "noise"]


def copy_model(model, tmp_path):
    target = tmp_path / "copy"
    target.mkdir()
    for file in model.iterdir():
        (target / file.name).write_bytes(file.read_bytes())
    return target


def damage_weights(path):
    path.write_bytes(path.read_bytes()[:-50])


def drop_tensor(path):
    tensors = load_file(path)
    del tensors["net.out.1.weight"]
    save_file(tensors, path)


def drop_prior(path):
    tensors = load_file(path)
    del tensors["prior.loadings"]
    save_file(tensors, path)


def drop_entry(name):
    def edit(path):
        described = json.loads(path.read_text())
        del described[name]
        path.write_text(json.dumps(described))

    return edit


@pytest.mark.parametrize(
    ("name", "edit"),
    [
        (keys.WEIGHTS, damage_weights),
        (keys.WEIGHTS, drop_tensor),
        (keys.WEIGHTS, drop_prior),
        (keys.WEIGHTS, lambda path: path.write_bytes(b"")),
        (keys.MODEL_JSON, lambda path: path.write_text("{")),
        (keys.MODEL_JSON, lambda path: path.write_text("[]")),
        (keys.MODEL_JSON, drop_entry("config")),
        (keys.MODEL_JSON, drop_entry("feature_names")),
        (keys.PRIOR_JSON, lambda path: path.write_text('{"genes": ["A"]}')),
    ],
    ids=["cut", "tensor", "prior", "empty", "json", "list", "config", "features", "genes"],
)
def test_a_damaged_model_is_refused(model, tmp_path, name, edit):
    copy = copy_model(model, tmp_path)
    edit(copy / name)
    with pytest.raises(BadInputError, match="copy"):
        load_model(copy)


@pytest.mark.parametrize("name", [keys.WEIGHTS, keys.MODEL_JSON, keys.PRIOR_JSON])
def test_a_missing_file_of_a_model_is_named(model, tmp_path, name):
    copy = copy_model(model, tmp_path)
    (copy / name).unlink()
    with pytest.raises(MissingResourceError, match=name):
        load_model(copy)
    assert is_model(model) and not is_model(tmp_path)


def test_a_model_of_another_version_is_refused(model, tmp_path):
    copy = copy_model(model, tmp_path)
    described = json.loads((copy / keys.MODEL_JSON).read_text())
    (copy / keys.MODEL_JSON).write_text(json.dumps(described | {"schema_version": 99}))
    with pytest.raises(BadInputError, match="99"):
        load_model(copy)


def test_an_existing_output_is_refused_before_work(tmp_path):
    (tmp_path / "model").mkdir()
    with pytest.raises(OutputExistsError):
        train([tmp_path / "nowhere"], tmp_path / "model")


def test_a_sample_given_twice_is_refused(sample, tmp_path):
    with pytest.raises(UsageError, match="S1"):
        train([sample, sample], tmp_path / "model", device="cpu")


def test_a_folder_that_is_no_sample_is_refused(tmp_path):
    with pytest.raises(MissingResourceError, match=r"sample\.json"):
        train([tmp_path], tmp_path / "model", device="cpu")


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


def test_samples_with_and_without_an_image_train_together(data, tmp_path):
    plain = load_sample_data(
        open_sample(store_tissue(tmp_path / "S2", grow(seed=1, side=8), image=False, sample_id="S2"))
    )
    trained = fit([data, plain], TINY_NET, TINY_TRAINING)[0]
    assert trained.net.config.n_features == 3
    assert trained.info["samples"] == ["S1", "S2"]


def test_an_image_helps_to_predict_hidden_locations(data):
    """The image shows the first factor: the network must learn to read it off where no molecule is seen."""
    config = TINY_TRAINING.model_copy(update={"max_steps": 120, "batch_locations": 96, "drop_image": 0.0})
    trained = fit([data], TINY_NET, config)[0]
    with torch.no_grad():
        latent = trained.net.image_latent(torch.from_numpy(data.features(data.xy_um))).numpy()
    share = latent @ trained.prior.loadings.T
    truth = grow().factors[:, 0]
    follows = share[:, 0] * np.sign(grow().loadings[0, 0])  # the first gene follows the first factor
    assert np.corrcoef(follows, truth)[0, 1] > 0.9

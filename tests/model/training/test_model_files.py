"""Models on disk: nothing but data, whole or refused."""

from __future__ import annotations

import json
import os

import pytest
import torch
from model.training.reading import rows, weights
from model.training.tiny_cohort import TINY_NET, TINY_TRAINING
from safetensors.torch import load_file, save_file

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.model.training import fit, is_model, load_model
from focus_cli.model.training.checkpoint import save_model


def test_a_model_holds_no_pickle(model):
    assert {p.name for p in model.iterdir()} == {
        keys.WEIGHTS,
        keys.MODEL_JSON,
        keys.IMAGE_SPACE,
        keys.PRIOR_JSON,
        keys.PRIOR_ARRAYS,
        keys.FACTORS_TSV,
        keys.TRAINING_LOG,
    }
    for tensors in (keys.WEIGHTS, keys.IMAGE_SPACE, keys.PRIOR_ARRAYS):
        load_file(model / tensors)
    described = json.loads((model / keys.MODEL_JSON).read_text())
    assert described["preset"] == "nano" and described["seed"] == 3
    assert described["training"]["max_steps"] == TINY_TRAINING.max_steps
    assert described["provenance"]["inputs"]["sample:S1"]["sha256"]
    assert rows((model / keys.TRAINING_LOG).read_text())[-1]["step"] == str(TINY_TRAINING.max_steps)


def test_a_model_can_be_read_by_whom_the_umask_lets(data, tmp_path):
    before = os.umask(0o022)
    try:
        save_model(tmp_path / "model", *fit([data], TINY_NET, TINY_TRAINING))
    finally:
        os.umask(before)
    assert {oct(p.stat().st_mode & 0o777) for p in (tmp_path / "model").iterdir()} == {"0o644"}


def test_a_model_comes_back_as_it_was(data, tmp_path):
    trained, log = fit([data], TINY_NET, TINY_TRAINING)
    save_model(tmp_path / "model", trained, log)
    back = load_model(tmp_path / "model")
    assert weights(back) == weights(trained)
    assert back.net.config == trained.net.config and not back.net.training
    assert back.prior.genes.tolist() == trained.prior.genes.tolist()
    assert back.image.names == ("first", "opposite", "noise")


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
    del tensors["out.1.weight"]
    save_file(tensors, path)


def drop_prior(path):
    tensors = load_file(path)
    del tensors["loadings"]
    save_file(tensors, path)


def drop_landmarks(path):
    tensors = load_file(path)
    del tensors["ood_reference.landmarks"]
    save_file(tensors, path)


def add_axes(path):
    save_file(load_file(path) | {"axes": torch.zeros(7, 2)}, path)


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
        (keys.PRIOR_ARRAYS, drop_prior),
        (keys.WEIGHTS, lambda path: path.write_bytes(b"")),
        (keys.IMAGE_SPACE, lambda path: path.write_bytes(b"")),
        (keys.IMAGE_SPACE, drop_landmarks),
        (keys.IMAGE_SPACE, add_axes),
        (keys.MODEL_JSON, lambda path: path.write_text("{")),
        (keys.MODEL_JSON, lambda path: path.write_text("[]")),
        (keys.MODEL_JSON, drop_entry("config")),
        (keys.MODEL_JSON, drop_entry("feature_names")),
        (keys.PRIOR_JSON, lambda path: path.write_text('{"genes": ["A"]}')),
    ],
    ids=[
        "cut",
        "tensor",
        "prior",
        "empty",
        "no-image",
        "landmarks",
        "axes",
        "json",
        "list",
        "config",
        "features",
        "genes",
    ],
)
def test_a_damaged_model_is_refused(model, tmp_path, name, edit):
    copy = copy_model(model, tmp_path)
    edit(copy / name)
    with pytest.raises(BadInputError, match="copy"):
        load_model(copy)


@pytest.mark.parametrize("name", [keys.WEIGHTS, keys.MODEL_JSON, keys.PRIOR_JSON, keys.PRIOR_ARRAYS])
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

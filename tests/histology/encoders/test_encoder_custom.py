"""An encoder of one's own, by a YAML description."""

import hashlib

import numpy as np
import pytest
import torch
import yaml

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.histology.encoders import open_encoder

MODULE = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width=6, tokens=False):
        super().__init__()
        self.tokens = tokens
        self.conv = torch.nn.Conv2d(3, width, 8, 8)
    def forward(self, x):
        y = self.conv(x).flatten(2).transpose(1, 2)
        if self.tokens:
            return torch.cat([y.mean(1, keepdim=True), y], 1)
        return y.mean(1)

def make(width=6, tokens=False):
    raise SystemExit("a function was called")

class NoNetwork:
    def __init__(self):
        raise SystemExit("a class that is no network was built")

class Failing(torch.nn.Module):
    def __init__(self):
        raise RuntimeError("no luck")
"""


@pytest.fixture
def describe(tmp_path, monkeypatch):
    (tmp_path / "my_encoders.py").write_text(MODULE)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(**changes):
        keys = {"name": "mine", "factory": "my_encoders:Net", "mpp": 0.5, "tile_px": 32, "dim": 6, "licence": "mine"}
        keys |= changes
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({k: v for k, v in keys.items() if v is not None}))
        return str(path)

    return write


def save_weights(folder, width=6, name="w.pt", **drop):
    torch.manual_seed(0)
    conv = torch.nn.Conv2d(3, width, 8, 8)
    weights = {f"conv.{k}": v for k, v in conv.state_dict().items() if k not in drop}
    torch.save(weights, folder / name)
    return folder / name


def test_it_encodes_with_the_weights_of_the_file(describe, tmp_path):
    file = save_weights(tmp_path)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    encoder = open_encoder(describe(weights="w.pt", sha256=sha256, mean=[0.5] * 3, std=[0.25] * 3), device="cpu")
    tiles = np.random.default_rng(0).integers(0, 255, (2, 32, 32, 3), dtype=np.uint8)
    conv = torch.nn.Conv2d(3, 6, 8, 8)
    conv.load_state_dict({k.removeprefix("conv."): v for k, v in torch.load(file, weights_only=True).items()})
    normalised = (torch.from_numpy(tiles).permute(0, 3, 1, 2) / 255 - 0.5) / 0.25
    expected = conv(normalised).mean((2, 3)).detach().numpy()
    np.testing.assert_allclose(encoder.encode(tiles)[:, 0, 0], expected, rtol=1e-4, atol=1e-5)
    assert (encoder.info.name, encoder.info.licence, encoder.info.dim) == ("mine", "mine", 6)


def test_tokens_become_a_grid(describe):
    path = describe(options={"tokens": True}, prefix_tokens=1)
    assert open_encoder(path, device="cpu").info.grid == 1
    dense = open_encoder(path, device="cpu", dense=True)
    assert (dense.info.grid, dense.info.dim) == (4, 6)
    with pytest.raises(UsageError, match="cannot be dense"):
        open_encoder(describe(), device="cpu", dense=True)


def test_another_dimension_than_stated(describe):
    with pytest.raises(BadInputError, match="gives 6 features, 7 were stated"):
        open_encoder(describe(dim=7), device="cpu")


def test_weights_that_are_not_the_models(describe, tmp_path):
    save_weights(tmp_path, width=5)
    with pytest.raises(BadInputError, match=r"not the weights of mine: conv\.\w+ is"):
        open_encoder(describe(weights="w.pt"), device="cpu")
    save_weights(tmp_path, bias=True)
    with pytest.raises(BadInputError, match="1 of 2 tensors are missing"):
        open_encoder(describe(weights="w.pt"), device="cpu")
    torch.save(
        {"conv.weight": torch.zeros(6, 3, 8, 8), "conv.bias": torch.zeros(6), "x": torch.ones(1)}, tmp_path / "w.pt"
    )
    with pytest.raises(BadInputError, match="1 tensors are not of this model"):
        open_encoder(describe(weights="w.pt"), device="cpu")


def test_weights_with_another_sum(describe, tmp_path):
    save_weights(tmp_path)
    with pytest.raises(BadInputError, match="SHA-256 begins with"):
        open_encoder(describe(weights="w.pt", sha256="0" * 64), device="cpu")
    with pytest.raises(MissingResourceError, match="no such file of weights"):
        open_encoder(describe(weights="v.pt"), device="cpu")


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"factory": "my_encoders:gone"}, MissingResourceError, "no class my_encoders:gone"),
        ({"factory": "no_such_package:Net"}, MissingResourceError, "no class no_such_package"),
        ({"factory": "my_encoders:make"}, BadInputError, r"no subclass of torch\.nn\.Module"),
        ({"factory": "my_encoders:NoNetwork"}, BadInputError, r"no subclass of torch\.nn\.Module"),
        ({"factory": "my_encoders:torch"}, BadInputError, r"no subclass of torch\.nn\.Module"),
        ({"factory": "os:system", "options": {"command": "exit 1"}}, BadInputError, "no subclass"),
        ({"factory": "subprocess:Popen", "options": {"args": ["false"]}}, BadInputError, "no subclass"),
        ({"factory": "my_encoders:Failing"}, BadInputError, "no luck"),
        ({"factory": "my_encoders:Net:x"}, BadInputError, "factory"),
        ({"name": "../mine"}, BadInputError, "name"),
        ({"name": "mine/x"}, BadInputError, "name"),
        ({"mpp": float("nan")}, BadInputError, "mpp"),
        ({"options": {"depth": 3}}, BadInputError, "failed: TypeError"),
        ({"mpp": -1}, BadInputError, "mpp"),
        ({"dim": None}, BadInputError, "dim"),
        ({"size": 3}, BadInputError, "size"),
        ({"tile_px": 4}, BadInputError, "cannot encode tiles of 4 px"),
        ({"std": [0.0, 1.0, 1.0]}, UsageError, "std above 0"),
        ({"sha256": "0" * 64}, BadInputError, "sha256 without weights"),
    ],
)
def test_wrong_descriptions(describe, changes, error, message):
    with pytest.raises(error, match=message) as caught:
        open_encoder(describe(**changes), device="cpu")
    assert "\n" not in caught.value.message


def test_files_that_are_no_yaml(tmp_path):
    for text in ("a: [1", "just text", ""):
        (tmp_path / "x.yaml").write_text(text)
        with pytest.raises(BadInputError):
            open_encoder(str(tmp_path / "x.yaml"))

"""An encoder's name that comes from a model never makes FOCUS open a description, a folder or an address."""

from __future__ import annotations

import os

import pytest

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.histology import encoders
from focus_cli.histology.encoders.presets import PRESETS
from focus_cli.platforms.preprocessing.encoding import Encoding, encoding_like


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working folder with something of every kind that a name could lead to."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.py").write_text("open('ran', 'w').close()\n")
    (tmp_path / "evil.yaml").write_text(
        "name: evil\nfactory: evil:Net\nmpp: 0.5\ntile_px: 32\ndim: 6\n",
    )
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "encoder.json").write_text("{}")
    (tmp_path / "UNI").mkdir()
    os.mkfifo(tmp_path / "pipe.yaml")
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def raster(name):
    return {"name": name, "digest": "0" * 12, "step_um": 56.0, "grid": 1, "dim": 6}


@pytest.mark.parametrize(
    "name",
    [
        "evil.yaml",
        "./evil.yaml",
        "folder",
        "UNI",
        "../x",
        "pipe.yaml",
        "~/evil.yaml",
        "timm:resnet50",
        "hf:a/b",
        "hf:folder",
        "timm:hf-hub:a/b",
        "random:base:99999999999",
        "http://127.0.0.1/x.yaml",
        "evil.yml\n",
        "uni ",
        "",
        None,
        3,
        ["uni"],
    ],
)
def test_only_shipped_names_are_taken_from_a_model(folder, monkeypatch, name):
    monkeypatch.setattr(encoders, "open_encoder", lambda *a, **k: pytest.fail("an encoder was opened"))
    with pytest.raises(UsageError, match="not one that FOCUS lists") as caught:
        encoding_like(raster(name), Encoding())
    assert "--encoder" in caught.value.hint and "\n" not in caught.value.message
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", [*PRESETS, "imagenet-lite0", "random:tiny"])
def test_shipped_names_are_taken(folder, name):
    found = encoding_like(raster(name), Encoding())
    assert found.spec == name and found.wanted["digest"] == "0" * 12


def test_the_users_encoder_must_have_the_digest_of_the_training(tmp_path):
    given = Encoding(spec="random:tiny", device="cpu")
    info = given.open().info
    wanted = {**raster("evil.yaml"), "dim": info.dim}
    with pytest.raises(BadInputError, match="other weights or settings"):
        encoding_like(wanted, given).open()
    assert encoding_like({**wanted, "digest": info.digest}, given).open().info == info

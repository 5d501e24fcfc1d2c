"""Every way in which an encoder cannot be opened ends in one line that says what to do."""

import builtins
import importlib

import pytest

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.histology.encoders import open_encoder


@pytest.mark.parametrize(
    ("spec", "expected"), [("unii", "uni"), ("imagenet-lite", "imagenet-lite0"), ("Virchow2", "virchow2")]
)
def test_unknown_names_get_the_nearest(spec, expected):
    with pytest.raises(UsageError, match="there is no encoder") as caught:
        open_encoder(spec)
    assert f"did you mean {expected}?" in caught.value.hint


@pytest.mark.parametrize("spec", ["nowhere/encoder", "./nothing", "nothing.yaml"])
def test_missing_paths_are_named(spec):
    with pytest.raises(MissingResourceError, match="no such"):
        open_encoder(spec)


def test_folders_without_an_encoder(tmp_path):
    with pytest.raises(MissingResourceError, match=r"encoder\.json is missing"):
        open_encoder(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(UsageError, match="folder of transformers") as caught:
        open_encoder(str(tmp_path))
    assert f"hf:{tmp_path}" in caught.value.hint


def fail_to_import(monkeypatch, name, error):
    real = importlib.import_module

    def import_module(module, *rest):
        if module == name:
            raise error
        return real(module, *rest)

    monkeypatch.setattr(importlib, "import_module", import_module)


@pytest.mark.parametrize(
    ("spec", "module"),
    [("uni", "timm"), ("timm:resnet18", "timm"), ("phikon", "transformers"), ("hf:some/model", "transformers")],
)
def test_missing_libraries_name_the_extra(monkeypatch, spec, module):
    fail_to_import(monkeypatch, module, ModuleNotFoundError(f"No module named {module!r}", name=module))
    with pytest.raises(MissingResourceError, match=f"needs the package {module}$") as caught:
        open_encoder(spec)
    assert "pip install 'focus-st[encoders]'" in caught.value.hint


def test_a_library_missing_behind_the_library_is_named(monkeypatch):
    fail_to_import(monkeypatch, "timm", ModuleNotFoundError("No module named 'torchvision'", name="torchvision"))
    with pytest.raises(MissingResourceError, match=r"needs the package torchvision \(imported by timm\)"):
        open_encoder("uni")


def test_libraries_that_do_not_fit_together(monkeypatch):
    fail_to_import(monkeypatch, "timm", RuntimeError("operator torchvision::nms does not exist"))
    with pytest.raises(MissingResourceError, match="cannot be imported here: operator") as caught:
        open_encoder("uni")
    assert "belong together" in caught.value.hint


def test_conch_names_its_own_package(monkeypatch):
    fail_to_import(monkeypatch, "conch.open_clip_custom", ModuleNotFoundError("no", name="conch"))
    with pytest.raises(MissingResourceError, match="needs the package conch") as caught:
        open_encoder("conch")
    assert "mahmoodlab/CONCH" in caught.value.hint


class GatedRepoError(OSError):
    """As the hub's client raises it."""


class LocalEntryNotFoundError(OSError):
    """As the hub's client raises it without a network."""


class EntryNotFoundError(OSError):
    """As the hub's client raises it for a file that is not there."""


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        (GatedRepoError("401 Client Error"), "is gated", "https://huggingface.co/org/model, then run `hf auth login`"),
        (LocalEntryNotFoundError("no network"), "not available from the hub", "--weights"),
        (EntryNotFoundError("404"), "without running code", "safetensors"),
        (type("RepositoryNotFoundError", (OSError,), {})("404"), "there is no org/model", "check the name"),
    ],
)
def test_what_the_hub_says_becomes_one_line(monkeypatch, error, message, hint):
    hub = pytest.importorskip("huggingface_hub")
    from focus_cli.histology.encoders.hub import fetch

    def refuse(*_, **__):
        raise error

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    with pytest.raises(MissingResourceError, match=message) as caught:
        fetch("org/model", ("model.safetensors", "pytorch_model.bin"), "uni")
    assert hint in caught.value.hint
    assert "\n" not in caught.value.message


def test_the_second_file_is_taken_where_the_first_is_not_there(monkeypatch, tmp_path):
    hub = pytest.importorskip("huggingface_hub")
    from focus_cli.histology.encoders.hub import fetch

    def download(repository, file):
        if file == "model.safetensors":
            raise EntryNotFoundError(file)
        return str(tmp_path / file)

    monkeypatch.setattr(hub, "hf_hub_download", download)
    assert fetch("org/model", ("model.safetensors", "pytorch_model.bin"), "uni") == tmp_path / "pytorch_model.bin"


def test_options_that_make_no_sense():
    with pytest.raises(UsageError, match="precision 'int8'"):
        open_encoder("random:tiny", precision="int8")
    with pytest.raises(UsageError, match="at least one tile"):
        open_encoder("random:tiny", batch=0)
    with pytest.raises(UsageError, match="cannot be dense"):
        open_encoder("morphology", dense=True)
    with pytest.raises(UsageError, match="states its own mpp"):
        open_encoder("morphology", mpp=0.5)
    with pytest.raises(UsageError, match="states its own weights"):
        open_encoder("random:tiny", weights="a.bin")
    with pytest.raises(UsageError, match="random:huge"):
        open_encoder("random:huge")
    with pytest.raises(MissingResourceError, match="no such weights"):
        open_encoder("uni", weights="nowhere.bin")


def test_files_with_code_are_not_opened(tmp_path):
    import pickle

    from focus_cli.histology.encoders.weights import read_weights

    class Sly:
        def __reduce__(self):
            return builtins.print, ("code was run",)

    path = tmp_path / "sly.bin"
    path.write_bytes(pickle.dumps({"weight": Sly()}))
    with pytest.raises(BadInputError, match="cannot be read as weights") as caught:
        read_weights(path)
    assert "not opened" in caught.value.hint


def test_damaged_and_empty_weights(tmp_path):
    import torch

    from focus_cli.histology.encoders.weights import read_weights

    (tmp_path / "a.safetensors").write_bytes(b"nothing")
    with pytest.raises(BadInputError, match="cannot be read as weights"):
        read_weights(tmp_path / "a.safetensors")
    torch.save({"epoch": 3}, tmp_path / "b.pt")
    with pytest.raises(BadInputError, match="no table of named tensors"):
        read_weights(tmp_path / "b.pt")
    torch.save({"epoch": 3, "state_dict": {"w": torch.zeros(2)}}, tmp_path / "c.pt")
    assert list(read_weights(tmp_path / "c.pt")) == ["w"]

"""Models of transformers and timm, from local files."""

import sys
import types

import numpy as np
import pytest
import torch

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.histology.encoders import open_encoder
from focus_cli.histology.encoders.presets import PRESETS, Preset


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Small models with random weights, as transformers saves them."""
    transformers = pytest.importorskip("transformers")
    top = tmp_path_factory.mktemp("models")
    small = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 32, "patch_size": 8}
    torch.manual_seed(0)
    made = {
        "vit": transformers.ViTModel(transformers.ViTConfig(**small, intermediate_size=48), add_pooling_layer=False),
        "dinov2": transformers.Dinov2Model(transformers.Dinov2Config(**small)),
        "registers": transformers.Dinov2WithRegistersModel(
            transformers.Dinov2WithRegistersConfig(**small, num_register_tokens=3)
        ),
    }
    for name, model in made.items():
        model.eval().save_pretrained(top / name)
        (top / name / "preprocessor_config.json").write_text(
            '{"crop_size": {"height": 32, "width": 32}, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.2, 0.2]}'
        )
    return top, made


def tiles(n=3, side=32):
    return np.random.default_rng(0).integers(0, 255, (n, side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize(("name", "prefix"), [("vit", 1), ("dinov2", 1), ("registers", 4)])
def test_local_folders_of_transformers(folders, name, prefix):
    top, made = folders
    encoder = open_encoder(f"hf:{top / name}", device="cpu", mpp=0.25)
    assert (encoder.info.dim, encoder.info.grid, encoder.info.tile_px, encoder.info.mpp) == (24, 1, 32, 0.25)
    assert encoder.info.mean == (0.4, 0.5, 0.6)
    pixels = tiles()
    normalised = (
        torch.from_numpy(pixels).permute(0, 3, 1, 2) / 255 - torch.tensor([0.4, 0.5, 0.6])[:, None, None]
    ) / 0.2
    with torch.no_grad():
        tokens = made[name](pixel_values=normalised).last_hidden_state.numpy()
    np.testing.assert_allclose(encoder.encode(pixels)[:, 0, 0], tokens[:, 0], rtol=1e-3, atol=1e-4)
    dense = open_encoder(f"hf:{top / name}", device="cpu", dense=True)
    assert dense.info.grid == 4
    np.testing.assert_allclose(dense.encode(pixels).reshape(3, 16, 24), tokens[:, prefix:], rtol=1e-3, atol=1e-4)


def test_presets_of_transformers_refuse_other_weights(folders, monkeypatch):
    top, _ = folders
    own = Preset("transformers", "org/small", 24, "none", False, tile_px=32)
    monkeypatch.setitem(PRESETS, "small", own)
    assert open_encoder("small", device="cpu", weights=top / "vit").info.name == "small"
    monkeypatch.setitem(PRESETS, "small", Preset("transformers", "org/small", 32, "none", False, tile_px=32))
    with pytest.raises(BadInputError, match="gives 24 features, 32 were stated"):
        open_encoder("small", device="cpu", weights=top / "vit")


def test_weights_in_which_tensors_are_missing(folders, tmp_path):
    from safetensors.torch import load_file, save_file

    top, _ = folders
    for name in ("config.json", "preprocessor_config.json"):
        (tmp_path / name).write_text((top / "dinov2" / name).read_text())
    weights = load_file(top / "dinov2" / "model.safetensors")
    some = {k: v for k, v in weights.items() if not k.startswith("layernorm")}
    save_file(some, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BadInputError, match=r"is not the weights of .*tensors are missing"):
        open_encoder(f"hf:{tmp_path}", device="cpu")
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(MissingResourceError, match="holds no weights"):
        open_encoder(f"hf:{tmp_path}", device="cpu")
    torch.save(weights, tmp_path / "pytorch_model.bin")
    digest = open_encoder(f"hf:{tmp_path}", device="cpu").info.digest
    assert digest == open_encoder(f"hf:{top / 'dinov2'}", device="cpu").info.digest


def test_models_that_would_run_code_are_refused(folders, tmp_path):
    (tmp_path / "config.json").write_text('{"model_type": "sly", "auto_map": {"AutoConfig": "sly.Config"}}')
    (tmp_path / "sly.py").write_text("raise SystemExit('code was run')")
    with pytest.raises(BadInputError, match=r"would run code|is not the weights") as caught:
        open_encoder(f"hf:{tmp_path}", device="cpu")
    assert "\n" not in caught.value.message


class _SmallViT(torch.nn.Module):
    """What the part of timm's interface that is used looks like."""

    num_features, num_prefix_tokens = 8, 2
    pretrained_cfg = {"input_size": (3, 32, 32), "mean": (0.5,) * 3, "std": (0.5,) * 3, "license": "mit"}  # noqa: RUF012

    def __init__(self):
        super().__init__()
        self.patch = torch.nn.Conv2d(3, 8, 8, 8)

    def forward_features(self, x):
        placed = self.patch(x).flatten(2).transpose(1, 2)
        return torch.cat([placed.sum(1, keepdim=True), 100 + 0 * placed[:, :1], placed], 1)

    def forward(self, x):
        return self.forward_features(x)[:, 0]


@pytest.fixture
def timm(monkeypatch):
    """A stand-in for timm."""
    calls = []

    def create_model(name, pretrained=False, num_classes=0, **options):
        calls.append((name, pretrained, options))
        if name == "nothing":
            raise RuntimeError("Unknown model (nothing)")
        torch.manual_seed(0)
        return _SmallViT()

    module = types.ModuleType("timm")
    module.create_model = create_model
    module.list_models = lambda pattern: ["nothing_small"]
    module.layers = types.SimpleNamespace(SwiGLUPacked=torch.nn.Identity)
    monkeypatch.setitem(sys.modules, "timm", module)
    return calls


def test_models_of_timm_by_name(timm):
    encoder = open_encoder("timm:small", device="cpu")
    assert (encoder.info.tile_px, encoder.info.dim, encoder.info.licence) == (32, 8, "mit")
    assert timm[0][:2] == ("small", True)
    assert open_encoder("timm:small", device="cpu", dense=True).info.grid == 4
    with pytest.raises(UsageError, match="Unknown model") as caught:
        open_encoder("timm:nothing", device="cpu")
    assert "nothing_small" in caught.value.hint


def test_presets_of_timm_take_weights_from_a_file(timm, tmp_path, monkeypatch):
    options = {"init_values": 1e-5, "mlp_layer": "layer:SwiGLUPacked", "act_layer": "layer:SiLU"}
    own = Preset("timm", "org/m", 16, "none", True, tile_px=32, pooling="class+mean", architecture="a", options=options)
    monkeypatch.setitem(PRESETS, "own", own)
    torch.save(_SmallViT().state_dict(), tmp_path / "w.bin")
    encoder = open_encoder("own", device="cpu", weights=tmp_path / "w.bin")
    name, pretrained, given = timm[0]
    assert (name, pretrained) == ("a", False)
    assert given["act_layer"] is torch.nn.SiLU
    out = encoder.encode(tiles())[:, 0, 0]
    # Class token (here: the sum of 16 patches) and mean of the patches; the register (100) takes no part.
    np.testing.assert_allclose(out[:, :8], 16 * out[:, 8:], rtol=1e-3, atol=1e-4)
    torch.save({"patch.weight": torch.zeros(4, 3, 8, 8), "patch.bias": torch.zeros(4)}, tmp_path / "w.bin")
    with pytest.raises(BadInputError, match="not the weights of own: patch"):
        open_encoder("own", device="cpu", weights=tmp_path / "w.bin")


@pytest.mark.parametrize("name", [name for name, preset in PRESETS.items() if preset.library == "timm"])
def test_presets_are_what_timm_builds(name):
    timm = pytest.importorskip("timm", exc_type=ImportError)
    from focus_cli.histology.encoders.timm_model import _options

    preset = PRESETS[name]
    with torch.device("meta"):
        module = timm.create_model(preset.architecture, num_classes=0, **_options(timm, preset.options))
    assert preset.dim == module.num_features * (2 if preset.pooling == "class+mean" else 1)
    millions = sum(p.numel() for p in module.parameters()) / 1e6
    stated = {"uni": 303, "uni2-h": 681, "virchow2": 631, "h-optimus-0": 1135, "h-optimus-1": 1135, "gigapath": 1135}
    assert round(millions) == stated[name]

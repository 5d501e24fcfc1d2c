"""Encoder folders: opened as encoders, dense or not; what is no encoder is refused in one line."""

import json
import shutil

import numpy as np
import pytest
import torch
from histology.pretraining.tiny_run import MICRO
from safetensors.torch import load_file, save_file

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.histology.encoders.folder import EncoderDescription, is_encoder, read_encoder, write_encoder_files
from focus_cli.histology.encoders.pretrained import open_own
from focus_cli.histology.encoders.vit import ViT

TILES = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3), dtype=np.uint8)


@pytest.fixture
def folder(tmp_path):
    """An untrained encoder on disk."""
    path = tmp_path / "encoder"
    path.mkdir()
    torch.manual_seed(0)
    description = EncoderDescription("vit-micro", MICRO.model_dump(), 2.0, 32, (0.7, 0.6, 0.7), (0.2, 0.2, 0.2))
    write_encoder_files(path, ViT(MICRO), description, "step\n")
    return path


def test_a_tile_becomes_its_class_token_and_the_mean_of_its_patches(folder):
    encoder, dense = open_own(folder, "cpu"), open_own(folder, "cpu", dense=True)
    assert (encoder.info.dim, encoder.info.grid, encoder.info.mpp, encoder.info.tile_px) == (64, 1, 2.0, 32)
    assert (dense.info.dim, dense.info.grid) == (32, 4)
    whole, tokens = encoder.encode(TILES), dense.encode(TILES)
    assert whole.shape == (5, 1, 1, 64) and tokens.shape == (5, 4, 4, 32)
    np.testing.assert_allclose(whole[:, 0, 0, 32:], tokens.mean(axis=(1, 2)), rtol=1e-4, atol=1e-5)
    assert encoder.info.digest != dense.info.digest
    np.testing.assert_allclose(encoder.encode(TILES[2:3]), whole[2:3], rtol=1e-4, atol=1e-5)


def test_patch_tokens_lie_where_their_patches_do(folder):
    dense = open_own(folder, "cpu", dense=True)
    changed = TILES[:1].copy()
    changed[0, 8:16, 24:32] = 0  # row 1, column 3
    moved = np.abs(dense.encode(changed) - dense.encode(TILES[:1])).sum(axis=-1)[0]
    assert np.unravel_index(moved.argmax(), moved.shape) == (1, 3)


def test_larger_tiles_interpolate_positions(folder):
    dense = open_own(folder, "cpu", dense=True, tile_px=64)
    assert dense.encode(np.tile(TILES, (1, 2, 2, 1))).shape == (5, 8, 8, 32)
    with pytest.raises(UsageError, match="do not divide"):
        open_own(folder, tile_px=60)


def test_the_digest_is_of_weights_and_settings(folder, tmp_path):
    again = tmp_path / "copy"
    shutil.copytree(folder, again)
    assert open_own(again, "cpu").info.digest == open_own(folder, "cpu").info.digest
    tensors = load_file(again / "encoder.safetensors")
    tensors["norm.bias"][0] += 1e-3
    save_file(tensors, again / "encoder.safetensors")
    assert open_own(again, "cpu").info.digest != open_own(folder, "cpu").info.digest


def test_what_is_no_encoder_is_refused(folder, tmp_path):
    assert is_encoder(folder) and not is_encoder(tmp_path)
    with pytest.raises(MissingResourceError, match="no such encoder"):
        open_own(tmp_path / "none")
    with pytest.raises(MissingResourceError, match=r"not a FOCUS encoder: encoder\.json is missing"):
        open_own(tmp_path)


def change_json(folder, change):
    path = folder / "encoder.json"
    described = json.loads(path.read_text())
    change(described)
    path.write_text(json.dumps(described))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d["config"].update(width=64), "damaged"),
        (lambda d: d["config"].update(layers=3), "damaged"),
        (lambda d: d["config"].update(code="import os"), "damaged"),
        (lambda d: d.update(schema_version=9), "schema version 9"),
        (lambda d: d.pop("mpp"), "damaged"),
        (lambda d: d.update(mpp=-1.0), "is damaged"),
        (lambda d: d.update(mpp="x"), "damaged"),
        (lambda d: d.update(std=[0, 1, 1]), "is damaged"),
        (lambda d: d.update(tile_px=20), "do not divide"),
    ],
)
def test_a_description_that_does_not_fit_is_refused(folder, change, words):
    change_json(folder, change)
    with pytest.raises(BadInputError, match=words):
        read_encoder(folder)


def test_damaged_weights_are_refused(folder):
    path = folder / "encoder.safetensors"
    tensors = load_file(path)
    tensors["cls_token"][:] = float("nan")
    save_file(tensors, path)
    with pytest.raises(BadInputError, match="NaN or infinite"):
        read_encoder(folder)
    del tensors["cls_token"]
    save_file(tensors, path)
    with pytest.raises(BadInputError, match="damaged"):
        read_encoder(folder)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BadInputError, match="damaged"):
        read_encoder(folder)
    (folder / "encoder.json").write_text("{")
    with pytest.raises(BadInputError, match="damaged"):
        read_encoder(folder)

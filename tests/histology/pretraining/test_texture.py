"""What patches look like, as targets of masked feature prediction."""

from __future__ import annotations

import numpy as np
import torch

from focus_cli.histology.features.channels import CHANNELS, measure
from focus_cli.histology.pretraining.texture import N_TARGETS, patch_texture, texture_loss, texture_targets
from focus_cli.histology.slides.stain import mix


def ground(h=64, w=96, seed=0):
    rng = np.random.default_rng(seed)
    return mix(np.stack([rng.uniform(0, 0.8, (h, w)), rng.uniform(0.1, 0.4, (h, w)), np.zeros((h, w))], axis=-1))


def test_targets_are_means_and_spreads_of_the_built_in_channels():
    rgb = ground()
    found = patch_texture(rgb, 1.0, 16)
    values, _ = measure(rgb, 1.0)
    assert found.shape == (4 * 6, N_TARGETS) and 2 * len(CHANNELS) == N_TARGETS
    part = values[:, 16:32, 48:64]  # second row, fourth column
    np.testing.assert_allclose(
        found[1 * 6 + 3], np.concatenate([part.mean((1, 2)), part.std((1, 2))]), rtol=1e-4, atol=1e-6
    )


def test_turning_the_tile_turns_the_targets():
    rgb = ground(64, 64)
    straight, turned = (patch_texture(v, 1.0, 16).reshape(4, 4, -1) for v in (rgb, np.ascontiguousarray(np.rot90(rgb))))
    np.testing.assert_allclose(np.rot90(straight), turned, rtol=1e-3, atol=1e-4)


def test_targets_are_standardised_over_the_batch():
    texture = torch.randn(6, 9, N_TARGETS) * torch.linspace(0.01, 40, N_TARGETS) + 7
    patches, tiles = texture_targets(texture)
    flat = texture.numpy().reshape(-1, N_TARGETS)
    expected = np.clip((flat - flat.mean(0)) / flat.std(0), -5, 5).reshape(6, 9, -1)
    np.testing.assert_allclose(patches, expected, rtol=1e-3, atol=1e-3)
    raw = np.concatenate([expected.mean(1), expected.std(1)], axis=1)
    np.testing.assert_allclose(tiles, np.clip((raw - raw.mean(0)) / raw.std(0), -5, 5), rtol=1e-2, atol=1e-2)


def test_the_loss_is_nothing_for_the_truth_and_grows_with_the_error():
    texture = torch.randn(4, 4, N_TARGETS)
    patches, tiles = texture_targets(texture)
    assert texture_loss(patches, tiles, texture) == 0
    near, far = (texture_loss(patches + d, tiles, texture) for d in (0.1, 1.0))
    np.testing.assert_allclose([near, far], [0.005, 0.5], rtol=1e-3)  # smooth L1: d²/2


def test_a_channel_that_never_varies_is_no_target():
    patches, tiles = texture_targets(torch.full((3, 4, N_TARGETS), 2.5))
    assert not patches.any() and not tiles.any()

"""Pixel channels: what they respond to, and that they turn with the image."""

import numpy as np
import pytest

from focus_cli.histology.features.channels import CHANNELS, measure, reach_px
from focus_cli.histology.slides.stain import mix

RNG = np.random.default_rng(5)


def channel(rgb, name, mpp=2.0):
    return measure(rgb, mpp)[0][CHANNELS.index(name)]


def flat(haematoxylin, eosin):
    amounts = np.zeros((60, 60, 3))
    amounts[..., 0], amounts[..., 1] = haematoxylin, eosin
    return mix(amounts)


def test_glass_is_lumen_and_nothing_else():
    values, tensor = measure(np.full((60, 60, 3), 255, np.uint8), 2.0)
    for name, value in zip(CHANNELS, values):
        np.testing.assert_allclose(value, 1 if name == "lumen" else 0, atol=0.01, err_msg=name)
    assert not tensor.any()


def test_stain_channels_give_the_amount_of_stain():
    rgb = flat(0.5, 0.3)
    assert channel(rgb, "eosin").mean() == pytest.approx(0.3, abs=0.02)
    assert channel(rgb, "chromatin").mean() == pytest.approx(0.5 - 0.2, abs=0.02)
    assert channel(rgb, "basophilia").mean() == pytest.approx(0.5 * 0.3, abs=0.02)
    assert channel(flat(0.1, 0.3), "chromatin").max() < 0.01
    assert channel(rgb, "lumen").max() < 0.01


def test_a_ramp_has_its_slope_as_edge():
    slope = 0.004  # haematoxylin per µm
    rgb = flat(np.arange(60)[None, :] * 2.0 * slope + 0.3, 0.2)
    density_slope = slope * (np.array([0.65, 0.70, 0.29]) / np.linalg.norm([0.65, 0.70, 0.29])).mean()
    assert channel(rgb, "edge")[20:40, 20:40].mean() == pytest.approx(density_slope, rel=0.1)


def test_nuclei_show_as_clusters_and_flat_stain_does_not():
    y, x = np.mgrid[:60, :60]
    nuclei = 0.8 * (((y % 12) - 6) ** 2 + ((x % 12) - 6) ** 2 < 4)
    inner = np.s_[20:40, 20:40]
    dotted = channel(flat(nuclei, 0.2), "clusters_10um")[inner].mean()
    assert dotted > 10 * channel(flat(nuclei.mean(), 0.2), "clusters_10um")[inner].mean()


@pytest.mark.parametrize("mpp", [0.5, 2.0, 8.0])
def test_channels_turn_and_flip_with_the_image(mpp):
    rgb = mix(RNG.uniform(0, 0.7, (50, 70, 3)) * [1, 1, 0.1])
    values, _ = measure(rgb, mpp)
    for turn in (np.rot90, np.flipud, np.fliplr):
        turned, _ = measure(np.ascontiguousarray(turn(rgb)), mpp)
        expected = np.stack([turn(v) for v in values])
        np.testing.assert_allclose(turned, expected, atol=1e-5)


@pytest.mark.parametrize("mpp", [0.5, 2.0, 8.0, 25.0])
def test_a_pixel_depends_on_nothing_beyond_the_stated_reach(mpp):
    reach = reach_px(mpp)
    side = 2 * reach + 21
    rgb = RNG.integers(0, 256, (side, side, 3), dtype=np.uint8)
    values, tensor = measure(rgb, mpp)
    cut = rgb[5:-5, 5:-5]
    inner = np.s_[:, reach:-reach, reach:-reach]
    np.testing.assert_array_equal(measure(cut, mpp)[0][inner], values[:, 5:-5, 5:-5][inner])
    np.testing.assert_array_equal(measure(cut, mpp)[1][inner], tensor[:, 5:-5, 5:-5][inner])

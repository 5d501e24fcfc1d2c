"""A slide without counts: how far the image map of the model is used, by the out-of-distribution score."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from focus_cli.enhancement.image_transfer import FAMILIAR, LEAST, TRUNK, ImageTransfer
from focus_cli.enhancement.infer import Latents

SHAPE = (40, 3)


def latents(seed: int = 0, n_samples: int = 0) -> Latents:
    rng = np.random.default_rng(seed)
    mean, sd = rng.normal(size=SHAPE).astype(np.float32), np.full(SHAPE, 0.5, np.float32)
    samples = (mean + sd * rng.normal(size=(n_samples, *SHAPE))).astype(np.float32) if n_samples else None
    return Latents(mean, sd, np.zeros((SHAPE[0], 0), np.float32), samples)


def at(score: float) -> ImageTransfer:
    return ImageTransfer.of(np.full(7, score))


@given(st.floats(0, 5), st.floats(0, 5))
def test_foreign_tissue_is_never_trusted_more(one, other):
    near, far = at(min(one, other)), at(max(one, other))
    assert LEAST <= far.amplitude <= near.amplitude <= 1
    assert 0 <= far.trunk <= near.trunk <= TRUNK
    assert near.foreign <= far.foreign < 1


def test_familiar_tissue_keeps_the_amplitude_and_the_spread():
    known, other = latents(), np.ones(SHAPE, np.float32)
    transfer, found = at(FAMILIAR).apply(known, known.mean, other)
    np.testing.assert_allclose(found.mean, known.mean, rtol=1e-6)
    np.testing.assert_array_equal(found.sd, known.sd)
    assert transfer.foreign == 0


def test_without_a_reference_of_known_tissue_nothing_is_shrunk():
    assert ImageTransfer.of(None).amplitude == 1
    assert ImageTransfer.of(None).record()["ood_score"] is None


def test_variance_that_is_shrunk_away_becomes_uncertainty():
    """Mean and spread together vary as before: the total variance of a latent over the slide is kept."""
    known = latents()
    transfer, found = at(0.8).apply(known, known.mean, np.zeros(SHAPE, np.float32))
    assert transfer.amplitude < 1
    total = found.mean.var(axis=0) + (found.sd**2).mean(axis=0)
    np.testing.assert_allclose(total, known.mean.var(axis=0) + 0.25, rtol=1e-5)


def test_draws_have_the_new_mean_and_spread():
    known = latents(n_samples=400)
    _, found = at(0.8).apply(known, known.mean, np.zeros(SHAPE, np.float32))
    np.testing.assert_allclose(found.samples.mean(axis=0), found.mean, atol=0.25)
    np.testing.assert_allclose(found.samples.std(axis=0), found.sd, rtol=0.2)


def test_points_of_a_refined_grid_use_the_variance_of_the_slide():
    known = latents()
    transfer, found = at(0.9).apply(known, known.mean, known.mean)
    one = Latents(known.mean[:1], known.sd[:1], known.attention[:1], None)
    _, alone = transfer.apply(one, known.mean[:1], known.mean[:1])
    np.testing.assert_allclose(alone.sd, found.sd[:1], rtol=1e-6)


def test_arrays_and_tensors_give_the_same():
    a, b, c = (np.random.default_rng(s).normal(size=SHAPE).astype(np.float32) for s in range(3))
    transfer = at(0.68)
    tensor = transfer.mean(*(torch.from_numpy(v) for v in (a, b, c)))
    np.testing.assert_allclose(tensor.numpy(), transfer.mean(a, b, c), rtol=1e-6)
    assert transfer.record()["amplitude"] == pytest.approx(transfer.amplitude, abs=1e-4)

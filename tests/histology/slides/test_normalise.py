"""Macenko and Reinhard against torchstain, and what they refuse."""

import numpy as np
import pytest

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.histology.slides import open_slide
from focus_cli.histology.slides.normalise import REFERENCE_STAINS, Macenko, Reinhard, fit_stains, lab_statistics

# Colours of two laboratories: density (natural logarithm) of haematoxylin and eosin, unit length.
OURS = np.array([[0.65, 0.70, 0.29], [0.10, 0.95, 0.28]])
OURS /= np.linalg.norm(OURS, axis=1, keepdims=True)


def tile(stains=OURS, strength=1.0, seed=0, side=160):
    """A tile whose stains are known: some pixels hold one alone."""
    rng = np.random.default_rng(seed)
    amounts = rng.gamma(2.0, 0.35, (side, side, 2)) * strength
    alone = rng.integers(0, 3, (side, side))
    amounts[alone == 0, 0] = 0
    amounts[alone == 1, 1] = 0
    amounts += 0.25 * (alone < 2)[..., None] * np.stack([alone == 1, alone == 0], axis=-1)
    return np.clip(np.rint(240 * np.exp(-(amounts @ stains))), 0, 255).astype(np.uint8)


def real_tiles(focus_data):
    breast = next((focus_data / "st_her2_breast" / "ST-imgs" / "C" / "C2").glob("*.jpg"))
    places = [
        (focus_data / "wsi" / "cmu_small_region.svs", None, 800, 1500),
        (breast, 0.688, 4500, 5000),
        (focus_data / "visium_hd_kidney" / "tissue_image.jpg", 2.0056, 500, 500),
    ]
    for path, mpp, x, y in places:
        with open_slide(path, mpp) as slide:
            yield slide.read(x, y, 384, 384)


def compare(picture, target):
    torchstain = pytest.importorskip("torchstain.numpy.normalizers", reason="torchstain is not installed")
    theirs, _, _ = torchstain.NumpyMacenkoNormalizer().normalize(picture, stains=False)
    difference = np.abs(Macenko().fit(picture).normalise(picture).astype(int) - theirs)
    assert difference.max() <= 1, "they cut to whole levels, we round"
    reference = torchstain.NumpyReinhardNormalizer()
    reference.fit(target)
    ours = Reinhard(lab_statistics(target)).fit(picture).normalise(picture)
    difference = np.abs(ours.astype(int) - reference.normalize(picture))
    # Colours beyond the screen's are clipped in different ways.
    assert difference.mean() < 0.7
    assert np.percentile(difference, 99) <= 2


def test_simulated_tiles_agree_with_torchstain():
    for seed in range(3):
        compare(tile(seed=seed), tile(strength=0.7, seed=9))


@pytest.mark.realdata
def test_real_tiles_agree_with_torchstain(focus_data):
    tiles = list(real_tiles(focus_data))
    for picture in tiles:
        compare(picture, tiles[1])


def test_known_stains_are_found():
    found = fit_stains(tile())
    angles = np.degrees(np.arccos(np.clip((found.vectors * OURS).sum(axis=1), -1, 1)))
    assert angles.max() < 3
    np.testing.assert_allclose(np.linalg.norm(found.vectors, axis=1), 1)


def test_two_laboratories_look_alike_after_macenko():
    other = np.array([[0.75, 0.60, 0.28], [0.25, 0.85, 0.46]])
    other /= np.linalg.norm(other, axis=1, keepdims=True)
    one, two = tile(), tile(other, 0.7)
    before = np.abs(one.astype(int) - two).mean()
    after = np.abs(Macenko().fit(one).normalise(one).astype(int) - Macenko().fit(two).normalise(two)).mean()
    assert after < 0.3 * before


def test_normalised_colours_have_the_targets_stains():
    target = fit_stains(tile(strength=0.8, seed=5))
    picture = tile(REFERENCE_STAINS.vectors)
    found = fit_stains(Macenko(target).fit(picture).normalise(picture))
    np.testing.assert_allclose(found.vectors, target.vectors, atol=0.03)
    np.testing.assert_allclose(found.maxima, target.maxima, rtol=0.05)


def test_reinhard_gives_the_targets_statistics():
    target = np.array([[65.0, 25.0, -12.0], [8.0, 6.0, 5.0]])
    picture = tile()
    np.testing.assert_allclose(lab_statistics(Reinhard(target).fit(picture).normalise(picture)), target, atol=1.0)


def test_one_fit_serves_all_tiles_of_a_slide():
    tiles = np.stack([tile(seed=s, side=64) for s in range(4)])
    for normaliser in (Macenko().fit(tiles), Reinhard().fit(tiles)):
        together = normaliser.normalise(tiles)
        np.testing.assert_array_equal(together[2], normaliser.normalise(tiles[2]))


def test_glass_does_not_move_the_stains():
    picture = tile()
    with_glass = np.concatenate([picture, np.full_like(picture, 240)])
    np.testing.assert_allclose(fit_stains(with_glass).vectors, fit_stains(picture).vectors, atol=1e-6)
    mask = np.arange(len(with_glass))[:, None] < len(picture)
    mask = np.broadcast_to(mask, with_glass.shape[:2])
    np.testing.assert_allclose(lab_statistics(with_glass, mask), lab_statistics(picture))


@pytest.mark.parametrize("normaliser", [Macenko, Reinhard])
def test_too_little_tissue_and_one_colour_are_refused(normaliser):
    flat = np.full((100, 100, 3), (150, 60, 140), np.uint8)
    for picture in (tile(side=10), flat):
        with pytest.raises(BadInputError):
            normaliser().fit(picture)
    with pytest.raises(UsageError):
        normaliser().normalise(flat)


def test_glass_and_a_single_stain_are_refused_by_macenko():
    with pytest.raises(BadInputError, match="too little"):
        fit_stains(np.full((200, 200, 3), 240, np.uint8))
    amounts = np.random.default_rng(0).uniform(0.3, 1.5, (100, 100, 1))
    eosin = np.rint(240 * np.exp(-(amounts * np.array([0.30, 0.80, 0.52])))).astype(np.uint8)
    with pytest.raises(BadInputError, match="only one stain"):
        fit_stains(eosin)

"""Simple methods on shares: each against an independent computation or known truth."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from focus_cli.experts import (
    GeneMean,
    ImageRidge,
    ImageRidgeResiduals,
    InverseDistance,
    NotRunnable,
    OwnCounts,
    Points,
    PrincipalComponents,
    Visible,
)

GENES, FEATURES = 30, 5
ALL = np.arange(GENES)


def section(seed: int = 0, side: int = 20, depth: float = 400.0) -> tuple[Visible, np.ndarray]:
    """Counts on a grid whose true shares follow one image feature; the shares too."""
    rng = np.random.default_rng(seed)
    xy = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2) * 100.0
    features = rng.normal(size=(len(xy), FEATURES)).astype(np.float32)
    features[:, 0] = np.sin(xy[:, 0] / 300) + 0.1 * features[:, 0]
    level = rng.dirichlet(np.ones(GENES) * 5)
    share = level * np.exp(0.6 * features[:, :1] * np.linspace(-1, 1, GENES))
    share /= share.sum(axis=1, keepdims=True)
    exposure = rng.poisson(depth * np.exp(0.3 * rng.normal(size=len(xy)))) + 1
    counts = sparse.csr_matrix(rng.poisson(exposure[:, None] * share).astype(np.float32))
    return Visible(counts, np.asarray(counts.sum(axis=1), float).ravel(), xy, features), share


def everywhere(visible: Visible) -> Points:
    return Points(visible.xy_um, np.arange(len(visible.xy_um)), visible.features)


def elsewhere(visible: Visible) -> Points:
    """Between the locations."""
    return Points(visible.xy_um + 50.0, np.full(len(visible.xy_um), -1), visible.features)


EVERY = [
    GeneMean,
    OwnCounts,
    InverseDistance,
    PrincipalComponents,
    ImageRidge,
    lambda visible: ImageRidgeResiduals(ImageRidge(visible)),
]


@pytest.mark.parametrize("make", EVERY)
def test_shares_are_positive_and_do_not_depend_on_which_genes_are_asked(make):
    visible, _ = section()
    for points in (everywhere(visible), elsewhere(visible)):
        shares = make(visible).at(points)
        whole = shares(ALL)
        assert whole.shape == (len(visible.xy_um), GENES) and whole.dtype == np.float32
        assert (whole > 0).all() and np.isfinite(whole).all()
        np.testing.assert_allclose(shares(np.array([7, 2])), whole[:, [7, 2]], rtol=1e-5)


@pytest.mark.parametrize("make", EVERY)
def test_blocks_of_points_change_nothing(make):
    visible, _ = section()
    expert, points = make(visible), everywhere(visible)
    whole = expert.at(points)(ALL)
    for rows in np.array_split(np.arange(len(visible.xy_um)), 7):
        np.testing.assert_allclose(expert.at(points.take(rows))(ALL), whole[rows], rtol=2e-5)


@pytest.mark.parametrize("make", EVERY)
def test_locations_without_counts_are_ignored(make):
    visible, _ = section()
    keep = np.arange(len(visible.xy_um)) % 3 > 0
    counts = sparse.csr_matrix(visible.counts.multiply(keep[:, None]))
    holed = Visible(counts, visible.exposure * keep, visible.xy_um, visible.features)
    fewer = Visible(visible.counts[keep], visible.exposure[keep], visible.xy_um[keep], visible.features[keep])
    points = elsewhere(visible)
    np.testing.assert_allclose(make(holed).at(points)(ALL), make(fewer).at(points)(ALL), rtol=1e-4)


def test_neighbours_never_use_the_location_itself():
    visible, _ = section()
    far = visible.counts.copy().tolil()
    far[7] = 1000.0
    changed = Visible(far.tocsr(), visible.exposure, visible.xy_um, visible.features)
    one, other = (InverseDistance(v).weights(everywhere(v)) for v in (visible, changed))
    assert one[7, 7] == 0
    np.testing.assert_array_equal(one.toarray(), other.toarray())


def test_inverse_distance_is_what_the_formula_says():
    visible, _ = section()
    points = Points(np.array([[437.0, 522.0]]), np.array([-1]))
    distance = np.linalg.norm(visible.xy_um - points.xy_um[0], axis=1)
    near = np.argsort(distance, kind="stable")[:6]
    weight = distance[near] ** -2 / (distance[near] ** -2).sum()
    counts, exposure = visible.counts.toarray()[near], visible.exposure[near]
    expected = (weight @ counts + 20 * visible.level) / (weight @ exposure + 20)
    np.testing.assert_allclose(InverseDistance(visible).at(points)(ALL)[0], expected, rtol=1e-5)


def test_components_are_those_of_the_dense_residuals():
    visible, _ = section()
    root = np.sqrt(visible.exposure[:, None] * visible.level)
    residual = (visible.counts.toarray() - root**2) / root
    u, s, vt = np.linalg.svd(residual, full_matrices=False)
    kept = (u[:, :20] * s[:20]) @ vt[:20]
    expected = np.maximum(
        visible.level + kept * np.sqrt(visible.level / visible.exposure[:, None]), 0.05 * visible.level
    )
    np.testing.assert_allclose(
        PrincipalComponents(visible).at(everywhere(visible))(ALL), expected, rtol=1e-3, atol=1e-5
    )


def test_the_ridge_finds_what_the_image_shows_and_solves_its_equations():
    visible, share = section()
    ridge = ImageRidge(visible)
    relative = ridge.at(everywhere(visible))(ALL) / visible.level
    truth = share / share.mean(axis=0)
    for gene in (0, GENES - 1):
        assert np.corrcoef(relative[:, gene], truth[:, gene])[0, 1] > 0.9
        assert np.polyfit(relative[:, gene], truth[:, gene], 1)[0] == pytest.approx(1, abs=0.25)
    # Another section with the same relation is predicted as well.
    other, known = section(seed=1)
    found = ridge.relative(other.features, np.array([0]))[:, 0]
    assert np.corrcoef(found, known[:, 0])[0, 1] > 0.85


def test_residuals_add_what_the_image_does_not_show():
    visible, _ = section(depth=4000)
    west = (visible.xy_um[:, 0] < 1000).astype(float)
    counts = visible.counts.toarray()
    counts[:, 4] = np.random.default_rng(3).poisson(20 + 80 * west)
    blind = Visible(sparse.csr_matrix(counts), visible.exposure, visible.xy_um, visible.features * 0 + 1)
    ridge = ImageRidge(blind)
    points = elsewhere(blind)
    inner = np.abs(points.xy_um[:, 0] - 1000) > 250
    gene = np.array([4])
    plain, added = (expert.at(points)(gene)[inner, 0] for expert in (ridge, ImageRidgeResiduals(ridge)))
    assert np.ptp(plain) < 1e-6
    assert np.corrcoef(added, west[inner])[0, 1] > 0.95


def test_what_is_missing_is_named():
    visible, _ = section(side=4)
    with pytest.raises(NotRunnable, match="image"):
        ImageRidge(Visible(visible.counts, visible.exposure, visible.xy_um))
    with pytest.raises(NotRunnable, match="measured"):
        OwnCounts(Visible(visible.counts * 0, visible.exposure * 0, visible.xy_um))

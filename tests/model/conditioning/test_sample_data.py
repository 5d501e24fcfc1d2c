"""A stored sample as the network meets it: image features, shares, views, cell states."""

from __future__ import annotations

from dataclasses import replace

import anndata
import numpy as np
import pandas as pd
import pytest
from model.training.tiny_cohort import N_GENES, PITCH_UM, grow, store_tissue, write_cells
from scipy import sparse

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import open_sample
from focus_cli.genes.reference import build_reference
from focus_cli.model.conditioning import load_sample_data, make_view
from focus_cli.model.conditioning.conditions import state_latents
from focus_cli.model.conditioning.sample import without_image
from focus_cli.model.priors import fit_prior, panel_statistics


@pytest.fixture(scope="module")
def tissue():
    return grow()


@pytest.fixture(scope="module")
def data(tissue, tmp_path_factory):
    folder = tmp_path_factory.mktemp("conditioning")
    return load_sample_data(open_sample(store_tissue(folder / "S1", tissue)))


@pytest.fixture(scope="module")
def prior(tissue):
    return fit_prior([tissue.for_prior], 3)


def view_of(data, prior, *, use_image=True, counts=None):
    counts = data.counts if counts is None else counts
    rows = prior.rows(data.names)
    encoder = panel_statistics(prior.loadings[rows], data.baseline(prior)[rows], np.ones(len(rows), bool))
    return make_view(
        counts,
        np.asarray(counts.sum(axis=1)).ravel(),
        encoder,
        data.pooling,
        data.features(data.xy_um),
        np.zeros((0, prior.n_factors), np.float32),
        data.descriptors(),
        np.zeros(0, np.float32),
        use_image=use_image,
    )


def test_the_sample_is_what_was_stored(data, tissue):
    assert (data.counts != tissue.counts).nnz == 0
    assert data.names.tolist() == tissue.names.tolist()
    np.testing.assert_array_equal(data.exposure, tissue.counts.toarray().sum(axis=1))
    np.testing.assert_array_equal(data.xy_um, tissue.xy_um)


def test_image_features_are_standardised_over_the_tissue(data):
    values = data.features(data.raster.tissue_grid(32.0))
    np.testing.assert_allclose(values.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose(values.std(axis=0), 1, atol=0.05)


def test_the_image_shows_the_first_factor(data, tissue):
    features = data.features(data.xy_um)
    assert np.corrcoef(features[:, 0], tissue.factors[:, 0])[0, 1] > 0.95
    assert np.corrcoef(features[:, 1], tissue.factors[:, 0])[0, 1] < -0.95


def test_a_stain_that_scales_and_shifts_features_changes_nothing(data):
    class Restained:
        def __init__(self, raster):
            self.names, self._raster = raster.names, raster

        def sample(self, xy, then):
            return then(1.7 * self._raster.sample(xy) + 0.4)

    restained = replace(
        data,
        raster=Restained(data.raster),
        feature_mean=1.7 * data.feature_mean + 0.4,
        feature_sd=1.7 * data.feature_sd,
    )
    np.testing.assert_allclose(restained.features(data.xy_um), data.features(data.xy_um), atol=1e-4)


def test_footprint_points_lie_within_the_footprint_around_its_centre(data):
    points = data.footprint_points()
    assert len(points) == 7 and np.linalg.norm(points, axis=1).max() < data.info.footprint.size_um / 2
    np.testing.assert_allclose(points.mean(axis=0), 0, atol=1e-9)
    assert without_image(data, 3).footprint_points().tolist() == [[0.0, 0.0]]


def test_shares_are_those_of_the_sample_where_it_has_molecules(data, prior):
    share = data.baseline(prior)
    expected = data.counts.toarray().sum(axis=0) / data.counts.sum()
    np.testing.assert_allclose(share, expected, rtol=0.05)
    assert share.sum() == pytest.approx(1)


def test_shares_are_those_of_the_cohort_where_the_sample_has_none(data, prior):
    empty = replace(data, counts=sparse.csr_matrix(data.counts.shape, dtype=np.float32))
    np.testing.assert_allclose(empty.baseline(prior), prior.baseline, rtol=1e-6)
    np.testing.assert_allclose(empty.panel_share(), 1 / N_GENES)


def test_a_view_keeps_all_molecules_at_every_scale(data, prior):
    view = view_of(data, prior)
    for exposure in view.nodes.exposure:
        assert float(exposure.sum()) == pytest.approx(data.exposure.sum() / 3000.0, rel=1e-5)
    totals = [statistics.sum(dim=0).numpy() for statistics in view.nodes.statistics]
    for total in totals[1:]:
        np.testing.assert_allclose(total, totals[0], rtol=1e-3, atol=1e-2)


def test_scales_over_the_same_nodes_share_their_tensors(data, prior):
    nodes = view_of(data, prior).nodes
    assert nodes.statistics[0] is nodes.statistics[1] and nodes.features[0] is nodes.features[1]
    assert nodes.statistics[1] is not nodes.statistics[2]


def test_a_view_says_whether_it_has_an_image(data, prior):
    assert view_of(data, prior).nodes.has_image
    assert not view_of(data, prior, use_image=False).nodes.has_image
    assert not view_of(without_image(data, 0), prior).nodes.has_image


def test_a_view_without_an_image_queries_zeros(data, prior):
    blind = without_image(data, 3)
    assert (blind.features(data.xy_um[:5]) == 0).all() and blind.features(data.xy_um[:5]).shape == (5, 3)
    query = view_of(blind, prior, use_image=False).query(data.xy_um[:5], blind.features(data.xy_um[:5]))
    assert query.features.shape == (5, 3) and query.descriptors.shape == (5, 5)


def test_a_sample_without_an_image_loads(tissue, tmp_path):
    plain = load_sample_data(open_sample(store_tissue(tmp_path / "S1", tissue, image=False)))
    assert plain.raster is None and plain.n_features == 0
    assert plain.features(plain.xy_um[:3]).shape == (3, 0)


def test_a_sample_without_genes_is_refused(tissue, tmp_path):
    none = replace(tissue, names=tissue.names[:0], counts=tissue.counts[:, :0])
    with pytest.raises(BadInputError, match="0 genes"):
        load_sample_data(open_sample(store_tissue(tmp_path / "S1", none, image=False)))


def test_cell_states_lie_where_their_cells_are(tissue, prior, tmp_path):
    write_cells(tmp_path / "cells.h5ad")
    reference = build_reference(tmp_path / "cells.h5ad", tmp_path / "out", n_states=6)
    latents = state_latents(reference, prior)
    assert latents.shape == (reference.prototypes.n_obs, prior.n_factors) and np.abs(latents).max() <= 4
    kind = reference.prototypes.obs["cell_type"].to_numpy(str)
    centres = np.array([latents[kind == k].mean(axis=0) for k in "ABC"])
    nearest = np.linalg.norm(latents[:, None] - centres, axis=2).argmin(axis=1)
    assert np.array(["A", "B", "C"])[nearest].tolist() == kind.tolist()


def test_without_a_reference_there_are_no_states(prior):
    assert state_latents(None, prior).shape == (0, prior.n_factors)


def test_states_do_not_depend_on_the_order_of_genes(prior):
    rng = np.random.default_rng(0)
    proportions = rng.dirichlet(np.ones(N_GENES), 4).astype(np.float32)
    names = [f"G{j:03d}" for j in range(N_GENES)]
    order = rng.permutation(N_GENES)

    class Holder:
        def __init__(self, x, index):
            self.prototypes = anndata.AnnData(x, var=pd.DataFrame(index=index))

    plain = state_latents(Holder(proportions, names), prior)
    shuffled = state_latents(Holder(proportions[:, order], [names[i] for i in order]), prior)
    np.testing.assert_allclose(shuffled, plain, rtol=1e-4, atol=1e-5)


def test_the_pitch_is_the_unit_of_the_scales(data):
    assert [level.width_um / PITCH_UM for level in data.pooling.levels] == [0.35, 1.0, 2.0, 4.0, 8.0]

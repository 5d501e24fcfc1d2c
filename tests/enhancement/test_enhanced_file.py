"""The enhanced file and the refined one: their fields, and what the values in them mean."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
import torch
from enhancement.enhancing import DENSE
from model.training.tiny_cohort import (
    MPP,
    N_GENES,
    N_OUTSIDE,
    PITCH_UM,
    gene_program,
)
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import UsageError
from focus_cli.core.statistics.lognorm import LogNormReading
from focus_cli.core.storage import open_sample
from focus_cli.enhancement import enhance
from focus_cli.enhancement.queries import refined_grid
from focus_cli.enhancement.stage import EnhanceOptions
from focus_cli.model.conditioning import load_sample_data


def test_locations_and_genes_are_those_of_the_sample_and_of_the_reference(adata, cohort):
    sample = open_sample(cohort.sample).read()
    assert adata.obs_names.equals(sample.obs_names)
    assert adata.var_names[:N_GENES].equals(sample.var_names)
    assert adata.var_names[N_GENES:].tolist() == [f"Z{j:03d}" for j in range(N_OUTSIDE)]
    for column in sample.obs:
        assert (adata.obs[column] == sample.obs[column]).all()


def test_measured_and_inferred_genes_are_told_apart(adata):
    assert adata.var[keys.MEASURED].dtype == bool
    assert adata.var[keys.MEASURED].tolist() == [True] * N_GENES + [False] * N_OUTSIDE
    assert adata.uns[keys.UNS]["n_measured"] == N_GENES and adata.uns[keys.UNS]["n_imputed"] == N_OUTSIDE


def test_counts_are_the_vendors(adata, cohort):
    layer = adata.layers[keys.COUNTS]
    assert sparse.isspmatrix_csr(layer)
    assert (layer[:, :N_GENES] != cohort.tissue.counts).nnz == 0
    assert layer[:, N_GENES:].nnz == 0


def test_layers_are_dense_finite_and_in_order(adata):
    for matrix in (adata.X, *(adata.layers[name] for name in DENSE)):
        assert matrix.dtype == np.float32 and matrix.shape == adata.shape
        assert np.isfinite(matrix).all() and (matrix >= 0).all()
    low, mean, high = adata.layers["q05"], adata.X, adata.layers["q95"]
    assert (low <= mean * 1.001 + 1e-6).all() and (mean <= high * 1.001 + 1e-6).all()
    assert (adata.layers["std"][:, adata.var[keys.MEASURED].to_numpy()] > 0).any(axis=0).all()


def test_mean_counts_and_x_are_shares_read_at_the_locations_own_exposure(adata, cohort):
    exposure = np.asarray(cohort.tissue.counts.sum(axis=1))
    share = adata.layers["mean_counts"] / exposure
    read = LogNormReading(exposure.ravel())(torch.from_numpy(share.astype(np.float32)))
    np.testing.assert_allclose(adata.X, read, rtol=0.01, atol=5e-3)
    measured = adata.layers["mean_counts"][:, :N_GENES].sum()
    assert measured == pytest.approx(cohort.tissue.counts.sum(), rel=0.05)


def test_x_has_the_mean_of_log_normalised_counts(adata, cohort):
    """The scale of an ordinary log-normalised matrix, gene by gene: an estimate can be laid beside it."""
    exposure = np.asarray(cohort.tissue.counts.sum(axis=1))
    ordinary = np.log1p(1e4 * cohort.tissue.counts.toarray() / exposure)
    np.testing.assert_allclose(adata.X[:, :N_GENES].mean(axis=0), ordinary.mean(axis=0), rtol=0.1, atol=0.1)


def test_the_exposure_of_a_location_is_its_molecules(adata, refined, cohort):
    exposure = np.asarray(cohort.tissue.counts.sum(axis=1)).ravel()
    np.testing.assert_allclose(adata.obs[keys.EXPOSURE], exposure)
    # Cells of the refined grid hold about their parent's molecules by area; the image tells them apart.
    parent = adata.obs_names.get_indexer(refined.obs[keys.PARENT].astype(str))
    share = refined.obs[keys.EXPOSURE].to_numpy() / exposure[parent]
    assert share.min() > 0 and share.max() <= 1
    by_area = refined.uns[keys.UNS]["resolution_um"] ** 2 / (np.pi * 27.5**2)
    np.testing.assert_allclose(np.median(share), by_area, rtol=0.1)


def test_positions_are_in_pixels_and_in_micrometres(adata, cohort):
    np.testing.assert_allclose(adata.obsm[keys.SPATIAL_UM], cohort.tissue.xy_um)
    np.testing.assert_allclose(adata.obsm[keys.SPATIAL] * MPP, cohort.tissue.xy_um)


def test_attention_is_over_the_states_of_the_reference(adata, cohort):
    attention = adata.obsm[keys.STATE_ATTENTION]
    assert isinstance(attention, pd.DataFrame) and attention.index.equals(adata.obs_names)
    prototypes = anndata.read_h5ad(cohort.reference / keys.PROTOTYPES_H5AD)
    assert list(attention.columns) == list(prototypes.obs_names)
    np.testing.assert_allclose(attention.sum(axis=1), 1, atol=1e-4)


def test_latents_and_reliabilities(adata):
    assert adata.obsm[keys.LATENT].dtype == np.float32
    assert adata.obsm[keys.LATENT].shape == adata.obsm["focus_latent_sd"].shape
    assert (adata.obsm["focus_latent_sd"] > 0).all()
    for table, column in ((adata.obs, keys.OBS_RELIABILITY), (adata.var, keys.VAR_RELIABILITY)):
        assert table[column].between(0, 1).all()


def test_the_record_of_the_run(adata):
    focus = adata.uns[keys.UNS]
    assert (focus["kind"], focus["sample_id"], focus["mpp"]) == ("enhanced", "S1", MPP)
    record = json.loads(focus["provenance"])
    assert record["command"] == "enhance" and record["seed"] == 0
    assert set(record["inputs"]) == {"sample", "model", "reference"}
    assert all(len(entry["sha256"]) == 64 for entry in record["inputs"].values())


def test_scanpy_and_squidpy_conventions_hold(adata):
    import scanpy as sc

    library = adata.uns[keys.UNS_SPATIAL]["S1"]
    assert library["scalefactors"]["spot_diameter_fullres"] == 110.0
    fresh = adata.copy()
    sc.pp.pca(fresh, n_comps=3)
    assert fresh.obsm["X_pca"].shape == (adata.n_obs, 3)
    sc.pl.embedding(fresh, basis="spatial", color="Z000", show=False)


def test_values_follow_the_tissue(adata, cohort):
    """Even after a few steps a gene's estimate is nearer to the truth than its counts are."""
    truth = np.log1p(1e4 * cohort.tissue.share)
    raw = cohort.tissue.counts.toarray()
    raw = np.log1p(1e4 * raw / raw.sum(axis=1, keepdims=True))
    ours = ((adata.X[:, :N_GENES] - truth) ** 2).mean()
    assert ours < ((raw - truth) ** 2).mean()


def test_inferred_genes_follow_the_factor_that_drives_them(adata, cohort):
    """Genes that only the cells know land where their factor is; signs come from the program."""
    loadings = gene_program()[1][N_GENES:]
    for gene, weights in enumerate(loadings):
        if np.abs(weights).sum():
            pattern = cohort.tissue.factors @ weights
            assert np.corrcoef(adata.X[:, N_GENES + gene], pattern)[0, 1] > 0.5


@pytest.fixture(scope="module")
def refined(cohort, tmp_path_factory):
    folder = tmp_path_factory.mktemp("refined")
    enhance(
        cohort.sample,
        folder / "a.h5ad",
        model=cohort.model,
        reference=cohort.reference,
        refined=folder / "fine.h5ad",
        options=EnhanceOptions(resolution_um=40.0),
    )
    return anndata.read_h5ad(folder / "fine.h5ad")


def test_the_refined_grid_is_regular_and_every_cell_has_its_nearest_parent(refined, adata):
    xy = refined.obsm[keys.SPATIAL_UM]
    for axis in range(2):
        steps = np.diff(np.unique(xy[:, axis].round(6)))
        np.testing.assert_allclose(steps, 40.0, atol=1e-6)
    parents = refined.obs[keys.PARENT].astype(str)
    assert set(parents) <= set(adata.obs_names)
    at = adata.obsm[keys.SPATIAL_UM][adata.obs_names.get_indexer(parents)]
    nearest = np.linalg.norm(xy[:, None] - adata.obsm[keys.SPATIAL_UM][None], axis=2).min(axis=1)
    np.testing.assert_allclose(np.linalg.norm(xy - at, axis=1), nearest)


def test_the_refined_file_has_the_fields_of_an_enhanced_one(refined, adata):
    assert refined.uns[keys.UNS]["kind"] == "refined" and refined.uns[keys.UNS]["resolution_um"] == 40.0
    assert refined.var_names.equals(adata.var_names)
    assert set(refined.layers) == set(adata.layers) and refined.layers[keys.COUNTS].nnz == 0
    assert refined.obs_names.is_unique and np.isfinite(refined.X).all()
    library = refined.uns[keys.UNS_SPATIAL]["S1"]
    assert library["scalefactors"]["spot_diameter_fullres"] == pytest.approx(40.0 / MPP)


def test_refined_estimates_agree_with_their_parents(refined, adata):
    xy, home = refined.obsm[keys.SPATIAL_UM], adata.obsm[keys.SPATIAL_UM]
    parent = adata.obs_names.get_indexer(refined.obs[keys.PARENT].astype(str))
    close = np.linalg.norm(xy - home[parent], axis=1) < 30
    assert close.sum() > 50
    ours, theirs = refined.X[close], adata.X[parent[close]]
    varying = theirs.std(axis=0) > 0.1
    assert np.corrcoef(ours[:, varying].ravel(), theirs[:, varying].ravel())[0, 1] > 0.95


@pytest.mark.parametrize("resolution", [0.5, PITCH_UM + 1])
def test_a_resolution_that_makes_no_sense_is_refused(cohort, resolution):
    with pytest.raises(UsageError, match="100 µm apart"):
        refined_grid(load_sample_data(open_sample(cohort.sample)), resolution)

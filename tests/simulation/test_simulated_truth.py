"""The truth is what the counts are drawn from, and it is what it says it is."""

from __future__ import annotations

import anndata
import numpy as np
import pytest
import scanpy as sc
from scipy.stats import kstest

from focus_cli.simulation.arrays import FINE_UM, Locations
from focus_cli.simulation.expression import make_programs
from focus_cli.simulation.footprints import SPREAD_UM, capture_weights
from focus_cli.simulation.measurement import DISPERSION, Measurement, draw_counts
from focus_cli.simulation.tissue import CELL_TYPES, Cells

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def _cells(xy: np.ndarray) -> Cells:
    n = len(xy)
    xy = np.asarray(xy, dtype=float)
    return Cells(xy, np.zeros(n, dtype=int), np.zeros((n, 3), np.float32), np.ones(n, np.float32))


def _at(xy: np.ndarray, shape: str, size: float) -> Locations:
    n = len(xy)
    zero = np.zeros(n, dtype=int)
    names = np.array([str(i) for i in range(n)])
    return Locations(names, zero, zero, np.asarray(xy, float), 1.0, np.ones(n, bool), shape, size, size)


@pytest.mark.parametrize("shape", ["circle", "square"])
def test_a_footprint_collects_the_integral_of_a_cell_over_it(shape):
    size, cell = 55.0, np.array([[18.0, 9.0]])
    weight = capture_weights(_at(np.zeros((1, 2)), shape, size), _cells(cell))[0, 0]
    step = 0.1
    axis = np.arange(-size / 2 + step / 2, size / 2, step)
    x, y = np.meshgrid(axis, axis)
    density = np.exp(-((x - 18) ** 2 + (y - 9) ** 2) / 2 / SPREAD_UM**2) / (2 * np.pi * SPREAD_UM**2)
    if shape == "circle":
        density = density[np.hypot(x, y) <= size / 2]
    assert weight == pytest.approx(density.sum() * step**2, abs=2e-4)
    assert 0.5 < weight < 0.95  # a case in which the edge matters


def test_bins_that_tile_the_plane_share_each_cell_without_loss():
    axis = np.arange(-100.0, 101.0, 8.0)
    grid = np.stack(np.meshgrid(axis, axis), axis=-1).reshape(-1, 2)
    cells = _cells(np.random.default_rng(0).uniform(-30, 30, (50, 2)))
    total = np.asarray(capture_weights(_at(grid, "square", 8.0), cells).sum(axis=0)).ravel()
    assert np.allclose(total, 1.0, atol=2e-4)


def test_a_location_far_from_every_cell_still_expects_something():
    weights = capture_weights(_at(np.array([[500.0, 0.0], [0.0, 0.0]]), "circle", 55.0), _cells(np.zeros((1, 2))))
    assert 0 < weights[0, 0] < 1e-12 < weights[1, 0]


def test_counts_have_the_stated_mean_and_variance(small):
    study = small("visium_hd")
    truth = study.truth
    matrix = sc.read_10x_h5(study.raw / "binned_outputs/square_008um/filtered_feature_bc_matrix.h5")
    assert list(matrix.obs_names) == list(truth.obs_names)
    panel = truth[:, truth.var["measured"]]
    assert list(matrix.var_names) == list(panel.var_names)
    said = truth.uns["focus_truth"]
    ambient, dispersion = said["ambient"], said["dispersion"]
    profile = panel.var["ambient_profile"].to_numpy()
    mean = truth.obs["efficiency"].to_numpy()[:, None] * ((1 - ambient) * panel.X + ambient * profile)
    variance = mean + dispersion * mean**2
    counts = matrix.X.toarray()

    z = (counts.sum(axis=0) - mean.sum(axis=0)) / np.sqrt(variance.sum(axis=0))
    assert np.abs(z).max() < 4.5
    assert 0.7 < z.std() < 1.3
    assert kstest(z, "norm").pvalue > 1e-3
    seen = mean > 0.05
    squares = (counts[seen] - mean[seen]) ** 2
    assert (squares / variance[seen]).mean() == pytest.approx(1.0, abs=0.05)


def test_counts_are_overdispersed_as_stated():
    n, level = 20_000, np.array([0.2, 2.0, 20.0, 200.0])
    how = Measurement(np.ones(4), np.ones(n), np.zeros(4), ambient=0.0)
    panel = np.ones(4, dtype=bool)
    truth = np.tile(level.astype(np.float32), (n, 1))
    counts = draw_counts(np.random.default_rng(0), truth, how.efficiency, how, panel).toarray()
    assert np.allclose(counts.mean(axis=0), level, rtol=0.03)
    assert np.allclose(counts.var(axis=0), level + DISPERSION * level**2, rtol=0.06)
    assert counts[:, 3].var() > 5 * level[3]  # far from a Poisson


def test_the_ambient_profile_is_the_mean_of_the_truth(small):
    truth = small("visium").truth
    assert np.allclose(truth.var["ambient_profile"], truth.X.mean(axis=0), rtol=1e-4)


def test_fine_truth_is_the_sum_of_the_bins_inside(small):
    study = small("visium_hd")
    bins, fine = study.truth, study.fine
    place = {tuple(xy): i for i, xy in enumerate(np.round(fine.obsm["spatial_um"], 3))}
    blocks = np.round(np.floor(bins.obsm["spatial_um"] / FINE_UM) * FINE_UM + FINE_UM / 2, 3)
    group = np.array([place.get(tuple(xy), -1) for xy in blocks])
    whole = np.flatnonzero(np.bincount(group[group >= 0], minlength=fine.n_obs) == 4)
    assert len(whole) > 500
    summed = np.zeros(fine.shape)
    np.add.at(summed, group[group >= 0], bins.X[group >= 0])
    # Four small footprints reach cells that lie just beyond the reach of the large one, and the reverse.
    assert np.abs(summed[whole] - fine.X[whole]).max() < 2e-3 * fine.X.max()
    big = fine.X[whole] > 1.0
    assert np.allclose(summed[whole][big], fine.X[whole][big], rtol=2e-2)


def test_a_quarter_of_the_genes_is_outside_the_panel_in_every_program():
    programs = make_programs(seed=0, n_panel=400)
    assert programs.measured.sum() == 400
    assert programs.n_genes == 533
    for name in np.unique(programs.program):
        share = programs.measured[programs.program == name].mean()
        assert share == pytest.approx(0.75, abs=0.04), name
    assert len(set(programs.symbols)) == len(set(programs.gene_ids)) == programs.n_genes


def test_the_tissue_of_a_seed_is_the_same_on_every_platform(small):
    fine = {name: small(name).fine for name in ("visium", "visium_hd", "legacy_st")}
    biology = {k: a.X / a.var["platform_factor"].to_numpy() for k, a in fine.items()}
    assert np.allclose(biology["visium"], biology["visium_hd"], rtol=1e-4)
    assert np.allclose(biology["visium"], biology["legacy_st"], rtol=1e-4)
    assert not np.allclose(fine["visium"].X, fine["visium_hd"].X, rtol=1e-2)


def test_markers_follow_their_type_and_states_vary_within_it(small):
    fine = small("visium").fine
    share = fine.obsm["cell_type_proportions"]
    assert list(share.columns) == list(CELL_TYPES)
    assert np.allclose(share.sum(axis=1), 1, atol=1e-5)
    total = fine.X.sum(axis=1)
    for name in ("Tumour epithelial", "T cell", "Fibroblast"):
        markers = (fine.var["program"] == f"marker: {name}").to_numpy()
        signal = np.log1p(1e4 * fine.X[:, markers].sum(axis=1) / total)
        correlation = share.apply(lambda column, s=signal: np.corrcoef(column, s)[0, 1])
        assert correlation.idxmax() == name, correlation
    # Where there is almost only tumour, state genes still move and housekeeping genes do not.
    pure = (share["Tumour epithelial"] > 0.98).to_numpy()
    log = np.log(fine.X[pure] / total[pure, None])
    program = fine.var["program"].astype(str).to_numpy()
    assert log[:, program == "state: activity"].std(axis=0).mean() > 2 * (
        log[:, program == "housekeeping"].std(axis=0).mean()
    )


def test_reference_holds_every_gene_and_type_as_raw_counts(small):
    study = small("visium")
    reference = anndata.read_h5ad(study.path / "reference.h5ad")
    truth = study.truth
    assert list(reference.var_names) == list(truth.var_names)
    assert list(reference.var["gene_ids"]) == list(truth.var["gene_ids"])
    assert set(reference.obs["cell_type"]) == set(CELL_TYPES)
    assert reference.X.format == "csr"
    assert (reference.X.data > 0).all() and (reference.X.data == np.rint(reference.X.data)).all()
    assert 600 <= reference.n_obs <= 1000
    marker = (truth.var["program"] == "marker: T cell").to_numpy()
    own = (reference.obs["cell_type"] == "T cell").to_numpy()
    share = np.asarray(reference.X[:, marker].sum(axis=1)).ravel() / np.asarray(reference.X.sum(axis=1)).ravel()
    assert share[own].mean() > 3 * share[~own].mean()

"""Domains over a cohort: known regions come back, the number of them too, and nothing depends on order."""

from __future__ import annotations

import json

import anndata
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from scipy.spatial import cKDTree
from sklearn.metrics import adjusted_rand_score

from focus_cli.analysis.domains.boundary import neighbours, on_boundary
from focus_cli.analysis.domains.mixture import COVARIANCES, Trial, aligned, choose, stability
from focus_cli.analysis.domains.section import tissue_vectors
from focus_cli.analysis.domains.stability import flattened, halves, sharpness
from focus_cli.analysis.domains.stage import find_domains
from focus_cli.cli.domains import command
from focus_cli.core.errors import BadInputError, OutputExistsError, UsageError

SIDE = 14


def embedding(path, name, seed, *, space="m/joint/50,150um", draws=2, change=None, regions=3, footprint=0.0):
    """An embedding of SIDE² locations whose regions are columns of the array; `change` may spoil it."""
    rng = np.random.default_rng(seed)
    xy = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=2).reshape(-1, 2) * 100.0
    region = (xy[:, 0] / 100 * regions / SIDE).astype(int)
    centres = np.random.default_rng(7).normal(size=(regions, 6)) * 3
    vectors = (centres[region] + rng.normal(size=(len(xy), 6))).astype(np.float32)
    adata = anndata.AnnData(
        obs=pd.DataFrame({"in_tissue": 1, "region": region}, index=[f"l{i}" for i in range(len(xy))])
    )
    adata.obsm["spatial"], adata.obsm["spatial_um"] = xy / 2, xy
    for draw in ["", *(f"_sample_{number}" for number in range(draws))]:
        noise = 0.1 * rng.normal(size=vectors.shape) if draw else 0
        adata.obsm[f"focus_neighbourhood{draw}"] = (vectors + noise).astype(np.float32)
        adata.obsm[f"focus_location{draw}"] = adata.obsm[f"focus_neighbourhood{draw}"][:, :3]
    adata.uns["focus"] = {"kind": "embedding", "sample_id": name, "space": space, "pitch_um": 100.0, "mpp": 2.0}
    adata.uns["focus"] |= {"footprint_um": footprint, "widths_um": "[50.0, 150.0]"}
    if change is not None:
        adata = change(adata)
    adata.write_h5ad(path)
    return path


@pytest.fixture
def cohort(tmp_path):
    return [embedding(tmp_path / f"e{i}.h5ad", f"S{i}", i) for i in (1, 2)]


def read(folder):
    return {path.stem: anndata.read_h5ad(path) for path in sorted(folder.glob("*.h5ad"))}


def test_regions_come_back_alike_in_all_samples(cohort, tmp_path):
    find_domains(cohort, tmp_path / "out")
    told = json.loads((tmp_path / "out" / "domains.json").read_text())
    assert told["n_domains"] == 3 and told["chosen_by"] == "stability" and told["stability"]["3"] > 0.95
    maps = read(tmp_path / "out")
    assert set(maps) == {"S1", "S2"}
    region = np.concatenate([anndata.read_h5ad(path).obs["region"] for path in cohort])
    domain = np.concatenate([m.obs["domain"].to_numpy(str) for m in maps.values()])
    assert adjusted_rand_score(region, domain) > 0.97
    for name, made in maps.items():
        assert list(made.obs["domain"].cat.categories) == ["D1", "D2", "D3"]
        assert made.obs["domain_confidence"].between(0, 1).all() and made.obs["domain_confidence"].mean() > 0.95
        np.testing.assert_allclose(made.obsm["domain_probability"].sum(axis=1), 1, atol=1e-4)
        edge = made.obs["domain_boundary"].to_numpy().reshape(SIDE, SIDE)
        assert edge.dtype == bool and edge[:, 4:6].mean() > 0.8 and edge[:, 1:3].mean() < 0.1
        assert made.obs["domain_boundary_confidence"].between(0, 1).all()
        assert abs(sum(told["samples"][name]["share"].values()) - 1) < 1e-5
        assert made.uns["focus"]["kind"] == "domains" and made.uns["focus"]["n_domains"] == 3


def test_a_spot_stands_for_itself_and_a_cell_for_what_lies_around_it():
    location = np.full((4, 3), 1.0)
    neighbourhood = np.concatenate([np.full((4, 3), 2.0), np.full((4, 3), 3.0)], axis=1)
    assert (tissue_vectors(location, neighbourhood, (50, 150), 8.0) == neighbourhood).all()
    assert tissue_vectors(location, neighbourhood, (50, 150), 55.0)[0].tolist() == [1, 1, 1, 3, 3, 3]
    assert tissue_vectors(location, neighbourhood, (50, 150), 200.0)[0].tolist() == [1] * 6
    with pytest.raises(ValueError, match="blocks"):
        tissue_vectors(location, neighbourhood, (50,), 55.0)


def test_what_one_spot_resolves_is_not_blurred(tmp_path):
    def blurred(adata):
        """Neighbours of other regions are in every kernel: only locations hold the three regions."""
        rng = np.random.default_rng(5)
        centres = 4 * np.eye(3)
        for key in [key for key in adata.obsm if key.startswith("focus_location")]:
            adata.obsm[key] = (centres[adata.obs["region"]] + rng.normal(size=(adata.n_obs, 3))).astype(np.float32)
            around = key.replace("location", "neighbourhood")
            adata.obsm[around] = rng.normal(size=(adata.n_obs, 6)).astype(np.float32)
        return adata

    agreed = {}
    for footprint in (55.0, 8.0):
        path = embedding(tmp_path / f"{footprint}.h5ad", "S1", 1, change=blurred, footprint=footprint)
        find_domains([path], tmp_path / str(footprint), n_domains=3)
        made = read(tmp_path / str(footprint))["S1"]
        agreed[footprint] = adjusted_rand_score(anndata.read_h5ad(path).obs["region"], made.obs["domain"])
    assert agreed[55.0] > 0.9 and agreed[8.0] < 0.1


def test_same_seed_same_bytes_and_no_order(cohort, tmp_path):
    find_domains(cohort, tmp_path / "a", n_domains=3)
    find_domains(cohort, tmp_path / "b", n_domains=3)
    for name in ("S1.h5ad", "S2.h5ad", "domains.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    order = np.random.default_rng(0).permutation(SIDE**2)
    turned = [embedding(tmp_path / "t1.h5ad", "S1", 1, change=lambda a: a[order].copy()), cohort[1]]
    find_domains(turned[::-1], tmp_path / "c", n_domains=3)
    first, other = read(tmp_path / "a"), read(tmp_path / "c")
    for name, made in first.items():
        assert (other[name][made.obs_names].obs["domain"].to_numpy() == made.obs["domain"].to_numpy()).all()
        np.testing.assert_allclose(
            other[name][made.obs_names].obs["domain_confidence"], made.obs["domain_confidence"], atol=1e-3
        )


def test_where_nothing_differs_no_number_is_stable():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(300, 8))
    halved = halves(rng.uniform(0, 1000, (300, 2)), np.zeros(300, int), 0)
    assert max(stability(values, halved, k, covariance, 0) for k in (2, 3, 5) for covariance in COVARIANCES) < 0.5


def test_the_most_stable_is_chosen_and_of_equals_the_finest():
    trials = [Trial(2, "tied", 0.9), Trial(3, "tied", 0.95), Trial(4, "tied", 0.94), Trial(5, "spherical", 0.7)]
    assert choose(trials) == trials[2]
    assert choose([*trials, Trial(4, "spherical", 0.95)]).covariance == "spherical"


def test_halves_are_whole_patches_of_every_section_however_it_is_turned():
    rng = np.random.default_rng(0)
    xy, section = rng.uniform(0, 3000, (2000, 2)), np.repeat([0, 1], 1000)
    found = halves(xy, section, 0)
    turned = halves(xy @ np.array([[0.6, -0.8], [0.8, 0.6]]), section, 0)
    near = cKDTree(xy[:1000]).query(xy[:1000], k=2)[1][:, 1]
    for one, other in zip(found, turned):
        assert np.array_equal(one, other) and 1000 <= len(one) < 1200
        taken = np.isin(np.arange(1000), one)
        assert 0.2 < taken.mean() < 0.8 and (taken == taken[near]).mean() > 0.85  # one by one it would be a half


def test_probabilities_are_flattened_to_what_another_half_says():
    rng = np.random.default_rng(0)
    true = rng.dirichlet([1, 1, 1], 5_000)
    boasted = flattened(true, 4.0)
    np.testing.assert_allclose(flattened(boasted, 0.25), true, atol=2e-3)
    assert (flattened(boasted, 0.25).argmax(axis=1) == boasted.argmax(axis=1)).all()
    # Halves that say the same may be as sure as they are; halves that call locations by chance may not.
    assert sharpness([boasted, boasted]) == pytest.approx(1, abs=0.02)
    called = [np.eye(3)[[rng.choice(3, p=p) for p in true]] for _ in range(2)]
    assert sharpness(called) < 0.2


def test_confidence_is_lower_between_domains(tmp_path):
    def blurred(adata):
        values = adata.obsm["focus_neighbourhood"]
        half = (adata.obs["region"] == 1).to_numpy() & (np.arange(adata.n_obs) % 2 == 0)
        other = values[(adata.obs["region"] == 0).to_numpy()].mean(axis=0)
        values[half] = (values[half] + other) / 2
        adata.obs["blurred"] = half
        return adata

    path = embedding(tmp_path / "e.h5ad", "S1", 1, change=blurred, draws=0)
    find_domains([path], tmp_path / "out", n_domains=3)
    made, blurry = read(tmp_path / "out")["S1"], anndata.read_h5ad(path).obs["blurred"].to_numpy()
    assert made.obs["domain_confidence"][blurry].mean() < made.obs["domain_confidence"][~blurry].mean()


def test_locations_off_tissue_have_no_domain(tmp_path):
    def off(adata):
        adata.obs["in_tissue"] = (np.arange(adata.n_obs) >= 20).astype(int)
        adata.obsm["focus_neighbourhood"][:20] = 50
        return adata

    find_domains([embedding(tmp_path / "e.h5ad", "S1", 1, change=off)], tmp_path / "out", n_domains=3)
    made = read(tmp_path / "out")["S1"]
    assert made.obs["domain"].isna().tolist() == [True] * 20 + [False] * (SIDE**2 - 20)
    assert not made.obs["domain_boundary"][:20].any()


def test_boundaries_and_alignment():
    xy = np.array([[0.0, 0], [1, 0], [2, 0], [3, 0], [10, 0]])
    pairs = neighbours(xy, 1.0, np.ones(5, bool))
    assert on_boundary(np.array([0, 0, 0, 1, 1]), pairs).tolist() == [False, False, True, True, False]
    own = np.eye(3)[[0, 0, 1, 1, 2, 2]]
    assert np.array_equal(aligned(own[:, [2, 0, 1]], own), own)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: a[:15].copy(), "locations on tissue"),
        (lambda a: _set(a, "kind", "patterns"), "neither 'embedding' nor 'enhanced'"),
        (lambda a: _set(a, "sample_id", "../evil"), "a sample id has"),
        (lambda a: _fill(a, np.nan), "damaged"),
        (lambda a: _fill(a, 1.0), "alike"),
        (lambda a: _drop(a, "focus_neighbourhood"), "has no obsm"),
        (lambda a: _drop(a, "focus_location"), "has no obsm"),
        (lambda a: _set(a, "widths_um", "[50.0]"), "damaged"),
        (lambda a: _set(a, "widths_um", "fifty"), "damaged"),
        (lambda a: _set(a, "pitch_um", "wide"), "damaged"),
    ],
)
def test_what_cannot_be_divided_is_refused(change, said, tmp_path):
    path = embedding(tmp_path / "e.h5ad", "S1", 1, change=change, draws=0)
    with pytest.raises(BadInputError, match=said):
        find_domains([path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _set(adata, key, value):
    adata.uns["focus"][key] = value
    return adata


def _fill(adata, value):
    adata.obsm["focus_neighbourhood"][:] = value
    return adata


def _drop(adata, key):
    del adata.obsm[key]
    return adata


def test_cohorts_that_do_not_fit_are_refused(cohort, tmp_path):
    other = embedding(tmp_path / "o.h5ad", "S3", 3, space="n/joint/50,150um")
    with pytest.raises(BadInputError, match="different spaces"):
        find_domains([*cohort, other], tmp_path / "out")
    twice = embedding(tmp_path / "t.h5ad", "S1", 3)
    with pytest.raises(BadInputError, match="both of sample S1"):
        find_domains([*cohort, twice], tmp_path / "out")
    with pytest.raises(BadInputError, match="600 are needed"):
        find_domains(cohort, tmp_path / "out", n_domains=30)
    with pytest.raises(UsageError, match="no file"):
        find_domains([], tmp_path / "out")
    (tmp_path / "out").mkdir()
    with pytest.raises(OutputExistsError):
        find_domains(cohort, tmp_path / "out")
    done = CliRunner().invoke(command, ["--help"])
    assert done.exit_code == 0 and "Examples" in done.output

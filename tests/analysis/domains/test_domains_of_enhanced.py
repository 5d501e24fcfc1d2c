"""Domains of enhanced expression: factors that one section alone has mean what they mean in genes."""

from __future__ import annotations

import anndata
import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score

from focus_cli.analysis.domains.from_embedding import read_embedding
from focus_cli.analysis.domains.from_enhanced import read_estimate, sections_of
from focus_cli.analysis.domains.section import beside, depth_around
from focus_cli.analysis.domains.stage import find_domains
from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.spatial_file import SpatialFile

SIDE, GENES = 14, 40
NAMES = np.array([f"G{i:02d}" for i in range(GENES)])
PATTERN = np.random.default_rng(3).normal(size=GENES)  # what tells the two halves of every section apart


def enhanced(path, name, seed, *, own=(1.0,), genes=None, draws=2, change=None, depth=1.0, dense_half=1.0):
    """A section whose halves differ along `PATTERN`, which its sample-specific factors hold: `own` of them.

    The model's two factors are noise. `depth` multiplies molecules; `dense_half` those of the right half.
    """
    rng = np.random.default_rng(seed)
    genes = np.arange(GENES) if genes is None else genes
    xy = np.stack(np.meshgrid(np.arange(SIDE), np.arange(SIDE)), axis=2).reshape(-1, 2) * 100.0
    half = (xy[:, 0] >= SIDE * 50).astype(int)
    model = rng.normal(size=(len(xy), 2))
    signal = (2.0 * half - 1 + 0.2 * rng.normal(size=len(xy)))[:, None]
    scores = signal / np.array(own) / len(own)  # loadings times scores are the same pattern however they are split
    w = np.concatenate([0.05 * np.random.default_rng(9).normal(size=(GENES, 2)), np.outer(PATTERN, own)], axis=1)
    adata = anndata.AnnData(
        obs=pd.DataFrame({"in_tissue": 1, "half": half}, index=[f"l{i}" for i in range(len(xy))]),
        var=pd.DataFrame({"measured": True, "focus_baseline": 1 / GENES}, index=NAMES[genes]),
    )
    adata.obs["exposure"] = depth * np.where(half, dense_half, 1.0) * rng.uniform(900, 1100, len(xy))
    adata.obsm.update({"spatial": xy / 2, "spatial_um": xy, "focus_latent": model, "focus_sample_factors": scores})
    for number in range(draws):
        state = np.concatenate([model, scores], axis=1)
        adata.obsm[f"focus_latent_sample_{number}"] = state + 0.02 * rng.normal(size=state.shape)
    adata.varm["focus_loadings"] = w[genes]
    adata.uns["focus"] = {"kind": "enhanced", "sample_id": name, "pitch_um": 100.0, "mpp": 2.0, "footprint_um": 55.0}
    if change is not None:
        adata = change(adata)
    adata.write_h5ad(path)
    return path


def read(folder):
    return {path.stem: anndata.read_h5ad(path).obs for path in sorted(folder.glob("*.h5ad"))}


def sections(*paths):
    estimates = []
    for path in paths:
        with SpatialFile(path) as file:
            estimates.append(read_estimate(file))
    return sections_of(estimates)


def test_factors_of_ones_own_mean_the_same_where_their_genes_do(tmp_path):
    """One section holds the pattern in one factor, the other in three that point the other way, on another panel."""
    shuffled = np.random.default_rng(1).permutation(GENES)[:34]
    files = [
        enhanced(tmp_path / "a.h5ad", "S1", 1),
        enhanced(tmp_path / "b.h5ad", "S2", 2, own=(-2.0, -0.5, -1.0), genes=shuffled),
    ]
    find_domains(files, tmp_path / "out")
    found = read(tmp_path / "out")
    half = np.concatenate([anndata.read_h5ad(path).obs["half"] for path in files])
    domain = np.concatenate([found[name]["domain"].to_numpy(str) for name in ("S1", "S2")])
    assert adjusted_rand_score(half, domain) > 0.95
    # The same tissue has the same name in both.
    assert (domain[: SIDE**2][half[: SIDE**2] == 0] == domain[SIDE**2]).mean() > 0.95


def test_distances_are_those_of_expected_molecules_whatever_the_axes(tmp_path):
    """Loadings and states turned against each other, genes in another order: nothing changes."""

    def turned(adata):
        turn = np.linalg.qr(np.random.default_rng(5).normal(size=(2, 2)))[0]
        adata = adata[:, np.random.default_rng(6).permutation(GENES)].copy()
        adata.varm["focus_loadings"][:, :2] @= turn
        adata.obsm["focus_latent"] = adata.obsm["focus_latent"] @ turn
        return adata

    (plain,) = sections(enhanced(tmp_path / "a.h5ad", "S1", 1, draws=0))
    (other,) = sections(enhanced(tmp_path / "b.h5ad", "S1", 1, draws=0, change=turned))
    rows = np.random.default_rng(0).integers(0, SIDE**2, (200, 2))
    distance = [np.linalg.norm(s.vectors[rows[:, 0]] - s.vectors[rows[:, 1]], axis=1) for s in (plain, other)]
    np.testing.assert_allclose(distance[0], distance[1], rtol=1e-3, atol=1e-3)
    # By hand, at the location itself (55 µm wide: the kernel of 50 µm gives way to it).
    adata = anndata.read_h5ad(tmp_path / "a.h5ad")
    p = 1 / GENES
    state = np.concatenate([adata.obsm["focus_latent"], adata.obsm["focus_sample_factors"]], axis=1)
    expected = state @ adata.varm["focus_loadings"].T * p * np.sqrt(3000 / (p + 0.1 * p**2 * 3000))
    by_hand = np.linalg.norm(expected[rows[:, 0]] - expected[rows[:, 1]], axis=1)
    own = plain.vectors[:, : plain.vectors.shape[1] // 2]
    np.testing.assert_allclose(np.linalg.norm(own[rows[:, 0]] - own[rows[:, 1]], axis=1), by_hand, rtol=1e-3, atol=1e-3)


def test_how_much_rna_tissue_gives_tells_it_apart_and_how_much_a_section_gave_does_not(tmp_path):
    def without_pattern(adata):
        adata.obsm["focus_sample_factors"][:] = 0.01 * np.random.default_rng(8).normal(size=(SIDE**2, 1))
        return adata

    given = {"change": without_pattern, "draws": 0, "dense_half": 3.0}
    files = [enhanced(tmp_path / "a.h5ad", "S1", 1, **given), enhanced(tmp_path / "b.h5ad", "S2", 2, depth=20, **given)]
    half = np.concatenate([anndata.read_h5ad(path).obs["half"] for path in files])
    agreed = {}
    for ignore in (False, True):
        find_domains(files, tmp_path / str(ignore), n_domains=2, ignore_depth=ignore)
        found = read(tmp_path / str(ignore))
        agreed[ignore] = adjusted_rand_score(half, np.concatenate([found[n]["domain"].to_numpy(str) for n in found]))
    assert agreed[False] > 0.9 and agreed[True] < 0.1


def test_locations_without_molecules_have_the_depth_of_those_around_them(tmp_path):
    def empty(adata):
        adata.obs.loc[adata.obs_names[[0, 50]], "exposure"] = 0.0
        return adata

    (section,) = sections(enhanced(tmp_path / "a.h5ad", "S1", 1, draws=0, dense_half=3.0, change=empty))
    depth = depth_around(section)
    assert np.isfinite(depth).all() and depth.shape == (SIDE**2, 2)
    (joined,) = beside([section])
    assert joined.vectors.shape[1] == section.vectors.shape[1] + 2
    # As long as the leading axis: neither is drowned.
    lengths = [np.linalg.eigvalsh(np.cov(v.T))[-1] for v in (section.vectors, joined.vectors[:, -2:])]
    assert lengths[0] == pytest.approx(lengths[1], rel=1e-3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda a: _without(a, "varm", "focus_loadings"), "latent state and loadings"),
        (lambda a: _without(a, "obsm", "focus_latent"), "latent state and loadings"),
        (lambda a: _without(a, "obsm", "focus_sample_factors"), "damaged"),
        (lambda a: _spoilt(a), "damaged"),
        (lambda a: _with_obs(a, "exposure", np.nan), "damaged"),
        (lambda a: _with_obs(a, "in_tissue", 0), "0 locations on tissue"),
        (lambda a: _constant(a), "alike"),
    ],
)
def test_damaged_files_are_refused(change, said, tmp_path):
    path = enhanced(tmp_path / "a.h5ad", "S1", 1, draws=0, change=change)
    with pytest.raises(BadInputError, match=said):
        find_domains([path], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def _without(adata, group, key):
    del getattr(adata, group)[key]
    return adata


def _with_obs(adata, column, value):
    adata.obs[column] = value
    return adata


def _constant(adata):
    adata.obsm["focus_latent"][:] = adata.obsm["focus_sample_factors"][:] = 1.0
    return adata


def _spoilt(adata):
    adata.obsm["focus_latent"][3] = np.nan
    return adata


def test_panels_that_share_nothing_and_files_of_two_kinds_are_refused(tmp_path):
    one = enhanced(tmp_path / "a.h5ad", "S1", 1, genes=np.arange(20))
    other = enhanced(tmp_path / "b.h5ad", "S2", 2, genes=np.arange(15, 40))
    with pytest.raises(BadInputError, match="S1, S2 share 5 measured genes"):
        find_domains([one, other], tmp_path / "out")
    embedding = anndata.read_h5ad(one)
    embedding.uns["focus"] |= {"kind": "embedding", "widths_um": "[50.0, 150.0]", "space": "m"}
    embedding.obsm["focus_location"] = np.zeros((SIDE**2, 3), np.float32)
    embedding.obsm["focus_neighbourhood"] = np.zeros((SIDE**2, 6), np.float32)
    embedding.write_h5ad(tmp_path / "e.h5ad")
    with SpatialFile(tmp_path / "e.h5ad") as file:
        assert read_embedding(file).total_counts is None  # nothing is said of counts
    with pytest.raises(BadInputError, match="is enhanced expression"):
        find_domains([one, tmp_path / "e.h5ad"], tmp_path / "out")


def test_what_enhance_writes_can_be_divided(enhanced_study, tmp_path):
    find_domains(list(enhanced_study.enhanced.values()), tmp_path / "out", n_domains=3)
    found = read(tmp_path / "out")
    assert set(found) == set(enhanced_study.enhanced)
    for obs in found.values():
        assert obs["domain"].nunique() == 3 and obs["domain_confidence"].dropna().between(0, 1).all()

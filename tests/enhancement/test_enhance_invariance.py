"""What the values of an enhanced file may depend on, and what they may not."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from enhancement.enhancing import DENSE, arrays, run
from model.training.tiny_cohort import (
    N_GENES,
    N_OUTSIDE,
    grow,
    store_tissue,
)

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.enhancement import enhance
from focus_cli.enhancement import infer as inference
from focus_cli.enhancement import writer as writing
from focus_cli.enhancement.stage import EnhanceOptions


def test_layers_can_be_left_out(cohort, tmp_path):
    few = run(cohort, tmp_path / "a.h5ad", layers=("std",))
    assert set(few.layers) - {None} == {"std", keys.COUNTS}
    none = run(cohort, tmp_path / "b.h5ad", layers=())
    assert set(none.layers) - {None} == {keys.COUNTS}
    np.testing.assert_array_equal(none.X, few.X)
    np.testing.assert_array_equal(none.var[keys.VAR_RELIABILITY], few.var[keys.VAR_RELIABILITY])


def test_without_a_reference_there_are_no_proportions(cohort, tmp_path):
    plain = run(cohort, tmp_path / "a.h5ad", reference=False)
    assert keys.STATE_ATTENTION not in plain.obsm
    assert plain.n_vars == N_GENES + N_OUTSIDE  # the model knows them


def test_measured_genes_alone(cohort, tmp_path):
    assert run(cohort, tmp_path / "a.h5ad", genes="measured").n_vars == N_GENES


def test_a_gene_does_not_depend_on_which_others_are_written(adata, cohort, tmp_path):
    names = ["G003", "G010", "G020", "Z001"]
    (tmp_path / "genes.txt").write_text("\n".join(names))
    few = run(cohort, tmp_path / "a.h5ad", genes=str(tmp_path / "genes.txt"))
    assert few.var_names.tolist() == names
    whole = adata[:, names]
    assert (few.layers[keys.COUNTS] != whole.layers[keys.COUNTS]).nnz == 0
    np.testing.assert_allclose(few.X, whole.X, rtol=2e-3, atol=1e-4)
    np.testing.assert_allclose(few.layers["std"], whole.layers["std"], rtol=2e-3, atol=1e-4)


def test_genes_beyond_the_panel_alone(adata, cohort, tmp_path):
    (tmp_path / "genes.txt").write_text("Z001\nZ003\n")
    few = run(cohort, tmp_path / "a.h5ad", genes=str(tmp_path / "genes.txt"))
    np.testing.assert_allclose(few.X, adata[:, ["Z001", "Z003"]].X, rtol=2e-3, atol=1e-4)


def test_draws_can_be_kept_and_turned_into_expression(cohort, tmp_path):
    kept = run(cohort, tmp_path / "a.h5ad", samples=4)
    draws = np.stack([kept.obsm[f"focus_latent_sample_{i}"] for i in range(4)])
    own = kept.obsm[keys.SAMPLE_FACTORS].shape[1] if keys.SAMPLE_FACTORS in kept.obsm else 0
    assert draws.shape == (4, kept.n_obs, kept.obsm[keys.LATENT].shape[1] + own)
    assert (draws.std(axis=0) > 0).all()
    assert kept.varm["focus_loadings"].shape == (kept.n_vars, draws.shape[2])
    assert (kept.var["focus_baseline"] > 0).all()


def test_the_same_run_gives_the_same_bytes(enhanced, cohort, tmp_path):
    run(cohort, tmp_path / "enhanced.h5ad")
    assert arrays(tmp_path / "enhanced.h5ad") == arrays(enhanced)


def test_another_seed_draws_other_spreads(adata, cohort, tmp_path):
    other = run(cohort, tmp_path / "a.h5ad", seed=1)
    assert not np.array_equal(other.layers["std"], adata.layers["std"])
    np.testing.assert_allclose(other.obsm[keys.LATENT], adata.obsm[keys.LATENT], atol=1e-5)


@pytest.fixture(scope="module")
def passes(cohort, tmp_path_factory):
    """The same run in one pass and in seven, with noise in blocks of 16 rows."""
    folder, found = tmp_path_factory.mktemp("passes"), []
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(inference, "NOISE_BLOCK", 16)
        for name, chunk in (("one", 10_000), ("seven", 7 * 16)):  # seven points of a footprint, 16 locations
            patched.setattr(inference, "CHUNK", chunk)
            found.append(run(cohort, folder / f"{name}.h5ad"))
    return found


def test_chunks_of_inference_do_not_change_the_mean(passes, adata):
    one, seven = passes
    np.testing.assert_allclose(seven.obsm[keys.LATENT], one.obsm[keys.LATENT], atol=1e-4)
    np.testing.assert_allclose(seven.X, one.X, rtol=2e-3, atol=1e-3)
    np.testing.assert_allclose(one.obsm[keys.LATENT], adata.obsm[keys.LATENT], atol=1e-4)  # nor does the noise


def test_chunks_of_inference_do_not_change_the_spread(passes):
    one, seven = passes
    name = f"{keys.LATENT}_sd"
    np.testing.assert_allclose(seven.obsm[name], one.obsm[name], rtol=1e-2, atol=1e-4)


def test_the_noise_of_a_row_depends_on_the_seed_the_draw_and_the_row_alone():
    whole = inference._noise(5, 0, slice(0, 600), 3)
    for rows in (slice(0, 1), slice(100, 300), slice(255, 257), slice(512, 600)):
        assert torch.equal(inference._noise(5, 0, rows, 3), whole[rows])
    assert not torch.equal(inference._noise(5, 1, slice(0, 600), 3), whole)
    assert not torch.equal(inference._noise(6, 0, slice(0, 600), 3), whole)
    assert torch.unique(whole).numel() == whole.numel()  # no row repeats another


def test_blocks_of_writing_change_nothing(adata, cohort, tmp_path, monkeypatch):
    monkeypatch.setattr(writing, "CHUNK_ROWS", 32)
    monkeypatch.setattr(writing, "CHUNK_COLUMNS", 16)
    blocked = run(cohort, tmp_path / "a.h5ad")
    np.testing.assert_allclose(blocked.X, adata.X, rtol=2e-3, atol=1e-5)
    for name in DENSE:
        np.testing.assert_allclose(blocked.layers[name], adata.layers[name], rtol=2e-3, atol=1e-5)
    np.testing.assert_allclose(blocked.var[keys.VAR_RELIABILITY], adata.var[keys.VAR_RELIABILITY], atol=1e-3)


def test_the_order_of_locations_does_not_matter(cohort, tmp_path):
    tissue = grow(side=10, jitter=12.0)  # no two neighbours are equally far
    order = np.random.default_rng(0).permutation(len(tissue.xy_um))
    shuffled = replace(tissue, counts=tissue.counts[order], xy_um=tissue.xy_um[order])
    plain, other = (
        run(cohort, tmp_path / f"{name}.h5ad", sample=store_tissue(tmp_path / name, drawn))
        for name, drawn in (("plain", tissue), ("shuffled", shuffled))
    )
    np.testing.assert_allclose(other.obsm[keys.LATENT], plain.obsm[keys.LATENT][order], atol=1e-3)


def test_histology_only_does_not_look_at_counts(cohort, tmp_path):
    first = run(cohort, tmp_path / "a.h5ad", histology_only=True)
    tissue = cohort.tissue
    order = np.random.default_rng(0).permutation(tissue.counts.shape[0])
    scrambled = store_tissue(tmp_path / "S1", tissue, counts=5 * tissue.counts[order][:, ::-1])
    second = run(cohort, tmp_path / "b.h5ad", sample=scrambled, histology_only=True)
    np.testing.assert_array_equal(second.X, first.X)
    assert first.layers[keys.COUNTS].nnz == 0 and (first.X > 0).any()


def test_histology_only_follows_the_image(cohort, tmp_path):
    only = run(cohort, tmp_path / "a.h5ad", histology_only=True)
    gene = int(np.abs(cohort.tissue.loadings[:, 0]).argmax())
    pattern = cohort.tissue.factors[:, 0] * cohort.tissue.loadings[gene, 0]
    assert np.corrcoef(only.X[:, gene], pattern)[0, 1] > 0.5


def test_histology_only_needs_an_image_and_a_model(cohort, tmp_path):
    blind = store_tissue(tmp_path / "S1", cohort.tissue, image=False)
    with pytest.raises(BadInputError, match="no image"):
        run(cohort, tmp_path / "a.h5ad", sample=blind, histology_only=True)
    with pytest.raises(UsageError, match="other samples"):
        enhance(cohort.sample, tmp_path / "a.h5ad", model="self", options=EnhanceOptions(histology_only=True))
    assert not (tmp_path / "a.h5ad").exists()


def test_a_sample_without_an_image_is_enhanced_by_its_counts(cohort, tmp_path):
    blind = store_tissue(tmp_path / "S1", cohort.tissue, image=False)
    plain = run(cohort, tmp_path / "a.h5ad", sample=blind)
    assert np.isfinite(plain.X).all() and plain.X[:, :N_GENES].std(axis=0).max() > 0


def test_empty_locations_are_estimated_from_the_others(cohort, tmp_path):
    counts = cohort.tissue.counts.toarray()
    counts[::7] = 0
    filled = run(cohort, tmp_path / "a.h5ad", sample=store_tissue(tmp_path / "S1", cohort.tissue, counts=counts))
    assert np.isfinite(filled.X).all() and (filled.X[::7] > 0).any(axis=1).all()
    # What a measurement there would hold is expected from the others as well.
    assert filled.obs[keys.EXPOSURE][::7].between(500, 5000).all()
    assert filled.obs[keys.OBS_RELIABILITY].between(0, 1).all()


def test_a_section_without_any_molecule_is_histology_only(cohort, tmp_path):
    empty = store_tissue(tmp_path / "S1", cohort.tissue, counts=0 * cohort.tissue.counts)
    drawn = run(cohort, tmp_path / "a.h5ad", sample=empty)
    only = run(cohort, tmp_path / "b.h5ad", histology_only=True)
    np.testing.assert_allclose(drawn.X, only.X, rtol=1e-3)


def test_a_panel_gene_that_the_model_does_not_know_is_informed_by_its_own_counts(cohort, tmp_path):
    names = np.array([*cohort.tissue.names[:-1], "NOVEL"])
    novel = store_tissue(tmp_path / "S1", replace(cohort.tissue, names=names))
    written = run(cohort, tmp_path / "a.h5ad", sample=novel)
    assert written.var.loc["NOVEL", keys.MEASURED]
    own = cohort.tissue.counts[:, -1].sum() / cohort.tissue.counts.sum()
    assert np.expm1(written[:, "NOVEL"].X).mean() / 1e4 == pytest.approx(own, rel=0.2)


def test_a_smaller_panel_turns_the_rest_into_inferred_genes(cohort, tmp_path):
    tissue = cohort.tissue
    small = replace(tissue, names=tissue.names[:20], counts=tissue.counts[:, :20])
    written = run(cohort, tmp_path / "a.h5ad", sample=store_tissue(tmp_path / "S1", small))
    assert written.var[keys.MEASURED].sum() == 20 and written.n_vars == N_GENES + N_OUTSIDE
    assert np.isfinite(written.X).all()


def test_adapting_moves_the_estimate_and_says_so(cohort, tmp_path):
    zero_shot, adapted = run(cohort, tmp_path / "a.h5ad"), run(cohort, tmp_path / "b.h5ad", adapt=6)
    assert not np.allclose(zero_shot.X, adapted.X, atol=1e-4)
    assert np.corrcoef(zero_shot.X.ravel(), adapted.X.ravel())[0, 1] > 0.95  # six small steps
    made = [json.loads(a.uns[keys.UNS]["provenance"])["settings"]["model"] for a in (zero_shot, adapted)]
    assert "adapted" not in made[0] and json.loads(made[1]["adapted"])["steps"] == 6

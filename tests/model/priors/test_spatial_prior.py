"""The spatial prior: planted patterns are found, noise is not, the reference lends the unmeasured."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from model.training.tiny_cohort import N_GENES, PITCH_UM, cells, gene_table, grow, write_cells
from scipy import sparse
from scipy.linalg import subspace_angles

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.genes.reference import build_reference
from focus_cli.model.priors import fit_prior
from focus_cli.model.priors.statistics import residual_scale
from focus_cli.model.priors.transfer import extend_prior, reference_states, transfer_loadings


@pytest.fixture(scope="module")
def tissue():
    return grow(jitter=12.0)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    folder = tmp_path_factory.mktemp("prior_reference")
    return build_reference(write_cells(folder / "cells.h5ad", twin_of=4), folder / "out", n_states=6)


@pytest.fixture(scope="module")
def informed(tissue, reference):
    return fit_prior([tissue.for_prior], 3, reference=reference)


def standardised(prior, names=None):
    """Loadings on standardised residuals, V = W p b."""
    rows = slice(None) if names is None else prior.rows(np.asarray(names))
    p = prior.baseline[rows]
    return prior.loadings[rows] * (p * residual_scale(p))[:, None]


def residuals(counts, baseline):
    """Standardised residuals of shares, dense."""
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1e-9)
    return (share - baseline) * residual_scale(baseline)


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def test_planted_factors_span_the_leading_directions(tissue):
    prior = fit_prior([tissue.for_prior], 2)
    p = prior.baseline
    # The planted directions after the sum-to-one of shares, on the same standardised scale.
    deviation = tissue.share / tissue.share.mean(axis=0) - 1
    basis = np.linalg.svd(deviation * (p * residual_scale(p)), full_matrices=False)[2][:2].T
    assert np.cos(subspace_angles(standardised(prior), basis)).min() > 0.95


def test_a_gene_follows_the_factor_that_drives_it(tissue):
    prior = fit_prior([tissue.for_prior], 2)
    strength = np.linalg.norm(prior.loadings, axis=1)
    driven = np.abs(tissue.loadings).sum(axis=1) > 0
    assert strength[driven].min() > strength[~driven].max()


def test_independent_noise_is_ignored(tissue):
    """Where counts hold nothing but Poisson noise, next to none of their variance is taken for signal."""
    shallow = grow(side=24, depth=60.0, jitter=12.0)
    flat = np.broadcast_to(shallow.share.mean(axis=0), shallow.share.shape)
    noise = sparse.csr_matrix(np.random.default_rng(3).poisson(60 * flat).astype(np.float32))
    empty = fit_prior([(tissue.genes, noise, shallow.xy_um, PITCH_UM)], 2)
    planted = fit_prior([shallow.for_prior], 2)
    total = np.cov(residuals(noise.toarray(), empty.baseline).T).trace()
    assert total > planted.variance.sum()  # all of the noise is more than all of the signal
    assert empty.variance[0] < 0.2 * planted.variance[1]
    assert empty.variance.sum() < 0.02 * total
    undriven = np.abs(shallow.loadings).sum(axis=1) == 0
    energy = (standardised(planted) ** 2).sum(axis=1)
    assert energy[undriven].sum() < 0.1 * energy.sum()


def test_spatial_factors_lead_and_variation_of_single_locations_counts_half(tissue):
    """What neighbours do not share is in one of the two covariances, what they do share in both."""
    rng = np.random.default_rng(8)
    rate = tissue.share.copy()
    rate[:, [2, 5, 8]] *= rng.choice([0.5, 1.6], size=len(tissue.xy_um))[:, None]  # genes of neither factor
    share = rate / rate.sum(axis=1, keepdims=True)
    counts = sparse.csr_matrix(rng.poisson(1500 * share).astype(np.float32))
    prior = fit_prior([(tissue.genes, counts, tissue.xy_um, PITCH_UM)], 3)
    energy = standardised(prior) ** 2
    burst = energy[[2, 5, 8]].sum(axis=0) / energy.sum(axis=0)
    assert (burst[:2] < 0.05).all() and burst[2] > 0.8
    variances = np.linalg.eigvalsh(np.cov(residuals(share, prior.baseline).T))[::-1]  # without any noise
    assert prior.variance[2] == pytest.approx(variances[2] / 2, rel=0.25)
    assert (prior.variance[:2] > 0.75 * variances[:2]).all()


def test_measured_shares_sum_to_one_and_variances_descend(informed):
    assert informed.baseline[informed.measured].sum() == pytest.approx(1)
    assert (np.diff(informed.variance) <= 1e-6).all() and (informed.variance > 0).all()
    assert (np.diff(informed.genes.searchsorted(informed.genes)) == 1).all()  # sorted, unique


def test_the_order_of_genes_and_locations_moves_the_factors_by_the_thinning_alone(tissue):
    """Another order thins other molecules: the same space and variances, to the noise of one thinning."""
    rng = np.random.default_rng(1)
    genes, locations = rng.permutation(N_GENES), rng.permutation(len(tissue.xy_um))
    plain = fit_prior([tissue.for_prior], 2)
    shuffled = fit_prior(
        [(tissue.genes.iloc[genes], tissue.counts[locations][:, genes], tissue.xy_um[locations], PITCH_UM)], 2
    )
    assert shuffled.genes.tolist() == plain.genes.tolist()
    np.testing.assert_allclose(shuffled.baseline, plain.baseline)
    assert np.cos(subspace_angles(standardised(shuffled), standardised(plain))).min() > 0.999
    np.testing.assert_allclose(shuffled.variance, plain.variance, rtol=0.02)


def test_turning_and_moving_the_section_changes_nothing(tissue):
    angle = 0.7
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    plain = fit_prior([tissue.for_prior], 2)
    moved = fit_prior([(tissue.genes, tissue.counts, tissue.xy_um @ turn.T + [5e4, -3e3], PITCH_UM)], 2)
    np.testing.assert_allclose(moved.loadings @ moved.loadings.T, plain.loadings @ plain.loadings.T, atol=5e-3)
    np.testing.assert_allclose(moved.variance, plain.variance, rtol=1e-3)


def test_ids_go_along_with_the_names(informed):
    assert informed.gene_ids.shape == informed.genes.shape
    assert informed.var.loc["G004", keys.GENE_ID] == "ENSG00000000004"
    assert informed.var.loc["Z000", keys.GENE_ID] == ""  # the panel alone says what its ids are


def test_an_id_that_one_sample_knows_is_known_whatever_their_order(tissue):
    nameless = (tissue.genes.assign(gene_ids=""), *tissue.for_prior[1:])
    for cohort in ([nameless, tissue.for_prior], [tissue.for_prior, nameless]):
        assert fit_prior(cohort, 2).var.equals(tissue.genes.sort_index())


def test_a_gene_renamed_in_the_reference_is_found_by_its_id(tissue, tmp_path):
    """Old symbols in the reference, ids in both: matched by id, for the fit and for extending alike."""
    other = cells()
    other.var["gene_ids"] = [f"ENSG{j:011d}" for j in range(other.n_vars)]
    other.var_names = [f"old{j}" for j in range(other.n_vars)]
    other.write_h5ad(tmp_path / "cells.h5ad")
    reference = build_reference(tmp_path / "cells.h5ad", tmp_path / "out", n_states=4)
    prior = fit_prior([tissue.for_prior], 2, reference=reference)
    assert prior.in_reference[prior.rows(tissue.names)].all() and not prior.measured[prior.rows(["old40"])[0]]
    plain = fit_prior([tissue.for_prior], 2)
    grown = extend_prior(plain, tissue.genes, np.full(N_GENES, 1 / N_GENES), reference)
    assert grown.genes.tolist() == prior.genes.tolist()


def test_the_same_seed_gives_the_same_bytes(tissue):
    first, second = (fit_prior([tissue.for_prior], 3, seed=4) for _ in range(2))
    assert first.loadings.tobytes() == second.loadings.tobytes()


def test_two_sections_of_one_tissue_agree_with_each_alone(tissue):
    both = fit_prior([tissue.for_prior, grow(seed=1, jitter=12.0).for_prior], 2)
    alone = fit_prior([tissue.for_prior], 2)
    assert np.cos(subspace_angles(both.loadings, alone.loadings)).min() > 0.9


def test_samples_with_other_panels_give_one_prior_over_all_genes(tissue):
    half = np.arange(N_GENES) < 24
    first = (tissue.genes[half], tissue.counts[:, half], tissue.xy_um, PITCH_UM)
    prior = fit_prior([first, tissue.for_prior], 2)
    assert prior.genes.tolist() == sorted(tissue.names.tolist())
    assert prior.measured.all() and prior.baseline.sum() == pytest.approx(1)


def test_a_gene_beyond_the_panel_gets_the_vector_of_its_twin(informed):
    twin, original = informed.rows(np.array(["TWIN", "G004"]))
    assert not informed.measured[twin] and informed.measured[original]
    np.testing.assert_array_equal(informed.loadings[twin], informed.reference_loadings[twin])
    v = standardised(informed)
    assert cosine(v[twin], v[original]) > 0.9
    assert 0.4 < np.linalg.norm(v[twin]) / np.linalg.norm(v[original]) < 2.5
    assert informed.baseline[twin] == pytest.approx(informed.baseline[original], rel=0.5)


def test_what_the_reference_says_of_a_measured_gene_does_not_use_its_measurement(informed, reference):
    """So that measured genes can tell how reliable genes outside the panel are."""
    states = reference_states(reference, informed.var[informed.measured])
    row = informed.rows(np.array(["G004"]))[0]
    turned = informed.loadings.copy()
    turned[row] = -turned[row]
    plain, other = (transfer_loadings(replace(informed, loadings=w), states) for w in (informed.loadings, turned))
    assert cosine(plain.reference_loadings[row], other.reference_loadings[row]) > 0.999
    assert cosine(plain.reference_loadings[row], plain.loadings[row]) > 0.5  # and yet it finds the direction


def test_genes_beyond_the_panel_follow_their_factor(informed):
    lent = informed.loadings[informed.rows(np.array([f"Z{j:03d}" for j in range(8)]))]
    # Z000, Z003, Z006 follow the first factor, Z001, Z004, Z007 the second, Z002 and Z005 neither.
    strength = np.linalg.norm(lent, axis=1)
    assert strength[[0, 1, 3, 4, 6, 7]].min() > strength[[2, 5]].max()


def test_genes_that_the_reference_does_not_know_keep_their_own_vectors(tissue, reference):
    names = np.array(["UNKNOWN", *tissue.names[1:]])
    prior = fit_prior([(gene_table(names), tissue.counts, tissue.xy_um, PITCH_UM)], 3, reference=reference)
    row = prior.rows(np.array(["UNKNOWN"]))[0]
    assert prior.measured[row] and not prior.in_reference[row]
    assert (prior.reference_loadings[row] == 0).all() and (prior.loadings[row] != 0).any()


def test_extending_keeps_every_known_vector(tissue, informed, reference):
    panel = gene_table([*tissue.names, "NEW"])
    share = np.append(np.full(N_GENES, 0.9 / N_GENES), 0.1)
    for other in (None, reference):
        grown = extend_prior(informed, panel, share, other)
        rows = grown.rows(informed.genes)
        for name in ("baseline", "loadings", "reference_loadings", "measured", "in_reference"):
            np.testing.assert_array_equal(getattr(grown, name)[rows], getattr(informed, name))
        new = grown.rows(np.array(["NEW"]))[0]
        assert (grown.loadings[new] == 0).all() and grown.baseline[new] == pytest.approx(0.1)


def test_extending_by_a_reference_adds_its_genes(tissue, informed, reference):
    plain = fit_prior([tissue.for_prior], 3)
    grown = extend_prior(plain, tissue.genes, np.full(N_GENES, 1 / N_GENES), reference)
    assert {"TWIN", "Z000"} <= set(grown.genes)
    np.testing.assert_array_equal(grown.loadings[grown.rows(plain.genes)], plain.loadings)
    assert (grown.baseline[~grown.measured] > 0).all()


def test_nothing_to_extend_is_the_same_prior(tissue, informed):
    assert extend_prior(informed, tissue.genes, np.full(N_GENES, 1 / N_GENES), None) is informed


def test_a_reference_of_other_names_is_refused(tissue, tmp_path):
    other = cells()
    other.var_names = [f"other{j}" for j in range(other.n_vars)]
    other.write_h5ad(tmp_path / "cells.h5ad")
    foreign = build_reference(tmp_path / "cells.h5ad", tmp_path / "out", n_states=4)
    with pytest.raises(BadInputError, match="shares 0 genes") as refused:
        fit_prior([tissue.for_prior], 2, reference=foreign)
    assert "species" in refused.value.hint


def test_unknown_names_have_no_row(informed):
    assert informed.rows(np.array(["", "G000", "zzz"])).tolist()[::2] == [-1, -1]
    assert informed.genes[informed.rows(np.array(["G000"]))[0]] == "G000"

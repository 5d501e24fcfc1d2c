"""Hold-outs: nothing hidden can be seen, nothing is lost, the same seed gives the same bytes."""

import json
import shutil

import anndata
import numpy as np
import pytest
import tiny_sections as tiny
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.provenance import hash_file
from focus_cli.core.statistics.pseudospots import assign_spots, hexagonal_grid
from focus_cli.core.storage import open_sample
from focus_cli.evaluation import hold_out
from focus_cli.evaluation.genes import overdispersed_genes, overdispersion, spatial_genes
from focus_cli.evaluation.truth import plain, read_truth


def split(tissue, tmp_path, task, **options):
    """Run a hold-out; return what is seen, the truth, and its record."""
    sample = hold_out(tissue.path, task, tmp_path / "seen", tmp_path / "truth.h5ad", **options)
    truth = anndata.read_h5ad(tmp_path / "truth.h5ad")
    return sample.read(), truth, plain(dict(truth.uns["focus_truth"]))


def total(matrix):
    return np.asarray(matrix.sum(axis=1)).ravel()


@pytest.mark.parametrize(
    ("task", "options"),
    [
        ("denoise", {}),
        ("impute", {"n_genes": 20}),
        ("histology", {"test_fraction": 0.4}),
        ("histology", {}),
    ],
)
def test_every_task_keeps_what_a_sample_is(spots, tmp_path, task, options):
    seen, truth, record = split(spots, tmp_path, task, **options)
    sample = open_sample(tmp_path / "seen")
    assert sample.info.sample_id == "S1" and sample.info.footprint == spots.sample.info.footprint
    assert (seen.n_obs, seen.n_vars) == (sample.info.n_locations, sample.info.n_genes)
    assert seen.n_obs == 400
    np.testing.assert_array_equal(seen.obsm[keys.SPATIAL_UM], spots.xy_um)
    np.testing.assert_array_equal(seen.obs[keys.TOTAL_COUNTS], total(seen.X))
    assert sparse.issparse(seen.X) and sparse.issparse(truth.X)
    assert "S1" in seen.uns[keys.UNS_SPATIAL]
    json.dumps(record, allow_nan=False)
    assert record["task"] == task and record["kind"] == "counts" and record["seed"] == 0 and record["rule"]
    assert set(record["genes"]) <= set(truth.var_names)
    assert sample.info.provenance["command"] == "holdout"
    for file in sorted(p for p in spots.sample.morphology_path.rglob("*") if p.is_file()):
        copy = sample.morphology_path / file.relative_to(spots.sample.morphology_path)
        assert hash_file(copy) == hash_file(file)


@pytest.mark.parametrize(
    ("task", "options"), [("denoise", {}), ("impute", {"n_genes": 20}), ("histology", {"test_fraction": 0.4})]
)
def test_columns_that_tell_of_hidden_counts_do_not_travel(spots, tmp_path, task, options):
    seen, truth, _ = split(spots, tmp_path, task, **options)
    assert "n_genes_by_counts" in spots.sample.read().obs and "mean_counts" in spots.sample.read().var
    for part in (seen, truth):
        assert "n_genes_by_counts" not in part.obs and "mean_counts" not in part.var
    assert list(seen.uns) == [keys.UNS_SPATIAL]
    assert not seen.layers


def test_denoise_halves_sum_to_the_sample_and_genes_come_from_the_visible_half(spots, tmp_path):
    seen, truth, record = split(spots, tmp_path, "denoise", n_genes=15, fraction=0.5)
    hidden = truth[seen.obs_names].X
    assert (seen.X + hidden != spots.counts).nnz == 0
    assert seen.X.sum() / spots.counts.sum() == pytest.approx(0.5, abs=0.01)
    chosen = seen.var_names[overdispersed_genes(sparse.csr_matrix(seen.X), 15)]
    assert record["genes"] == list(chosen) and len(chosen) == 15
    np.testing.assert_array_equal(truth.obs["visible_counts"], total(seen.X))
    np.testing.assert_array_equal(truth.obs["exposure"], total(hidden))
    assert record["visible_fraction"] == 0.5


def test_a_deep_thinning_keeps_locations_that_lost_everything(tmp_path):
    poor = tiny.smooth_section(tmp_path / "poor", n=12, n_genes=20, depth=6)
    seen, truth, record = split(poor, tmp_path, "denoise", fraction=0.1)
    assert seen.n_obs == 144 and (seen.obs[keys.TOTAL_COUNTS] == 0).any()
    everything_visible = total(poor.counts) == total(seen.X)
    assert record["n_without_exposure"] == everything_visible.sum() == 144 - truth.n_obs


def test_impute_hides_a_random_half_of_the_variable_genes_everywhere(spots, tmp_path):
    seen, truth, record = split(spots, tmp_path, "impute", n_genes=20)
    hidden = record["genes"]
    candidates = spots.sample.read().var_names[overdispersed_genes(spots.counts, 20)]
    assert len(hidden) == 10 and set(hidden) < set(candidates)
    assert set(seen.var_names) | set(hidden) == set(spots.sample.read().var_names)
    assert not set(seen.var_names) & set(hidden)
    for file in (tmp_path / "seen" / "sample.json", tmp_path / "seen" / "counts.h5ad"):
        assert not any(gene.encode() in file.read_bytes() for gene in hidden)
    # Exposure comes from what is measured: the hidden molecules are in neither total.
    np.testing.assert_array_equal(truth.obs["exposure"], total(seen.X))
    np.testing.assert_array_equal(truth.obs["exposure"] + total(truth.X), total(spots.counts))
    scored = read_truth(tmp_path / "truth.h5ad")
    assert not scored.inside and list(scored.groups) == ["imputed"]
    by_hand = np.log1p(1e4 * truth.X.toarray() / truth.obs["exposure"].to_numpy()[:, None])
    np.testing.assert_allclose(scored.columns(np.arange(10)), by_hand, rtol=1e-5)


def test_another_seed_hides_other_genes(spots, tmp_path):
    _, _, first = split(spots, tmp_path / "a", "impute", n_genes=20)
    _, _, again = split(spots, tmp_path / "b", "impute", n_genes=20)
    _, _, other = split(spots, tmp_path / "c", "impute", n_genes=20, seed=1)
    assert first["genes"] == again["genes"] != other["genes"]


@pytest.mark.parametrize("task", ["denoise", "impute", "histology"])
def test_same_seed_same_bytes(spots, tmp_path, task):
    for name in "ab":
        hold_out(spots.path, task, tmp_path / name, tmp_path / f"{name}.h5ad", n_genes=20, seed=3)
    for file in ("counts.h5ad", "sample.json"):
        assert hash_file(tmp_path / "a" / file) == hash_file(tmp_path / "b" / file)
    assert hash_file(tmp_path / "a.h5ad") == hash_file(tmp_path / "b.h5ad")


def test_a_list_of_genes_is_hidden_as_given(spots, tmp_path):
    (tmp_path / "genes.txt").write_text("# mine\nG007\nG003  # twice\nG007\n")
    seen, truth, record = split(spots, tmp_path, "impute", genes_file=tmp_path / "genes.txt")
    assert record["genes"] == ["G003", "G007"] == list(truth.var_names)
    assert seen.n_vars == 38


def test_histology_without_a_split_hides_every_count(spots, tmp_path):
    seen, truth, record = split(spots, tmp_path, "histology", n_genes=10)
    assert seen.X.nnz == 0 and (seen.obs[keys.TOTAL_COUNTS] == 0).all() and seen.shape == (400, 40)
    assert (spots.counts != truth.X).nnz == 0
    assert "hidden locations" in record["rule"]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("cut", [{"test_fraction": 0.4}, {"region": (0.0, 0.0, 950.0, 950.0)}])
def test_histology_split_keeps_its_buffer(spots, tmp_path, seed, cut):
    seen, truth, record = split(spots, tmp_path, "histology", n_genes=10, seed=seed, buffer_um=250, **cut)
    measured = seen.obs[keys.TOTAL_COUNTS].to_numpy() > 0
    tested = seen.obs_names.isin(truth.obs_names)
    assert not (measured & tested).any()
    gap = seen.obsm[keys.SPATIAL_UM][measured][:, None] - truth.obsm[keys.SPATIAL_UM][None]
    assert np.hypot(*np.moveaxis(gap, -1, 0)).min() > 250
    assert record["n_test"] == tested.sum() and record["n_train"] == measured.sum()
    assert record["n_test"] + record["n_train"] + record["n_buffer"] == 400
    assert (spots.counts[np.flatnonzero(tested)] != truth.X).nnz == 0
    train = sparse.csr_matrix(seen.X)[np.flatnonzero(measured)]
    chosen = spatial_genes(train, spots.xy_um[measured], 10)
    assert record["genes"] == list(seen.var_names[chosen])


def test_the_buffer_is_no_wider_than_asked(spots, tmp_path):
    _, _, record = split(spots, tmp_path, "histology", n_genes=10, test_fraction=0.4, buffer_um=150)
    assert record["n_buffer"] == 20 and record["n_test"] == 160  # one of twenty rows; eight of them


def test_refine_pseudo_spots_hold_the_molecules_of_their_disc(bins, tmp_path):
    seen, _, record = split(bins, tmp_path, "refine", n_genes=12, truth_bin_um=16)
    centres = seen.obsm[keys.SPATIAL_UM]
    for i in (0, 17, seen.n_obs - 1):
        inside = np.hypot(*(bins.xy_um - centres[i]).T) <= 27.5
        np.testing.assert_array_equal(
            seen.X[i].toarray().ravel(), np.asarray(bins.counts[np.flatnonzero(inside)].sum(axis=0)).ravel()
        )
    gap = np.hypot(*np.moveaxis(centres[:, None] - centres[None], -1, 0)) + 1e9 * np.eye(len(centres))
    assert gap.min() == pytest.approx(100)
    interior = (np.abs(centres - 480) < 300).all(axis=1)
    np.testing.assert_allclose(np.sort(gap, axis=1)[interior, :6], 100)
    assert (total(seen.X) >= 1).all() and total(seen.X).sum() < 0.4 * bins.counts.sum()
    info = open_sample(tmp_path / "seen").info
    assert (info.platform.name, info.platform.resolution_um) == ("pseudo_visium", 55.0)
    assert (info.footprint.shape, info.footprint.size_um, info.footprint.pitch_um) == ("circle", 55.0, 100.0)
    factors = seen.uns[keys.UNS_SPATIAL]["S1"]["scalefactors"]
    assert factors["spot_diameter_fullres"] == pytest.approx(55 / 0.5)
    assert ((seen.obs[keys.ARRAY_ROW] + seen.obs[keys.ARRAY_COL]) % 2 == 0).all()
    chosen = spatial_genes(sparse.csr_matrix(seen.X), centres, 12)
    assert record["genes"] == list(seen.var_names[chosen])
    np.testing.assert_allclose(seen.obsm[keys.SPATIAL] * 0.5, centres)


@pytest.mark.parametrize(("side", "n"), [(8, 14400), (16, 3600), (24, 1600)])
def test_refine_truth_conserves_every_molecule(bins, tmp_path, side, n):
    _, truth, _ = split(bins, tmp_path, "refine", n_genes=12, truth_bin_um=side)
    assert truth.X.sum() == bins.counts.sum()
    np.testing.assert_array_equal(np.asarray(truth.X.sum(axis=0)), np.asarray(bins.counts.sum(axis=0)))
    assert n - 5 <= truth.n_obs <= n
    row = truth.obs[keys.ARRAY_ROW].to_numpy()[5]
    col = truth.obs[keys.ARRAY_COL].to_numpy()[5]
    members = (np.abs(bins.xy_um - truth.obsm[keys.SPATIAL_UM][5]) < side / 2).all(axis=1)
    assert members.sum() == (side // 8) ** 2
    np.testing.assert_allclose(truth.obsm[keys.SPATIAL_UM][5], side * np.array([col, row]) + (side - 8) / 2, atol=1e-6)
    np.testing.assert_array_equal(
        truth.X[5].toarray().ravel(), np.asarray(bins.counts[np.flatnonzero(members)].sum(axis=0)).ravel()
    )


def test_a_bin_belongs_to_one_spot_at_most():
    xy, _, _ = tiny.square_grid(60, 5.0)
    centres, row, col = hexagonal_grid(xy, 40.0)
    spot = assign_spots(xy, centres, 40.0)
    distance = np.hypot(*np.moveaxis(xy[:, None] - centres[None], -1, 0))
    np.testing.assert_array_equal(spot >= 0, distance.min(axis=1) <= 20)
    covered = spot >= 0
    np.testing.assert_array_equal(distance[covered, spot[covered]], distance[covered].min(axis=1))
    assert len(set(zip(row, col))) == len(row)


def test_crop_uses_only_the_box(bins, tmp_path):
    _, truth, _ = split(bins, tmp_path, "refine", n_genes=12, crop=(0, 0, 476, 476))
    inside = (bins.xy_um <= 476).all(axis=1)
    assert truth.X.sum() == bins.counts[np.flatnonzero(inside)].sum()


def test_overdispersion_is_standard_normal_for_poisson_and_large_for_structure():
    rng = np.random.default_rng(0)
    depth = rng.uniform(500, 3000, 2000)
    share = rng.dirichlet(np.ones(200))
    score = overdispersion(sparse.csr_matrix(rng.poisson(depth[:, None] * share)))
    score = score[np.isfinite(score)]
    assert abs(score.mean()) < 0.3 and score.std() == pytest.approx(1, abs=0.2)
    varied = np.tile(share, (2000, 1))
    varied[:1000, :20] *= 3
    counts = sparse.csr_matrix(rng.poisson(depth[:, None] * varied / varied.sum(axis=1, keepdims=True)))
    np.testing.assert_array_equal(overdispersed_genes(counts, 10), np.sort(np.argsort(-overdispersion(counts))[:10]))
    assert np.median(overdispersion(counts)[:20]) > 20


def test_spatial_genes_are_found_among_equally_variable_ones():
    rng = np.random.default_rng(1)
    xy, _, _ = tiny.square_grid(25, 100.0)
    wave = np.sin(xy[:, :1] / 400)
    field = np.repeat(wave, 20, axis=1)
    field[:, 10:] = rng.permuted(field[:, 10:], axis=0)
    counts = sparse.csr_matrix(rng.poisson(20 * np.exp(field)))
    np.testing.assert_array_equal(spatial_genes(counts, xy, 10), np.arange(10))


def damaged(tissue, path, change):
    """A copy of a stored section whose counts were changed."""
    shutil.copytree(tissue.path, path)
    adata = anndata.read_h5ad(path / "counts.h5ad")
    change(adata)
    adata.write_h5ad(path / "counts.h5ad")
    return path


@pytest.mark.parametrize(
    ("task", "options", "error"),
    [
        ("smooth", {}, UsageError),
        ("denoise", {"fraction": 1.0}, UsageError),
        ("denoise", {"n_genes": 0}, UsageError),
        ("refine", {}, BadInputError),  # spots are too coarse to be made spots of
        ("histology", {"test_fraction": 0.0}, UsageError),
        ("histology", {"test_fraction": 0.5, "buffer_um": 5000}, UsageError),
        ("histology", {"region": (5.0, 5.0, 1.0, 9.0)}, UsageError),
        ("histology", {"region": (-9e5, -9e5, -8e5, -8e5)}, UsageError),
        ("denoise", {"crop": (-9e5, -9e5, -8e5, -8e5)}, UsageError),
        ("impute", {"genes_file": "absent.txt"}, MissingResourceError),
        ("impute", {"n_genes": 1}, BadInputError),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(spots, tmp_path, task, options, error):
    with pytest.raises(error) as caught:
        hold_out(spots.path, task, tmp_path / "seen", tmp_path / "truth.h5ad", **options)
    assert "\n" not in caught.value.message
    assert list(tmp_path.iterdir()) == []


def test_refine_options_that_make_no_sense(bins, tmp_path):
    for options in ({"spot_um": 120}, {"truth_bin_um": 12}, {"truth_bin_um": 3}):
        with pytest.raises(UsageError):
            hold_out(bins.path, "refine", tmp_path / "seen", tmp_path / "truth.h5ad", **options)
    assert list(tmp_path.iterdir()) == []


def test_unusable_lists_and_samples(spots, tmp_path):
    out = tmp_path / "seen", tmp_path / "truth.h5ad"
    empty, unknown = tmp_path / "empty.txt", tmp_path / "unknown.txt"
    empty.write_text("# none\n")
    unknown.write_text("G001\nNOT_A_GENE\n")
    with pytest.raises(BadInputError):
        hold_out(spots.path, "impute", *out, genes_file=empty)
    with pytest.raises(BadInputError, match="NOT_A_GENE"):
        hold_out(spots.path, "impute", *out, genes_file=unknown)
    with pytest.raises(MissingResourceError):
        hold_out(tmp_path / "nowhere", "denoise", *out)
    for name, change in {
        "halves": lambda a: a.X.__imul__(0.5),
        "negative": lambda a: a.X.__imul__(-1),
    }.items():
        with pytest.raises(BadInputError, match=r"raw counts|negative or not finite"):
            hold_out(damaged(spots, tmp_path / name, change), "denoise", *out)
    assert not (tmp_path / "seen").exists() and not (tmp_path / "truth.h5ad").exists()


def test_outputs_are_not_replaced_unless_asked_and_never_mixed_with_the_input(spots, tmp_path):
    split(spots, tmp_path, "denoise", n_genes=5)
    before = hash_file(tmp_path / "truth.h5ad")
    with pytest.raises(OutputExistsError):
        hold_out(spots.path, "denoise", tmp_path / "seen", tmp_path / "other.h5ad", seed=1)
    with pytest.raises(OutputExistsError):
        hold_out(spots.path, "denoise", tmp_path / "other", tmp_path / "truth.h5ad", seed=1)
    assert hash_file(tmp_path / "truth.h5ad") == before and not (tmp_path / "other").exists()
    hold_out(spots.path, "denoise", tmp_path / "seen", tmp_path / "truth.h5ad", seed=1, overwrite=True)
    assert hash_file(tmp_path / "truth.h5ad") != before
    for out, truth in (
        (spots.path, tmp_path / "t.h5ad"),
        (spots.path / "inside", tmp_path / "t.h5ad"),
        (tmp_path / "new", spots.path / "truth.h5ad"),
        (tmp_path / "new", tmp_path / "new" / "truth.h5ad"),
    ):
        with pytest.raises(UsageError):
            hold_out(spots.path, "denoise", out, truth, overwrite=True)
    assert spots.sample.read().n_obs == 400


def test_a_raster_that_leads_to_an_endless_file_is_not_copied(spots, tmp_path):
    copy = tmp_path / "S1"
    shutil.copytree(getattr(spots, "path", spots), copy)
    (copy / keys.MORPHOLOGY_ZARR).mkdir(exist_ok=True)
    (copy / keys.MORPHOLOGY_ZARR / "c").symlink_to("/dev/zero")
    with pytest.raises(BadInputError, match="link out of the store"):
        hold_out(copy, "denoise", tmp_path / "seen", tmp_path / "truth.h5ad")
    assert not (tmp_path / "seen").exists()

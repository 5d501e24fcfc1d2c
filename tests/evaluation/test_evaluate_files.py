"""Any file can be scored, whatever its form, scale, names and grid; what cannot be read is refused."""

import shutil

import anndata
import numpy as np
import pytest
import tiny_sections as tiny
from scipy import sparse
from tiny_sections import expression_of, genes_of, names, rows_of

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.evaluation import evaluate, hold_out
from focus_cli.evaluation.matching import match_locations
from focus_cli.evaluation.reading import EstimateFile
from focus_cli.evaluation.truth import read_truth


@pytest.mark.parametrize("form", ["dense", "chunked", "csr", "csc", "layer", "shuffled"])
def test_every_form_of_file_gives_the_same_scores(spots, held, tmp_path, form):
    _, path = held["denoise"]
    genes = genes_of(path)
    index = [int(g[1:]) for g in genes]
    everything = expression_of(spots, [f"G{j:03d}" for j in range(40)])
    all_genes = np.array([f"G{j:03d}" for j in range(40)])
    rng = np.random.default_rng(0)
    options, layer, rows, columns = {}, "X", np.arange(400), np.arange(40)
    if form == "shuffled":
        rows, columns = rng.permutation(400), rng.permutation(40)
    values = everything[np.ix_(rows, columns)]
    if form in ("csr", "csc"):
        values = sparse.csr_matrix(values).asformat(form)
    if form == "layer":
        layer, values, options = "smooth", np.zeros_like(values), {"layers": {"smooth": values}}
    file = tmp_path / "e.h5ad"
    tiny.write_estimate(
        file, values, np.array(names(spots))[rows], all_genes[columns], by_focus=form != "layer", **options
    )
    if form == "chunked":
        chunked(file, (7, 3))
    got = evaluate(file, path, tmp_path / "scores", layer=layer)
    truth = read_truth(path)
    place = [names(spots).index(n) for n in truth.names]
    wanted = [
        np.corrcoef(everything[place, j], truth.columns(np.array([k])).ravel())[0, 1] for k, j in enumerate(index)
    ]
    assert got["matching"]["scale"] == "log1p" and got["matching"]["layer"] == layer
    assert got["rows"][0]["pcc_mean"] == pytest.approx(np.mean(wanted), abs=1e-5)


def chunked(file, chunks):
    """Rewrite X of a file in chunks."""
    import h5py

    with h5py.File(file, "r+") as store:
        values, attributes = store["X"][:], dict(store["X"].attrs)
        del store["X"]
        store.create_dataset("X", data=values, chunks=chunks, compression="lzf").attrs.update(attributes)


def test_counts_of_another_tool_are_recognised_and_normalised(spots, held, tmp_path):
    _, path = held["denoise"]
    genes = [f"G{j:03d}" for j in range(40)]
    log = tiny.write_estimate(tmp_path / "log.h5ad", tiny.log_cp10k(spots.share), names(spots), genes)
    depth = np.random.default_rng(0).uniform(500, 5000, (400, 1))
    counts = tiny.write_estimate(
        tmp_path / "MAGIC.h5ad", (spots.share * depth).astype(np.float32), names(spots), genes, by_focus=False
    )
    first = evaluate(log, path, tmp_path / "a")
    second = evaluate(counts, path, tmp_path / "b")
    assert second["matching"]["scale"] == "counts" and second["method"] == "MAGIC"
    for name in ("pcc_mean", "rmse_mean", "jsd_mean", "spearman_mean"):
        assert second["rows"][0][name] == pytest.approx(first["rows"][0][name], abs=1e-4), name


def test_counts_of_hidden_genes_are_divided_by_the_exposure_of_measured_ones(spots, held, tmp_path):
    _, path = held["impute"]
    truth = read_truth(path)
    index = [int(g[1:]) for g in truth.genes]
    measured = np.setdiff1d(np.arange(40), index)
    share = spots.share / spots.share[:, measured].sum(axis=1, keepdims=True)
    values = (share[:, index] * truth.exposure[:, None]).astype(np.float32)
    file = tiny.write_estimate(tmp_path / "t.h5ad", values, names(spots), truth.genes, by_focus=False)
    row = evaluate(file, path, tmp_path / "s", scale="counts")["rows"][0]
    assert row["fraction_of_ceiling"] == pytest.approx(1, abs=0.04)
    by_hand = tiny.log_cp10k(share[:, index])
    wanted = np.sqrt(((by_hand - truth.columns(np.arange(len(index)))) ** 2).mean(axis=0)).mean()
    assert row["rmse_mean"] == pytest.approx(wanted, rel=1e-4)


def test_a_refined_file_on_another_grid_is_matched_by_position(bins, tmp_path):
    seen, path = tmp_path / "seen", tmp_path / "truth.h5ad"
    hold_out(bins.path, "refine", seen, path, n_genes=12, truth_bin_um=24)
    genes = genes_of(path)
    index = [int(g[1:]) for g in genes]
    values = tiny.log_cp10k(bins.share[:, index]).astype(np.float32)
    fine = tiny.write_estimate(
        tmp_path / "fine.h5ad", values, [f"q{i}" for i in range(14400)], genes, bins.xy_um, by_focus=True
    )
    scores = evaluate(fine, path, tmp_path / "fine", observed=seen)
    rows = rows_of(scores)
    assert scores["matching"]["n_matched"] == scores["matching"]["n_truth"]
    assert "mean" in scores["matching"]["how"]
    assert rows["focus"]["fraction_of_ceiling"] == pytest.approx(1, abs=0.05)
    assert {"nearest", "inverse_distance", "ridge", "ridge_residuals"} <= set(rows)
    assert "visible" in scores["skipped"]  # bins were not measured themselves
    shifted = tiny.write_estimate(
        tmp_path / "shifted.h5ad",
        values[::9][:1600],
        [f"q{i}" for i in range(1600)],
        genes,
        np.asarray(read_truth(path).xy_um)[:1600] + np.array([11.9, -11.9]),
    )
    assert evaluate(shifted, path, tmp_path / "s")["matching"]["how"].startswith("by position, nearest")
    spots_only = anndata.read_h5ad(seen / "counts.h5ad")[:, genes]
    spot_file = tiny.write_estimate(
        tmp_path / "spots.h5ad",
        spots_only.X.toarray(),
        spots_only.obs_names,
        genes,
        spots_only.obsm[keys.SPATIAL_UM],
    )
    with pytest.raises(BadInputError, match="locations are in the file"):
        evaluate(spot_file, path, tmp_path / "no")
    assert not (tmp_path / "no").exists()


def test_a_finer_file_is_averaged_as_molecules_not_as_logarithms(tmp_path):
    truth_xy = np.array([[8.0, 8.0], [24.0, 8.0], [8.0, 24.0], [24.0, 24.0]])
    fine_xy, _, _ = tiny.square_grid(4, 8.0, start=4.0)
    match = match_locations(np.array(list("abcd")), truth_xy, np.arange(16).astype(str), fine_xy)
    np.testing.assert_array_equal(np.bincount(match.pair_truth), [4, 4, 4, 4])
    np.testing.assert_array_equal(match.pair_file[match.pair_truth == 0], [0, 1, 4, 5])
    from focus_cli.evaluation.prediction import GatheredColumns

    linear = np.arange(16, dtype=np.float32)[:, None] ** 2
    path = tiny.write_estimate(tmp_path / "f.h5ad", np.log1p(linear), np.arange(16).astype(str), ["G"], fine_xy)
    with EstimateFile(path) as file:
        got = GatheredColumns(file, "X", match, np.array([0]), "log1p", tmp_path)(np.array([0]))
    assert got[0, 0] == pytest.approx(np.log1p((0 + 1 + 16 + 25) / 4))


def test_names_that_nearly_coincide_match_by_name_and_the_rest_is_said(spots, held, tmp_path, capsys):
    _, path = held["denoise"]
    genes = genes_of(path)
    keep = np.arange(400) >= 40
    file = tiny.write_estimate(
        tmp_path / "e.h5ad", expression_of(spots, genes)[keep], np.array(names(spots))[keep], genes
    )
    scores = evaluate(file, path, tmp_path / "scores")
    assert scores["matching"]["n_matched"] == 360 and scores["matching"]["n_truth"] == 400
    assert "360 of 400 locations matched by name" in capsys.readouterr().err


def test_large_estimates_go_through_disk_with_the_same_result(spots, held, tmp_path, monkeypatch):
    _, path = held["denoise"]
    genes = genes_of(path)
    file = tiny.write_estimate(tmp_path / "e.h5ad", expression_of(spots, genes), names(spots), genes)
    first = evaluate(file, path, tmp_path / "a")
    monkeypatch.setattr("focus_cli.evaluation.prediction._IN_MEMORY", 0)
    monkeypatch.setattr("focus_cli.evaluation.reading._BLOCK_BYTES", 4096)
    assert evaluate(file, path, tmp_path / "b")["rows"] == first["rows"]
    assert len(list((tmp_path / "b").iterdir())) == 4


def test_only_scored_columns_are_read(spots, held, tmp_path):
    """A file whose other columns cannot be unpacked is still scored."""
    import h5py

    _, path = held["denoise"]
    genes = genes_of(path)
    wide = np.concatenate([expression_of(spots, genes), np.full((400, 20), np.nan, np.float32)], axis=1)
    file = tiny.write_estimate(tmp_path / "e.h5ad", wide, names(spots), [*genes, *(f"N{i}" for i in range(20))])
    chunked(file, (100, 20))
    with h5py.File(file) as store:
        offset = store["X"].id.get_chunk_info(1).byte_offset
    with open(file, "r+b") as stream:
        stream.seek(offset)
        stream.write(b"\xff" * 64)
    with pytest.raises(OSError), h5py.File(file) as store:
        store["X"][:]
    assert evaluate(file, path, tmp_path / "scores")["rows"][0]["n_nan"] == 0


def test_bad_inputs_are_refused_and_leave_nothing(spots, held, tmp_path):
    seen, path = held["denoise"]
    genes, values = genes_of(path), expression_of(spots, genes_of(path))
    good = tiny.write_estimate(tmp_path / "good.h5ad", values, names(spots), genes)
    broken = values.copy()
    broken[3, 4] = np.nan
    nan = tiny.write_estimate(tmp_path / "nan.h5ad", broken, names(spots), genes)
    no_gene = tiny.write_estimate(tmp_path / "no_gene.h5ad", values, names(spots), [f"x{g}" for g in genes])
    no_place = tiny.write_estimate(tmp_path / "no_place.h5ad", values, [f"x{n}" for n in names(spots)], genes)
    twice = tiny.write_estimate(tmp_path / "twice.h5ad", values, names(spots), [genes[0], *genes[:-1]])
    negative = tiny.write_estimate(tmp_path / "neg.h5ad", values - 100, names(spots), genes, by_focus=False)
    cut = tmp_path / "cut.h5ad"
    cut.write_bytes(good.read_bytes()[:3000])
    text = tmp_path / "text.h5ad"
    text.write_text("gene\tvalue\n")
    out = tmp_path / "scores"
    cases = [
        (nan, path, {}, BadInputError),
        (no_gene, path, {}, BadInputError),
        (no_place, path, {}, BadInputError),
        (twice, path, {}, BadInputError),
        (negative, path, {"scale": "counts"}, BadInputError),
        (cut, path, {}, BadInputError),
        (text, path, {}, BadInputError),
        (good, text, {}, BadInputError),
        (good, good, {}, BadInputError),  # an estimate is no truth
        (tmp_path / "absent.h5ad", path, {}, MissingResourceError),
        (good, tmp_path / "absent.h5ad", {}, MissingResourceError),
        (good, path, {"observed": tmp_path / "absent"}, MissingResourceError),
        (good, path, {"training": [tmp_path / "absent"]}, MissingResourceError),
        (good, path, {"reference": tmp_path / "absent"}, MissingResourceError),
        (good, path, {"layer": "smooth"}, UsageError),
        (good, path, {"scale": "sqrt"}, UsageError),
    ]
    before = sorted(tmp_path.iterdir())
    for file, truth, options, error in cases:
        with pytest.raises(error) as caught:
            evaluate(file, truth, out, **options)
        assert "\n" not in caught.value.message and sorted(tmp_path.iterdir()) == before
    out.mkdir()
    with pytest.raises(OutputExistsError):
        evaluate(good, path, out)
    evaluate(good, path, out, overwrite=True)
    assert (out / "scores.tsv").is_file()
    assert seen.exists()


@pytest.mark.parametrize("change", ["negative", "gene", "kind", "positions"])
def test_damaged_truths_are_refused(held, tmp_path, change):
    path = tmp_path / "truth.h5ad"
    shutil.copy(held["denoise"][1], path)
    adata = anndata.read_h5ad(path)
    if change == "negative":
        adata.X.data[0] = -1
    elif change == "gene":
        adata.uns["focus_truth"]["genes"] = ["NOT_A_GENE"]
    elif change == "kind":
        adata.uns["focus_truth"]["kind"] = "rumour"
    else:
        del adata.obsm[keys.SPATIAL_UM]
    adata.write_h5ad(path)
    with pytest.raises(BadInputError):
        read_truth(path)

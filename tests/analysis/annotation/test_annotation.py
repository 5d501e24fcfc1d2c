"""Labels of a few locations are carried to those of donors that the head did not see."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from embedding_files import KINDS, cohort, tissue, write_embedding, write_table

from focus_cli.analysis.annotation import apply_annotation, fit_annotation
from focus_cli.analysis.annotation.cross_validation import (
    HeldOut,
    calibration,
    class_scores,
    expected_calibration_error,
    leave_out,
)
from focus_cli.analysis.annotation.fitting import best_temperature, fit_head, fit_linear, folds_of
from focus_cli.analysis.annotation.labels import blocks_of
from focus_cli.analysis.annotation.ranking import ranking_draws
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError
from focus_cli.reporting import explain
from focus_cli.reporting.fields import UNKNOWN


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("annotate")
    files, table = cohort(folder)
    labels = write_table(folder / "labels.tsv", table)
    return folder, files, table, fit_annotation(files, labels, folder / "head")


def test_known_kinds_are_told_apart_on_left_out_donors(fitted):
    told = fitted[3]
    assert told["classes"] == list(KINDS) and told["left_out"] == {"by": "donor", "folds": 3}
    for row in told["scores"]:
        assert row["auroc"] > 0.95 and row["auroc_low"] <= row["auroc"] <= row["auroc_high"] and row["folds"] == 3
        assert row["ap"] > 0.9 > 0.4 > row["prevalence"]
    assert told["labels"]["D1"] == {"duct": 48, "stroma": 48, "tumour": 48}


def test_the_map_is_right_and_the_file_says_where_it_comes_from(fitted, tmp_path):
    folder = fitted[0]
    kinds, values = tissue(99)
    new = write_embedding(tmp_path / "new.h5ad", "new", values)
    counts = apply_annotation(new, folder / "head", tmp_path / "new.annotation.h5ad")
    read = ad.read_h5ad(tmp_path / "new.annotation.h5ad")
    called = ~read.obs["annotation_abstain"].to_numpy()
    assert called.mean() > 0.9 and (read.obs["annotation"].to_numpy().astype(str) == kinds)[called].mean() > 0.9
    probability = read.obsm["annotation_probability"]
    assert list(probability.columns) == list(KINDS) and np.allclose(probability.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(probability.max(axis=1), read.obs["annotation_confidence"])
    assert read.uns["focus"]["kind"] == "annotation" and counts.sum() == len(kinds)
    assert json.loads(read.uns["focus"]["provenance"])["inputs"]["head"]["sha256"]
    assert not any(p.suffix in (".pkl", ".pickle", ".joblib") for p in (folder / "head").iterdir())
    for path in (folder / "head", tmp_path / "new.annotation.h5ad"):
        assert all(field["meaning"] not in ("", UNKNOWN) for field in explain(path)["fields"])
    with pytest.raises(OutputExistsError):
        apply_annotation(new, folder / "head", tmp_path / "new.annotation.h5ad")


def test_tissue_unlike_any_that_was_labelled_is_not_called(fitted, tmp_path):
    _, values = tissue(98)
    values[:30] += 25  # a kind of tissue that no one labelled
    new = write_embedding(tmp_path / "new.h5ad", "new", values)
    apply_annotation(new, fitted[0] / "head", tmp_path / "a.h5ad")
    read = ad.read_h5ad(tmp_path / "a.h5ad")
    assert read.obs["annotation_abstain"][:30].all() and read.obs["annotation_abstain"][30:].mean() < 0.1
    assert (read.obs["annotation"][:30] == "abstained").all()
    apply_annotation(new, fitted[0] / "head", tmp_path / "b.h5ad", abstain_above=np.inf)
    assert set(ad.read_h5ad(tmp_path / "b.h5ad").obs["annotation"]) <= set(KINDS)


def test_labels_that_mean_nothing_give_chance(tmp_path):
    files, table = cohort(tmp_path, donors=4)
    table["label"] = np.random.default_rng(0).permutation(table["label"])
    told = fit_annotation(files, write_table(tmp_path / "l.tsv", table), tmp_path / "head")
    assert np.mean([row["auroc"] for row in told["scores"]]) == pytest.approx(0.5, abs=0.05)
    assert told["calibration"]["ece_after"] < 0.1  # it knows that it knows nothing


def test_same_bytes_whatever_the_order_of_files_rows_and_locations(fitted, tmp_path):
    folder, files, table, _ = fitted
    shuffled = write_table(tmp_path / "l.tsv", table.sample(frac=1, random_state=0))
    fit_annotation(files[::-1], shuffled, tmp_path / "head")
    assert (tmp_path / "head/head.safetensors").read_bytes() == (folder / "head/head.safetensors").read_bytes()
    new = files[0]
    apply_annotation(new, folder / "head", tmp_path / "a.h5ad")
    turned = ad.read_h5ad(new)[::-1].copy()
    turned.write_h5ad(tmp_path / "turned.h5ad")
    apply_annotation(tmp_path / "turned.h5ad", folder / "head", tmp_path / "b.h5ad")
    one, two = ad.read_h5ad(tmp_path / "a.h5ad").obs, ad.read_h5ad(tmp_path / "b.h5ad").obs.iloc[::-1]
    pd.testing.assert_frame_equal(one, two)


def test_a_handful_of_labels_is_scored_on_all_of_the_donor_left_out(fitted, tmp_path):
    folder, files, _, _ = fitted
    told = fit_annotation(files, folder / "labels.tsv", tmp_path / "head", per_class=6)
    assert sum(n for row in told["labels"].values() for n in row.values()) == 18
    assert told["calibration"]["n"] == 3 * 144 and min(row["auroc"] for row in told["scores"]) > 0.8


def test_one_label_against_the_rest_and_labels_left_out(fitted, tmp_path):
    folder, files, _, _ = fitted
    told = fit_annotation(
        files, folder / "labels.tsv", tmp_path / "head", against_rest="tumour", ignore=["duct"], seed=3
    )
    assert told["classes"] == ["other", "tumour"] and told["calibration"]["n"] == 3 * 96


def test_one_donor_can_be_scored_by_blocks_of_its_tissue_only(tmp_path):
    files, table = cohort(tmp_path, donors=1)
    labels = write_table(tmp_path / "l.tsv", table)
    with pytest.raises(BadInputError, match="all labels are of one donor, D0"):
        fit_annotation(files, labels, tmp_path / "head")
    assert not (tmp_path / "head").exists()
    told = fit_annotation(files, labels, tmp_path / "head", leave_out_by="block")
    assert told["left_out"]["by"] == "block" and min(row["auroc"] for row in told["scores"]) > 0.9


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.assign(label=""), "holds no labels"),
        (lambda t: t[t["label"] == "duct"], "one class, 'duct'"),
        (lambda t: t.assign(location="x" + t["location"]), "match no location .* none of its locations"),
        (lambda t: t.assign(sample="T" + t["sample"]), "match no location .* none of its samples"),
        (lambda t: t.drop(columns="label"), "has no column 'label'"),
        (lambda t: pd.concat([t, t.iloc[:1].assign(label="tumour")]), "has two labels"),
        (lambda t: t.assign(location=""), "line 2: no location"),
        (lambda t: pd.concat([t, t.iloc[:1].assign(donor="D9")]), "S0 is of donor D0 and of D9"),
        (lambda t: t.assign(label=t["label"].replace("duct", "abstained")), "what focus annotate writes itself"),
        (lambda t: t[(t["sample"] + t["label"]).isin(["S0duct", "S1stroma"])], "no donor can be left"),
    ],
)
def test_labels_that_do_not_do_are_refused_in_one_line(fitted, tmp_path, change, message):
    _, files, table, _ = fitted
    with pytest.raises(BadInputError, match=message) as error:
        fit_annotation(files, write_table(tmp_path / "l.tsv", change(table)), tmp_path / "head")
    assert "\n" not in error.value.message and not (tmp_path / "head").exists()


def test_an_embedding_of_another_space_is_refused(fitted, tmp_path):
    other = write_embedding(tmp_path / "o.h5ad", "o", tissue(5)[1], space="another")
    with pytest.raises(BadInputError, match=r"space 'another', .* fitted in 'model/expression'"):
        apply_annotation(other, fitted[0] / "head", tmp_path / "a.h5ad")
    wide = write_embedding(tmp_path / "w.h5ad", "w", tissue(5, width=8)[1])
    with pytest.raises(BadInputError, match=r"parts of \[8, 8\] values"):
        apply_annotation(wide, fitted[0] / "head", tmp_path / "a.h5ad")
    with pytest.raises(MissingResourceError, match="no such head"):
        apply_annotation(wide, tmp_path / "none", tmp_path / "a.h5ad")


def test_a_head_whose_arrays_do_not_fit_is_refused(fitted, tmp_path):
    import shutil

    shutil.copytree(fitted[0] / "head", tmp_path / "head")
    told = json.loads((tmp_path / "head/head.json").read_text())
    (tmp_path / "head/head.json").write_text(json.dumps(told | {"classes": ["a", "b"]}))
    with pytest.raises(BadInputError, match="do not agree"):
        apply_annotation(fitted[1][0], tmp_path / "head", tmp_path / "a.h5ad")


def test_the_temperature_brings_back_the_confidence_that_is_due():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(4000, 3))
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (rng.random(4000)[:, None] > p.cumsum(1)).sum(1)
    temperature, _ = best_temperature([(3 * logits, truth)])
    assert temperature == pytest.approx(3, rel=0.1)
    sure = np.exp(3 * logits) / np.exp(3 * logits).sum(1, keepdims=True)
    assert expected_calibration_error(p, truth) < 0.03 < 0.2 < expected_calibration_error(sure, truth)


def test_what_is_chosen_is_chosen_without_the_donor_that_is_left_out():
    """A class that only the left-out donor has cannot be foretold, and a label changed there changes nothing."""
    kinds, values = zip(*(tissue(i) for i in range(3)))
    labels, features = np.concatenate(kinds), np.concatenate(values).astype(np.float32)
    donors, blocks = np.repeat(list("abc"), 144), np.tile(np.repeat(np.arange(8), 18).astype(str), 3)
    held = leave_out(features, labels, donors, blocks, donors)
    changed = labels.copy()
    changed[donors == "c"] = np.random.default_rng(0).permutation(labels[donors == "c"])
    again = leave_out(features, changed, donors, blocks, donors)
    assert np.array_equal(held.probability[donors == "c"], again.probability[donors == "c"])
    assert not np.array_equal(held.probability[donors == "a"], again.probability[donors == "a"])
    labels = np.where(donors == "c", "strange", labels)
    held = leave_out(features, labels, donors, blocks, donors)
    assert not held.known[donors == "c", list(held.classes).index("strange")].any()
    row = next(r for r in class_scores(held, labels, blocks, 0) if r["class"] == "strange")
    assert row["auroc"] is None and row["folds"] == 0


def test_figures_of_calibration_are_their_definitions():
    probability = np.array([[0.8, 0.2], [0.6, 0.4], [0.9, 0.1]])
    held = HeldOut(("a", "b"), probability, probability, np.ones((3, 2), bool), np.zeros(3, int))
    told = calibration(held, np.array(["a", "b", "a"]))
    assert told["brier_after"] == pytest.approx((2 * 0.04 + 2 * 0.36 + 2 * 0.01) / 3)
    assert told["log_loss_after"] == pytest.approx(-np.log([0.8, 0.4, 0.9]).mean())
    assert told["ece_after"] == pytest.approx((0.2 + 0.6 + 0.1) / 3) and told["accuracy"] == pytest.approx(2 / 3)


def test_the_head_is_scikit_learns_regression():
    kinds, values = tissue(0)
    two = kinds != "duct"
    for labels, x in ((kinds, values), (kinds[two], values[two])):
        from sklearn.linear_model import LogisticRegression
        from sklearn.preprocessing import StandardScaler

        x = x.astype(np.float32)
        head = fit_linear(x, labels, 10.0)
        scaled = StandardScaler().fit_transform(x.astype(np.float64))
        model = LogisticRegression(C=10.0 / len(x), max_iter=2000, tol=1e-6).fit(scaled, labels)
        assert np.allclose(np.exp(head.log_probability(x)), model.predict_proba(scaled), atol=1e-3)


def test_weighted_ranks_are_those_of_scikit_learn():
    from sklearn.metrics import average_precision_score, roc_auc_score

    rng = np.random.default_rng(0)
    truth, score = rng.random(80) < 0.3, rng.normal(size=80).round(1)  # with ties
    weights = rng.multinomial(80, np.full(80, 1 / 80), size=4).astype(float)
    auroc, ap = ranking_draws(truth, score, weights)
    assert auroc == pytest.approx([roc_auc_score(truth, score, sample_weight=w) for w in weights])
    assert ap == pytest.approx([average_precision_score(truth, score, sample_weight=w) for w in weights])
    assert np.isnan(ranking_draws(truth, score, np.where(truth, 1.0, 0.0)[None])).all()


def test_groups_are_never_divided_and_folds_do_not_depend_on_the_order():
    groups = np.repeat(list("abcdefg"), [5, 9, 2, 7, 1, 4, 4])
    folds = folds_of(groups, 3)
    assert all(len(set(folds[groups == g])) == 1 for g in "abcdefg") and np.bincount(folds).min() >= 9
    order = np.random.default_rng(0).permutation(len(groups))
    assert np.array_equal(folds_of(groups[order], 3), folds[order])


def test_blocks_of_a_turned_section_are_the_same():
    rng = np.random.default_rng(0)
    xy = rng.random((300, 2)) * [4000, 2500]
    angle = 0.7
    turned = xy @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) + 500
    assert np.array_equal(blocks_of(xy), blocks_of(turned)) and len(np.unique(blocks_of(xy))) == 16


def test_a_fit_without_groups_to_leave_out_falls_back():
    kinds, values = tissue(0)
    one = fit_head(values.astype(np.float32), kinds, np.full(144, "a"), np.full(144, "a 0"))
    assert one.head.temperature == 1.0 and one.calibrated_on == 0


@pytest.mark.slow
def test_a_simulated_study_from_end_to_end(enhanced_study, tmp_path):
    from focus_cli.analysis.embedding.stage import embed

    rows, files = [], []
    for name, sample in enhanced_study.samples.items():
        files.append(tmp_path / f"{name}.h5ad")
        embed(sample, files[-1], model=enhanced_study.model)
        truth = ad.read_h5ad(enhanced_study.study.truth(name))
        domain = truth.obs["domain"].astype(str).to_numpy()
        rows.append(pd.DataFrame({"sample": name, "location": truth.obs_names, "label": domain}))
    told = fit_annotation(files, write_table(tmp_path / "l.tsv", pd.concat(rows)), tmp_path / "head")
    assert np.mean([row["auroc"] for row in told["scores"] if row["auroc"]]) > 0.8


@pytest.mark.slow
@pytest.mark.realdata
def test_pathologists_labels_find_cancer_in_other_patients(focus_data, tmp_path):
    """Counts alone, no model, as the row "raw counts, PCA" of docs/annotate.md: three patients, AUROC 0.69 there."""
    from sklearn.decomposition import PCA

    rows, counts = [], {}
    for name in ("E1", "G2", "H1"):
        lbl = next((focus_data / "st_her2_breast/ST-pat/lbl").glob(f"{name}*"))
        table = pd.read_csv(lbl, sep="\t").dropna(subset=["x", "y"])
        spots = table["x"].round().astype(int).astype(str) + "x" + table["y"].round().astype(int).astype(str)
        counts[name] = pd.read_csv(focus_data / f"st_her2_breast/ST-cnts/{name}.tsv.gz", sep="\t", index_col=0)
        rows.append(pd.DataFrame({"sample": name, "location": spots, "label": table["label"]}))
    genes = sorted(set.intersection(*(set(c.columns) for c in counts.values())))
    values = {n: np.log1p(1e4 * c[genes].div(c.sum(axis=1), axis=0)).to_numpy() for n, c in counts.items()}
    together = np.concatenate(list(values.values()))
    variable = np.argsort(-together.var(axis=0), kind="stable")[:2000]
    pca = PCA(30, random_state=0).fit(together[:, variable])
    files = []
    for name, x in values.items():
        write_embedding(tmp_path / f"{name}.h5ad", name, pca.transform(x[:, variable]))
        adata = ad.read_h5ad(tmp_path / f"{name}.h5ad")
        adata.obs_names = counts[name].index.astype(str)
        adata.write_h5ad(tmp_path / f"{name}.h5ad")
        files.append(tmp_path / f"{name}.h5ad")
    labels = write_table(tmp_path / "l.tsv", pd.concat(rows).drop_duplicates(["sample", "location"]))
    told = fit_annotation(files, labels, tmp_path / "head", ignore=["undetermined"], against_rest="invasive cancer")
    assert next(r for r in told["scores"] if r["class"] == "invasive cancer")["auroc"] > 0.55

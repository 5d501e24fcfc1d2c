"""Outcomes: a planted niche is found, dealt-out outcomes give chance, and nothing sees the donor it is judged on."""

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from embedding_files import write_embedding, write_table

from focus_cli.analysis.heads.pairs import concordance, within
from focus_cli.analysis.outcome import apply_outcome, fit_outcome
from focus_cli.analysis.outcome.attention import GatedAttention, cox_loss, score_bags, train_members
from focus_cli.analysis.outcome.bags import learn_axes, read_bags
from focus_cli.analysis.outcome.linear import fit_linear
from focus_cli.analysis.outcome.nested_cv import cross, judge, permuted
from focus_cli.analysis.outcome.scorer import fit_scorer, stratified_folds
from focus_cli.analysis.outcome.target import Target, read_clinical
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.reporting import explain
from focus_cli.reporting.fields import UNKNOWN

pytest.importorskip("lifelines")
WIDTH = 6


def planted(n: int, seed: int, effect: float, *, survival: bool = True, places: int = 60):
    """Bags of donors, a niche in some of their places, and an outcome that its share drives.

    Returns the bags, the target, the share in standard deviations, and which places belong to the niche.
    """
    rng = np.random.default_rng(seed)
    kinds = np.random.default_rng(3).normal(size=(4, WIDTH)) * 2
    share = rng.beta(0.7, 4, n)
    z = (share - share.mean()) / share.std()
    bags, niche = [], []
    for i in range(n):
        mine = rng.random(places) < share[i]
        kind = np.where(mine, 3, rng.choice(3, places, p=rng.dirichlet(np.ones(3))))
        bags.append((kinds[kind] + 0.7 * rng.normal(size=(places, WIDTH))).astype(np.float32))
        niche.append(mine)
    if not survival:
        return bags, Target(rng.random(n) < 1 / (1 + np.exp(-effect * z)), None, "1"), z, niche
    time, end = rng.exponential(np.exp(-effect * z)), rng.exponential(2.0, n)
    return bags, Target(time <= end, np.minimum(time, end)), z, niche


def write_cohort(folder, bags, target, **columns):
    """Files of one sample for each donor, and the clinical table."""
    files = [write_embedding(folder / f"S{i:03d}.h5ad", f"S{i:03d}", bag) for i, bag in enumerate(bags)]
    told = {"sample": [f"S{i:03d}" for i in range(len(bags))], "donor": [f"D{i:03d}" for i in range(len(bags))]}
    told |= {"response": target.event.astype(int)} if target.time is None else {
        "months": target.time.round(4) + 0.001,
        "died": target.event.astype(int),
    }  # fmt: skip
    return files, pd.DataFrame(told | columns)


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    """A cohort with a strong effect, a covariate that knows something too, and its head."""
    folder = tmp_path_factory.mktemp("outcome")
    bags, target, z, niche = planted(60, 1, 1.5)
    rng = np.random.default_rng(5)
    age = 60 + 8 * rng.normal(size=60)
    files, table = write_cohort(folder, bags, target, age=age.round(1), stage=rng.choice(["I", "II"], 60))
    path = write_table(folder / "clinical.tsv", table)
    options = {"time": "months", "event": "died", "covariates": ["age", "stage"]}
    told = fit_outcome(files, path, folder / "head", permutations=1, **options)
    return folder, files, table, told, (bags, target, z, niche), options


def test_a_planted_niche_is_found_on_donors_that_were_left_out(fitted):
    told = fitted[3]
    arms = told["scores"]["arms"]
    assert list(arms) == ["attention", "clinical", "mean", "together"] or set(arms) == {
        "attention", "mean", "clinical", "together"}  # fmt: skip
    assert arms["attention"]["value"] > 0.65 and arms["attention"]["low"] > 0.5
    assert abs(arms["clinical"]["value"] - 0.5) < 0.15  # age and stage were drawn at random
    assert told["scores"]["differences"]["together - clinical"]["value"] > 0.05
    assert told["scores"]["hazard_ratio"]["value"] > 1.2 and told["slope"] > 0
    assert "not a medical device" in told["note"]
    assert told["covariates"] == ["age", "stage=II"] and told["scores"]["permuted"]["p"] <= 1


def test_scores_of_new_slides_follow_the_niche_and_attention_finds_it(fitted, tmp_path):
    folder = fitted[0]
    bags, _, z, niche = planted(12, 77, 1.5)
    files = [write_embedding(tmp_path / f"N{i:02d}.h5ad", f"N{i:02d}", bag) for i, bag in enumerate(bags)]
    scores = apply_outcome(files, folder / "head", tmp_path / "s.tsv", attention=tmp_path / "maps")
    assert np.corrcoef(scores["score"], z)[0, 1] > 0.6 and (scores["unlike_training"] < 0.1).all()
    assert np.allclose(np.exp(scores["score"]), scores["relative_hazard"])
    written = pd.read_csv(tmp_path / "s.tsv", sep="\t")
    assert list(written.columns) == ["sample", "locations", "score", "relative_hazard", "unlike_training"]
    chosen = int(np.argmax([mine.sum() for mine in niche]))
    read = ad.read_h5ad(tmp_path / "maps" / f"N{chosen:02d}.h5ad")
    assert read.uns["focus"]["kind"] == "outcome" and read.obs["attention"].mean() == pytest.approx(1, abs=1e-3)
    # Places add up to the slide's score, and those of the niche raise it.
    assert read.obs["contribution"].mean() == pytest.approx(scores["score"][chosen], abs=1e-3)
    inside = niche[chosen]
    assert read.obs["contribution"][inside].mean() > read.obs["contribution"][~inside].mean()
    for path in (folder / "head", tmp_path / "s.tsv", tmp_path / "maps" / f"N{chosen:02d}.h5ad"):
        assert all(field["meaning"] not in ("", UNKNOWN) for field in explain(path)["fields"])
    with pytest.raises(OutputExistsError):
        apply_outcome(files, folder / "head", tmp_path / "s.tsv")


def test_covariates_are_used_where_they_are_given(fitted, tmp_path):
    folder, files, table, _, _, _ = fitted
    scores = apply_outcome(files[:3], folder / "head", tmp_path / "s.tsv", table=folder / "clinical.tsv")
    assert {"score_with_covariates", "relative_hazard_with_covariates"} <= set(scores.columns)
    assert np.isfinite(scores["score_with_covariates"]).all()
    short = write_table(tmp_path / "t.tsv", table.iloc[5:])
    with pytest.raises(BadInputError, match="has no row for sample S000"):
        apply_outcome(files[:1], folder / "head", tmp_path / "x.tsv", table=short)
    for values, message in (("III", "stage holds 'III', which the cohort"), ("", "stage holds ''")):
        other = write_table(tmp_path / "t.tsv", table.assign(stage=values))
        with pytest.raises(BadInputError, match=message):
            apply_outcome(files[:1], folder / "head", tmp_path / "x.tsv", table=other)
    assert not (tmp_path / "x.tsv").exists()


def test_tissue_unlike_the_cohort_is_said(fitted, tmp_path):
    strange = write_embedding(tmp_path / "x.h5ad", "x", np.full((30, WIDTH), 40.0))
    assert apply_outcome([strange], fitted[0] / "head", tmp_path / "s.tsv")["unlike_training"][0] == 1.0


def test_same_bytes_whatever_the_order_of_files_rows_and_locations(fitted, tmp_path):
    folder, files, table, _, _, options = fitted
    turned = []
    for path in files[::-1]:
        ad.read_h5ad(path)[::-1].copy().write_h5ad(tmp_path / path.name)
        turned.append(tmp_path / path.name)
    path = write_table(tmp_path / "t.tsv", table.sample(frac=1, random_state=0))
    fit_outcome(turned, path, tmp_path / "head", permutations=0, **options)
    assert (tmp_path / "head/head.safetensors").read_bytes() == (folder / "head/head.safetensors").read_bytes()


def test_response_by_the_mean_of_the_slide(tmp_path):
    bags, target, z, _ = planted(60, 2, 2.0, survival=False)
    files, table = write_cohort(tmp_path, bags, target)
    path = write_table(tmp_path / "t.tsv", table)
    told = fit_outcome(files, path, tmp_path / "head", outcome="response", pooling="mean", permutations=0)
    assert told["scores"]["measure"] == "AUROC" and told["scores"]["arms"]["mean"]["value"] > 0.6
    assert "permuted" not in told["scores"] and "hazard_ratio" not in told["scores"]
    scores = apply_outcome(files, tmp_path / "head", tmp_path / "s.tsv", attention=tmp_path / "maps")
    assert scores["probability"].between(0, 1).all() and np.corrcoef(scores["score"], z)[0, 1] > 0.5
    assert scores["probability"].mean() == pytest.approx(target.event.mean(), abs=0.15)
    read = ad.read_h5ad(tmp_path / "maps/S000.h5ad")
    assert (read.obs["attention"] == 1).all()
    assert read.obs["contribution"].mean() == pytest.approx(scores["score"][0], abs=1e-3)


def test_outcomes_dealt_out_anew_give_chance():
    bags, target, _, _ = planted(50, 4, 2.0)
    values = permuted(bags, target, 4, 0, "mean")
    assert np.mean(values) == pytest.approx(0.5, abs=0.12) and len(set(values)) == 4


def test_slides_that_say_nothing_give_chance():
    bags, target, _, _ = planted(60, 6, 0.0)
    crossed = cross(bags, target, np.zeros((60, 0)), 0, ("mean",), label="")
    told = judge(crossed, target, 0)["arms"]["mean"]
    assert told["low"] < 0.5 < told["high"]


def test_a_donor_is_scored_by_heads_that_did_not_see_it():
    """The outcome of a left-out fold is changed at will: the scores of that fold stay."""
    bags, target, _, _ = planted(40, 8, 1.0)
    folds = stratified_folds(target, 5, 0)
    rest, test = np.flatnonzero(folds != 0), np.flatnonzero(folds == 0)
    before = cross(bags, target, np.zeros((40, 0)), 0, ("mean",), label="")
    assert np.array_equal(before.folds, folds)
    by_hand = fit_scorer([bags[i] for i in rest], target.take(rest), "mean", 0).score([bags[i] for i in test])
    assert np.allclose(before.scores["mean"][test], by_hand)


def test_slides_of_one_donor_are_one_bag(tmp_path):
    a = write_embedding(tmp_path / "a.h5ad", "a", np.full((30, 2), 1.0))
    b = write_embedding(tmp_path / "b.h5ad", "b", np.full((50, 2), 2.0))
    c = write_embedding(tmp_path / "c.h5ad", "c", np.full((5, 2), 3.0))
    samples = {"a": "D1", "b": "D1", "c": "D2"}
    bags = read_bags([c, b, a], samples, ["D1", "D2"], limit=40)
    assert [len(bag) for bag in bags.features] == [40, 5]
    assert np.unique(bags.features[0], return_counts=True)[1].tolist() == [80, 80]  # half of each slide


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        (lambda t: t.assign(died=["", *t["died"][1:]]), {}, "line 2: died is missing, as for 1 of 60"),
        (lambda t: t.drop(columns="died"), {}, "has no column 'died'"),
        (lambda t: t.assign(died=0), {}, "0 of 60 donors had the event, at least 10 are needed"),
        (lambda t: t.assign(died=(np.arange(60) < 5).astype(int)), {}, "5 of 60 donors had the event"),
        (lambda t: t.assign(died=2), {}, "died must be 1 where the event was seen"),
        (lambda t: t.assign(months="soon"), {}, "months holds values that are not positive numbers"),
        (lambda t: t.assign(months=-1), {}, "months holds values that are not positive numbers"),
        (lambda t: t.assign(donor="D", months=1, died=1, age=50, stage="I"), {}, "all samples are of one donor, D"),
        (lambda t: t.assign(donor="D"), {}, "donor D has two values of"),
        (lambda t: t.iloc[1:], {}, "has no row for 1 of 60 samples, S000"),
        (lambda t: t.assign(age=""), {}, "age is missing, as for 60 of 60"),
        (lambda t: t.assign(r="x"), {"outcome": "r"}, "r has one class .x., it must have two"),
        (lambda t: t.assign(r=np.arange(60) % 3), {"outcome": "r"}, "r has 3 classes"),
        (lambda t: t.assign(r=(np.arange(60) < 4).astype(int)), {"outcome": "r"}, "4 donors are '1' and 56 are not"),
    ],
)
def test_tables_that_do_not_do_are_refused_in_one_line(fitted, tmp_path, change, options, message):
    _, files, table, _, _, usual = fitted
    path = write_table(tmp_path / "t.tsv", change(table))
    with pytest.raises(BadInputError, match=message) as error:
        fit_outcome(files, path, tmp_path / "head", **(options or usual))
    assert "\n" not in error.value.message and not (tmp_path / "head").exists()


def test_what_is_asked_must_make_sense(fitted, tmp_path):
    folder, files, table, _, _, usual = fitted
    for options in ({}, {"outcome": "died", "time": "months", "event": "died"}, {"time": "months"}):
        with pytest.raises(UsageError, match="name one outcome"):
            fit_outcome(files, folder / "clinical.tsv", tmp_path / "head", **options)
    with pytest.raises(UsageError, match="which of I and II is to be predicted"):
        fit_outcome(files, folder / "clinical.tsv", tmp_path / "head", outcome="stage")
    with pytest.raises(UsageError, match="no embeddings"):
        fit_outcome([], folder / "clinical.tsv", tmp_path / "head", **usual)
    other = write_embedding(tmp_path / "o.h5ad", "S000", np.ones((9, WIDTH)), space="another")
    with pytest.raises(BadInputError, match="different spaces"):
        fit_outcome([other, *files[1:]], folder / "clinical.tsv", tmp_path / "head", **usual)
    with pytest.raises(BadInputError, match="space 'another'"):
        apply_outcome([other], folder / "head", tmp_path / "s.tsv")
    with pytest.raises(MissingResourceError, match="no such head"):
        apply_outcome(files[:1], tmp_path / "none", tmp_path / "s.tsv")
    with pytest.raises(OutputExistsError):
        fit_outcome(files, folder / "clinical.tsv", folder / "head", **usual)
    assert list(read_clinical(folder / "clinical.tsv", **usual).donors) == sorted(table["donor"])


def test_a_sample_whose_name_leaves_the_folder_writes_nothing(fitted, tmp_path):
    bad = write_embedding(tmp_path / "bad.h5ad", "../bad", np.ones((9, WIDTH)))
    with pytest.raises(BadInputError, match="sample_id"):
        apply_outcome([bad], fitted[0] / "head", tmp_path / "s.tsv", attention=tmp_path / "in/maps")
    assert not (tmp_path / "s.tsv").exists() and not list(tmp_path.glob("in/*"))


def test_a_head_whose_arrays_do_not_fit_is_refused(fitted, tmp_path):
    import shutil

    shutil.copytree(fitted[0] / "head", tmp_path / "head")
    told = json.loads((tmp_path / "head/head.json").read_text())
    (tmp_path / "head/head.json").write_text(json.dumps(told | {"widths": {"focus_location": 3}}))
    with pytest.raises(BadInputError, match="do not agree"):
        apply_outcome(fitted[1][:1], tmp_path / "head", tmp_path / "s.tsv")


def test_the_partial_likelihood_is_that_of_lifelines():
    import torch

    rng = np.random.default_rng(0)
    x, time, event = rng.normal(size=30), rng.permutation(30) + 1.0, rng.random(30) < 0.6
    target = Target(event, time)
    risk = torch.from_numpy(time[None, :] >= time[:, None])
    weights = np.linspace(-1, 1, 21)
    scores = torch.from_numpy(weights[:, None] * x)
    best = weights[int(cox_loss(scores, risk, torch.from_numpy(event)).argmin())]
    fitted = fit_linear(x[:, None], target, 0.0)
    assert best == pytest.approx(fitted.weight[0] / fitted.scale[0], abs=0.1)


def test_attention_starts_as_the_mean_and_does_not_ask_for_the_order():
    import torch

    rng = np.random.default_rng(0)
    net = GatedAttention(2, 3, torch.Generator().manual_seed(0))
    bag = torch.from_numpy(rng.normal(size=(1, 7, 3)).astype(np.float32))
    mask = torch.tensor([[True] * 5 + [False] * 2])
    assert torch.allclose(net.attend(bag, mask)[0, 0], torch.tensor([0.2] * 5 + [0.0] * 2))
    bags, target, _, _ = planted(24, 0, 1.0)
    trained = train_members(bags, target, np.ones(2), 0)
    scores = score_bags(trained, bags)
    assert np.allclose(scores, score_bags(trained, [bag[::-1].copy() for bag in bags]), atol=1e-4)
    assert concordance(scores.mean(0), target.pairs() & within(np.zeros(24))) > 0.6  # of those it saw


def test_axes_count_each_donor_the_same():
    small, large = np.array([[0.0, 0.0], [2.0, 0.0]], np.float32), np.tile(np.float32([[4, 4]]), (500, 1))
    axes = learn_axes([small, large], 2)
    assert np.allclose(axes.mean, [2.5, 2.0])

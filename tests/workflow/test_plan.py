"""What a run consists of: folds, models, donors, and outputs that never lie inside one another."""

from __future__ import annotations

from itertools import permutations
from pathlib import PurePath

import pytest

from focus_cli.core.errors import UsageError
from focus_cli.workflow.config import SampleRow, check_config
from focus_cli.workflow.plan import Plan
from focus_cli.workflow.shell import by, flags


def plan(samples="S1 S2 S3", folds=(), donors=None, truth=(), sheet=None, **config) -> Plan:
    """`sheet`: sample → further columns."""
    rows = [
        SampleRow(
            sample=name,
            path=f"raw/{name}",
            donor=(donors or {}).get(name),
            truth="t.h5ad" if name in truth else None,
            truth_fine="f.h5ad" if name in truth else None,
            **(sheet or {}).get(name, {}),
        )
        for name in samples.split()
    ]
    return Plan(check_config({"evaluate": {"folds": list(folds)}, **config}), rows)


def test_a_fold_of_all_samples_is_one_fold_each():
    made = plan(folds=[{"task": "denoise"}, {"sample": ["S1", "S3"], "task": "impute"}])
    assert list(made.folds) == ["S1.denoise", "S2.denoise", "S3.denoise", "S1.impute", "S3.impute"]


def test_denoising_learns_from_the_visible_part_alone():
    made = plan(folds=[{"sample": "S1", "task": "denoise"}])
    assert made.training_of_fold("S1.denoise") == ["results/folds/S1.denoise/observed"]


def test_histology_of_a_whole_section_learns_from_the_others_alone():
    made = plan(folds=[{"sample": "S1", "task": "histology"}])
    assert made.training_of_fold("S1.histology") == ["results/samples/S2", "results/samples/S3"]


def test_histology_of_a_part_learns_from_the_rest_of_the_section():
    made = plan("S1", folds=[{"sample": "S1", "task": "histology", "test_fraction": 0.4}])
    assert made.training_of_fold("S1.histology") == ["results/folds/S1.histology/observed"]


def test_training_all_adds_the_other_samples():
    made = plan(folds=[{"sample": "S2", "task": "impute", "training": "all"}])
    assert made.training_of_fold("S2.impute") == [
        "results/folds/S2.impute/observed",
        "results/samples/S1",
        "results/samples/S3",
    ]


@pytest.mark.parametrize("task", ["histology", "impute"])
def test_a_held_out_sample_is_never_learnt_from_in_full(task):
    made = plan(folds=[{"task": task, "training": training, "name": training} for training in ("all", "others")])
    for name, fold in made.folds.items():
        assert made.sample(fold.sample) not in made.training_of_fold(name)


def test_samples_of_one_donor_never_sit_on_both_sides():
    donors = {"S1": "A", "S2": "A", "S3": "B"}
    made = plan(folds=[{"task": "histology"}], donors=donors)
    assert made.training_of_fold("S1.histology") == ["results/samples/S3"]
    assert made.training_of_fold("S3.histology") == ["results/samples/S1", "results/samples/S2"]


def test_one_donor_means_leaving_one_section_out():
    made = plan(folds=[{"task": "histology"}], donors=dict.fromkeys(("S1", "S2", "S3"), "A"))
    assert made.training_of_fold("S2.histology") == ["results/samples/S1", "results/samples/S3"]


@pytest.mark.parametrize(
    ("samples", "fold", "said"),
    [
        ("S1", {"task": "histology"}, "histology on S1 has nothing to learn from"),
        ("S1", {"task": "histology", "training": "self"}, "has nothing to learn from"),
        ("S1", {"task": "denoise", "training": "others"}, "denoise on S1 has nothing to learn from"),
        ("S1 S2", {"task": "denoise", "sample": "S9"}, "sample S9, which is not in the sheet"),
    ],
)
def test_folds_that_cannot_be_are_refused(samples, fold, said):
    with pytest.raises(UsageError, match=said):
        plan(samples, folds=[fold])


def test_two_folds_of_one_task_need_names():
    twice = [{"task": "denoise", "fraction": 0.5}, {"task": "denoise", "fraction": 0.2}]
    with pytest.raises(UsageError, match=r"two folds are called S1\.denoise"):
        plan("S1", folds=twice)
    twice[1]["name"] = "denoise80"
    assert list(plan("S1", folds=twice).folds) == ["S1.denoise", "S1.denoise80"]


def test_options_reach_the_verb_by_their_names():
    made = plan("S1", folds=[{"task": "denoise", "fraction": 0.2, "n_genes": 50}, {"task": "refine"}])
    assert made.folds["S1.denoise"].options() == "--task denoise --n-genes 50 --fraction 0.2"
    assert made.folds["S1.refine"].options() == "--task refine --truth-bin-um 16"


def test_one_model_for_all_or_one_each():
    assert plan().models == {"all": ("S1", "S2", "S3")}
    each = plan(train={"scope": "self"})
    assert each.models == {"S1": ("S1",), "S2": ("S2",), "S3": ("S3",)}
    assert each.model_of("S2") == "results/models/S2"
    assert each.training_of("S2") == ("S2",)


def test_one_model_for_each_group_or_organ():
    groups = {"S1": {"group": "b"}, "S2": {"group": "a"}, "S3": {"group": "b"}}
    assert plan(train={"scope": "group"}, sheet=groups).models == {"b": ("S1", "S3"), "a": ("S2",)}
    organs = {"S1": {"organ": "Breast"}, "S2": {"organ": "breast "}, "S3": {"organ": "lymph node"}}
    made = plan(train={"scope": "organ"}, sheet=organs)
    assert made.models == {"breast": ("S1", "S2"), "lymph_node": ("S3",)}
    assert made.model_of("S2") == "results/models/breast"


def test_a_sample_without_the_group_that_the_scope_asks_for_is_named():
    with pytest.raises(UsageError, match="scope is group, but the sheet names no group for S2, S3"):
        plan(train={"scope": "group"}, sheet={"S1": {"group": "a"}})


def test_others_of_a_fold_are_those_that_share_its_model():
    groups = {name: {"group": group} for name, group in (("S1", "a"), ("S2", "a"), ("S3", "b"), ("S4", "b"))}
    made = plan("S1 S2 S3 S4", folds=[{"task": "histology"}], train={"scope": "group"}, sheet=groups)
    assert made.training_of_fold("S1.histology") == ["results/samples/S2"]
    assert made.training_of_fold("S3.histology") == ["results/samples/S4"]


@pytest.mark.parametrize("scope", ["all", "group"])
@pytest.mark.parametrize("training", ["auto", "others"])
def test_a_test_sample_is_never_learnt_from(scope, training):
    sheet = {name: {"group": "g", "split": "test" if name == "S3" else "train"} for name in ("S1", "S2", "S3")}
    folds = [{"task": task, "training": training} for task in ("denoise", "histology")]
    made = plan(folds=folds, train={"scope": scope}, sheet=sheet)
    learnt_from = {name for names in made.models.values() for name in names}
    learnt_from |= {other for fold in made.folds.values() for other in fold.others}
    assert learnt_from == {"S1", "S2"}
    assert not any(fold.on_itself for fold in made.folds.values() if fold.sample == "S3")
    assert made.enhanced("S3") in made.targets and made.report("S3") in made.targets


def test_hold_outs_of_a_test_sample_are_asked_of_the_model_of_the_run():
    made = plan(folds=[{"task": "denoise"}], sheet={"S3": {"split": "test"}})
    assert made.model_of_fold("S3.denoise") == "results/models/all"
    assert made.model_of_fold("S1.denoise") == "results/folds/S1.denoise/model"
    assert made.training_of_fold("S3.denoise") == ["results/samples/S1", "results/samples/S2"]


def test_what_would_learn_from_test_samples_alone_is_refused():
    tests = {name: {"split": "test"} for name in ("S1", "S2", "S3")}
    with pytest.raises(UsageError, match="no sample to train the model of S1, S2, S3 on"):
        plan(sheet=tests)
    with pytest.raises(UsageError, match="no sample to train the model of S3 on"):
        plan(train={"scope": "self"}, sheet={"S3": {"split": "test"}})
    with pytest.raises(UsageError, match="denoise on S3 has training: self, but it is split test"):
        plan(folds=[{"task": "denoise", "training": "self"}], sheet={"S3": {"split": "test"}})


def test_every_file_of_single_cells_becomes_one_reference():
    sheet = {"S1": {"reference": "/a/Breast.h5ad"}, "S2": {"reference": "/b/Breast.h5ad"}}
    made = plan(train={"scope": "self"}, sheet=sheet, reference={"path": "run.h5ad"})
    assert made.references == {"run": "run.h5ad", "breast": "/a/Breast.h5ad", "breast-2": "/b/Breast.h5ad"}
    assert [made.reference_of(s) for s in made.samples] == [
        ["results/references/breast"],
        ["results/references/breast-2"],
        ["results/references/run"],
    ]


def test_a_model_takes_the_reference_of_its_samples_if_they_agree_else_that_of_the_run():
    agree = {"S1": {"reference": "a.h5ad"}, "S2": {"reference": "a.h5ad"}}
    made = plan(sheet=agree)
    assert made.reference_of_model("all") == made.reference_of("S3") == ["results/references/a"]
    differ = agree | {"S3": {"reference": "b.h5ad"}}
    assert plan(sheet=differ, reference={"path": "run.h5ad"}).reference_of_model("all") == ["results/references/run"]
    with pytest.raises(UsageError, match="model all: its training samples name 2 references and the run names none"):
        plan(sheet=differ)


def test_a_hold_out_uses_the_reference_of_what_it_learns_from():
    sheet = {"S1": {"reference": "a.h5ad"}, "S2": {"reference": "b.h5ad"}}
    made = plan("S1 S2", folds=[{"task": "denoise"}], train={"scope": "self"}, sheet=sheet)
    assert made.reference_of_fold("S1.denoise") == ["results/references/a"]
    assert made.reference_of_fold("S2.denoise") == ["results/references/b"]
    assert plan(folds=[{"task": "denoise"}]).reference_of_fold("S1.denoise") == []


def test_with_corpora_training_streams_what_is_not_held_out():
    made = plan(folds=[{"sample": "S1", "task": "impute", "training": "all"}], train={"corpus": True})
    assert made.learnt_from(made.models["all"]) == [f"results/corpora/S{n}" for n in (1, 2, 3)]
    assert made.learnt_from_by_fold("S1.impute") == [
        "results/folds/S1.impute/observed",
        "results/corpora/S2",
        "results/corpora/S3",
    ]


def test_truth_is_scored_where_the_sheet_names_it():
    made = plan("S1 S2", truth=["S1"])
    assert made.scores == ["results/scores/S1.truth"]
    refined = plan("S1 S2", truth=["S1"], enhance={"resolution_um": 16})
    assert refined.scores == ["results/scores/S1.truth", "results/scores/S1.truth_fine"]
    assert "results/refined/S2.h5ad" in refined.targets


def test_no_output_lies_inside_another():
    made = plan(
        folds=[{"task": "denoise"}, {"task": "histology"}],
        truth=["S1"],
        enhance={"resolution_um": 16},
        reference={"path": "ref.h5ad"},
    )
    outputs = {
        *made.targets,
        *made.scores,
        *(made.reference(r) for r in made.references),
        *(made.model(m) for m in made.models),
    }
    outputs |= {path for s in made.samples for path in (made.sample(s), made.corpus(s))}
    outputs |= {f"results/folds/{f}/{part}" for f in made.folds for part in ("observed", "model", "truth.h5ad")}
    for outer, inner in permutations(outputs, 2):
        assert not PurePath(inner).is_relative_to(outer), f"{inner} lies inside {outer}"


def test_an_encoder_is_named_to_preprocess_and_keeps_its_features_with_the_run(tmp_path):
    assert plan().encoder_options() == "" and plan().encoder_files == []
    named = plan(preprocess={"encoder": "uni", "encoder_step_um": 56.0, "dense": True}, output="out")
    assert named.encoder_options() == (
        "--encoder uni --encoder-step-um 56 --features-store out/features --device auto --dense"
    )
    assert named.encoder_files == []


def test_an_encoder_of_ones_own_is_an_input_of_the_run(tmp_path, monkeypatch):
    (tmp_path / "vit").mkdir()
    monkeypatch.setenv("ENCODERS", str(tmp_path))
    own = plan(preprocess={"encoder": "${ENCODERS}/vit", "features_store": "cache"})
    assert own.encoder_files == [f"{tmp_path}/vit"]
    assert f"--encoder {tmp_path}/vit --features-store cache" in own.encoder_options()


def test_a_switch_has_no_value_and_is_left_out_where_it_is_off():
    assert flags(dense=True, register=False, mpp=None, step_um=8.0, seed=0) == "--dense --step-um 8 --seed 0"


def test_what_follows_from_a_name_is_a_pattern_where_one_says_it():
    assert by("sample", ["S1", "S2"], lambda name: f"out/{name}.h5ad") == "out/{sample}.h5ad"
    assert by("sample", ["S1", "S10"], lambda name: [f"a/{name}", "b"]) == ["a/{sample}", "b"]
    assert by("sample", [], lambda name: name) == []


@pytest.mark.parametrize(
    "value_of",
    [
        {"S1": "a", "S2": "b"}.get,
        {"S1": ["a", "S1"], "S2": ["S2"]}.get,
        {"S1": "out/{S1}", "S2": "out/{S2}"}.get,
        {"S1": "S1S2", "S2": "S2S2"}.get,
    ],
)
def test_what_no_pattern_says_is_looked_up(value_of):
    look_up = by("sample", ["S1", "S2"], value_of)
    assert [look_up({"sample": name}) for name in ("S1", "S2")] == [value_of("S1"), value_of("S2")]
    with pytest.raises(UsageError, match="no sample of this run is called S3"):
        look_up({"sample": "S3"})

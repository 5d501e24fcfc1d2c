"""What a run consists of: folds, models, donors, and outputs that never lie inside one another."""

from __future__ import annotations

from itertools import permutations
from pathlib import PurePath

import pytest

from focus_cli.config import SampleRow, check_config
from focus_cli.errors import UsageError
from focus_cli.workflow.plan import Plan
from focus_cli.workflow.shell import flags


def plan(samples="S1 S2 S3", folds=(), donors=None, truth=(), **config) -> Plan:
    rows = [
        SampleRow(
            sample=name,
            path=f"raw/{name}",
            donor=(donors or {}).get(name),
            truth="t.h5ad" if name in truth else None,
            truth_fine="f.h5ad" if name in truth else None,
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
    outputs = {*made.targets, *made.scores, *made.reference, *(made.model(m) for m in made.models)}
    outputs |= {made.sample(s) for s in made.samples}
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

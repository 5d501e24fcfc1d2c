"""What a benchmark consists of: checked before anything runs, and written out as files and options."""

from __future__ import annotations

import copy

import pytest
import yaml

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.workflow import locate
from focus_cli.workflow.benchmark.config import check_benchmark, load_benchmark
from focus_cli.workflow.benchmark.plan import BenchmarkPlan

CONFIG = {
    "output": "out",
    "references": {"cells": {"path": "cells.h5ad", "cell_type": "kind"}},
    "sections": {
        "A": {"path": "raw/A", "organ": "breast"},
        "B": {"path": "raw/B", "image": "raw/B.tif"},
        "A_spots": {"of": "A", "holdout": {"task": "refine"}},
    },
    "models": {"shared": {"train": ["B"], "reference": "cells"}},
    "cases": {
        "own": {
            "task": "T2",
            "section": "A",
            "holdout": {"task": "impute"},
            "train": ["observed", "B"],
            "reference": "cells",
            "ablate": ["reference"],
            "peers": ["tangram"],
        },
        "lent": {"task": "T4", "section": "A", "holdout": {"task": "refine", "truth_bin_um": 24}, "model": "shared"},
        "image": {"task": "T1", "section": "A_spots", "holdout": {"task": "histology"}, "train": ["B"], "adapt": 5},
    },
}


def changed(path, value):
    values = copy.deepcopy(CONFIG)
    at = values
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    return values


@pytest.fixture
def plan():
    return BenchmarkPlan(check_benchmark(CONFIG), with_peers=True)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("cases", "own", "section"), "C", "no such name 'C'"),
        (("cases", "own", "train"), ["observed", "D"], "no such name 'D'"),
        (("cases", "own", "reference"), "none", "no such name 'none'"),
        (("cases", "own", "model"), "shared", "give train or model"),
        (("cases", "lent", "model"), "other", "no such name 'other'"),
        (("sections", "A_spots", "of"), "A_spots", "is derived itself"),
        (("cases", "own", "peers"), ["best"], "peers"),
        (("cases", "own", "floor"), {"over": ["ridge"]}, "ratio, points, likelihood"),
        (("cases", "own", "holdouts"), {}, "holdouts"),
    ],
)
def test_what_cannot_run_is_refused_in_one_line(path, value, said):
    with pytest.raises(UsageError) as refusal:
        check_benchmark(changed(path, value))
    assert said in refusal.value.message and "\n" not in refusal.value.message


def test_files_that_are_not_there_are_named_before_anything_runs(tmp_path):
    path = tmp_path / "b.yaml"
    with pytest.raises(MissingResourceError):
        load_benchmark(path)
    path.write_text("a: [")
    with pytest.raises(BadInputError):
        load_benchmark(path)
    path.write_text(yaml.safe_dump(CONFIG))
    with pytest.raises(MissingResourceError, match="raw/A"):
        load_benchmark(path)


def test_a_model_learns_from_what_it_is_given_and_baselines_from_its_whole_sections(plan):
    assert plan.training_of("own") == ["out/cases/own/observed", "out/sections/B"]
    assert plan.others_of("own") == ["out/sections/B"]
    assert plan.model_of("own") == "out/cases/own/model"
    assert plan.model_of("lent") == "out/models/shared"
    assert plan.training_of("lent") == plan.others_of("lent") == ["out/sections/B"]


def test_a_derived_section_lies_beside_the_others_under_its_own_name(plan):
    assert plan.section("A_spots") == "out/parts/A_spots"
    assert "--task refine" in plan.derive_flags("A_spots") and "--sample A_spots" in plan.derive_flags("A_spots")


def test_what_is_enhanced_is_what_was_hidden(plan):
    assert plan.scored_file("lent").endswith("refined.h5ad")
    assert "--resolution-um 24" in plan.enhance_flags("lent", "x.h5ad")
    # All counts are hidden: there is nothing to adapt to.
    assert "--histology-only" in plan.enhance_flags("image", "x") and "--adapt" not in plan.enhance_flags("image", "x")


def test_everything_that_is_run_on_a_case_is_in_its_table(plan):
    assert set(plan.also_of("own")) == {"reference_dropped", "reference_shuffled", "tangram"}
    assert plan.also_of("lent") == {}
    assert "tangram" not in BenchmarkPlan(check_benchmark(CONFIG)).also_of("own")  # no environment, no peers
    assert plan.ablate_flags("image", "shuffled") == "--ablate image=shuffle"


@pytest.mark.parametrize("name", ["benchmark.yaml", "benchmark.quick.yaml", "encoders.yaml"])
def test_the_shipped_benchmarks_are_in_order(name):
    config = check_benchmark(yaml.safe_load(locate.shipped_config(name).read_text()))
    for case in config.cases.values():
        assert case.floor is not None


def test_the_shipped_benchmark_never_trains_on_what_it_scores():
    config = check_benchmark(yaml.safe_load(locate.shipped_config("benchmark.yaml").read_text()))
    for name, case in config.cases.items():
        named = case.train or config.models[case.model].train
        assert case.section not in named, name

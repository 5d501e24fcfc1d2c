"""Resources of jobs: the values of the config, else an estimate, growing with every attempt."""

from __future__ import annotations

import pytest

from focus_cli.core.resources import needs, sample_size
from focus_cli.workflow.config import SampleRow, check_config
from focus_cli.workflow.job_resources import DEFAULT_STEPS, JobResources
from focus_cli.workflow.plan import Plan

NAMES = {"model": "all", "sample": "S1", "fold": "S1.denoise", "reference": "cells"}
JOBS = [
    ("preprocess", "sample"), ("pack", "sample"), ("reference", "reference"), ("train", "model"),
    ("train_fold", "fold"), ("enhance", "sample"), ("enhance_fold", "fold"), ("refine_fold", "fold"),
    ("hold_out", "fold"), ("score_fold", "fold"), ("score", "sample"), ("report", "sample"),
]  # fmt: skip


def resources(n: int = 2, **config) -> JobResources:
    values = {"reference": {"path": "cells.h5ad"}, "evaluate": {"folds": [{"task": "denoise"}]}}
    for stage, options in config.items():
        values[stage] = {**values.get(stage, {}), **options}
    rows = [SampleRow(sample=f"S{i + 1}", path="raw", platform="visium") for i in range(n)]
    return JobResources(Plan(check_config(values), rows))


@pytest.mark.parametrize(("stage", "wildcard"), JOBS)
def test_every_job_has_an_estimate_before_its_inputs_exist_and_it_grows_by_attempt(stage, wildcard):
    job_resources = resources()
    for requested in (job_resources.mem_mb(stage, wildcard), job_resources.runtime(stage, wildcard)):
        first = requested(NAMES, attempt=1)
        assert first > 0 and isinstance(first, int)
        assert requested(NAMES, attempt=3) == 3 * first


def test_values_of_the_config_are_requested():
    made = resources(train={"mem_mb": 5000, "runtime": 30})
    assert made.mem_mb("train", "model")(NAMES, attempt=2) == 10_000
    assert made.runtime("train_fold", "fold")(NAMES, attempt=1) == 30
    assert made.mem_mb("enhance", "sample")(NAMES, attempt=1) == resources().mem_mb("enhance", "sample")(
        NAMES, attempt=1
    )


def test_a_model_of_more_samples_needs_more():
    few, many = (resources(n).mem_mb("train", "model")(NAMES, attempt=1) for n in (2, 40))
    assert many > few


def test_estimates_are_those_of_the_stage_itself():
    made = resources(1, train={"max_steps": 50})
    size = sample_size(made.plan.samples["S1"])
    expected = needs("train", [size], threads=1, preset="nano", steps=50, reference=True)
    assert made.mem_mb("train", "model")(NAMES, attempt=1) == expected.mem_mb
    assert made.runtime("train", "model")(NAMES, attempt=1) == expected.runtime_min


def test_steps_come_from_the_settings_where_the_config_gives_none(tmp_path):
    (tmp_path / "s.yaml").write_text("max_steps: 200000\n")
    runtime = resources(train={"settings": str(tmp_path / "s.yaml")}).runtime("train", "model")(NAMES, attempt=1)
    assert runtime > resources().runtime("train", "model")(NAMES, attempt=1)


def test_the_default_number_of_steps_is_that_of_training():
    from focus_cli.model.training.config import TrainingConfig

    assert TrainingConfig().max_steps == DEFAULT_STEPS

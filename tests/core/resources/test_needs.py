"""What a job is asked for: it grows with the work, never falls below what starts a process, and knows every stage."""

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from focus_cli.core.errors import UsageError
from focus_cli.core.resources import DEFAULT_SIZE, STAGES, Size, needs
from focus_cli.core.resources.costs import COSTS
from focus_cli.core.resources.estimates import FLOOR_MB, FLOOR_MIN, work

SMALL = Size(500, 100, 10_000)
SECTION = Size(250_000, 18_000, 25_000_000, image_px=400_000_000, pitch_um=8.0)


def test_every_unit_that_costs_is_an_amount_of_work():
    amounts = work(SMALL)
    assert all(unit in amounts for costs in COSTS.values() for unit in costs)


@pytest.mark.parametrize("stage", STAGES)
def test_the_smallest_job_asks_for_the_floor_or_more(stage):
    asked = needs(stage, Size(1, 1, 1))
    assert asked.mem_mb >= FLOOR_MB and asked.runtime_min >= FLOOR_MIN and asked.threads == 1


@given(
    stage=st.sampled_from(STAGES),
    field=st.sampled_from(["locations", "genes", "nonzeros", "image_px", "whole_px", "raw_bytes"]),
    times=st.integers(1, 1000),
)
def test_more_of_anything_never_needs_less(stage, field, times):
    # A reference keeps a number of cells: of the same entries on more cells it keeps fewer.
    assume((stage, field) != ("reference", "locations"))
    less, more = needs(stage, SMALL), needs(stage, replace(SMALL, **{field: getattr(SMALL, field) * times + times}))
    assert more.mem_mb >= less.mem_mb and more.runtime_min >= less.runtime_min


@pytest.mark.parametrize("stage", ["preprocess", "train", "enhance", "score", "hold_out"])
def test_a_whole_section_needs_more_than_a_small_one(stage):
    assert needs(stage, SECTION).mem_mb > needs(stage, SMALL).mem_mb


@pytest.mark.parametrize(
    ("stage", "options"),
    [
        ("enhance", {"resolution_um": 2.0}),
        ("enhance", {"preset": "large"}),
        ("enhance", {"samples": 200}),
        ("train", {"preset": "base"}),
        ("preprocess", {"encoder": True}),
        ("score", {"training": [SECTION] * 20}),
    ],
)
def test_what_costs_memory_is_asked_for(stage, options):
    assert needs(stage, SECTION, **options).mem_mb > needs(stage, SECTION).mem_mb


def test_training_on_more_steps_takes_longer_and_no_more_memory():
    short, long = needs("train", SECTION, steps=100), needs("train", SECTION, steps=10_000)
    assert long.runtime_min > short.runtime_min and long.mem_mb == short.mem_mb


def test_training_on_many_samples_counts_them_all_and_packing_holds_one():
    assert needs("train", [SECTION] * 10).mem_mb > needs("train", [SECTION]).mem_mb
    assert needs("pack", [SECTION] * 10).runtime_min > needs("pack", [SECTION]).runtime_min
    assert needs("pack", [SECTION] * 10).mem_mb < 3 * needs("pack", [SECTION]).mem_mb


def test_training_from_a_corpus_does_not_grow_with_the_cohort():
    assert needs("train", [SECTION] * 300, corpus=True).mem_mb < needs("train", [SECTION] * 300).mem_mb / 5


def test_a_large_reference_is_not_held_whole():
    million = Size(1_000_000, 30_000, 2_000_000_000)
    assert needs("reference", million).mem_mb < 8 * million.nonzeros / 1e6 / 4


def test_every_process_holds_its_own():
    assert needs("train", SECTION, processes=4).mem_mb == pytest.approx(4 * needs("train", SECTION).mem_mb, rel=0.1)


def test_a_retry_asks_for_more():
    first = needs("enhance", SECTION)
    second = first.at_attempt(2)
    assert (second.mem_mb, second.runtime_min) == (2 * first.mem_mb, 2 * first.runtime_min)
    assert first.at_attempt(1) == first


def test_long_work_may_use_more_threads_and_a_given_number_is_kept():
    assert needs("enhance", SECTION).threads > needs("enhance", SMALL).threads
    assert needs("enhance", SECTION, threads=3).threads == 3


def test_unknown_words_are_refused():
    with pytest.raises(UsageError, match="no stage is called 'fly'"):
        needs("fly", SMALL)
    with pytest.raises(UsageError, match="no preset is called 'tiny'"):
        needs("train", SMALL, preset="tiny")


def test_planning_loads_no_heavy_library():
    code = (
        "import sys; from focus_cli.core.resources import DEFAULT_SIZE, needs, sample_size;"
        "needs('train', DEFAULT_SIZE); sample_size('nowhere');"
        "print(sorted({'torch', 'scanpy', 'anndata', 'scipy', 'pandas', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_nothing_known_is_a_whole_slide():
    assert needs("enhance", DEFAULT_SIZE).mem_mb >= 2500

"""From scores to floors, costs of signals, tables and figures."""

from __future__ import annotations

import json
import math

import pytest

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.workflow.benchmark.config import check_benchmark
from focus_cli.workflow.benchmark.report import write_report
from focus_cli.workflow.benchmark.results import conditioning, floors, read_results

CASE = {"section": "A", "holdout": {"task": "denoise"}, "train": ["observed"]}


def config_of(**cases):
    return check_benchmark(
        {
            "output": "out",
            "sections": {"A": {"path": "a"}},
            "cases": {name: {**CASE, **more} for name, more in cases.items()},
        }
    )


def row(method, pcc, ll=None):
    values = {"lo": pcc - 0.1, "hi": pcc + 0.1, "ceiling_mean": 0.5, "fraction_of_ceiling": 2 * pcc, "n_genes": 7}
    values |= dict.fromkeys(("spearman_mean", "rmse_mean", "gsc", "moran_mean", "moran_truth_mean"), 0.3)
    return {"method": method, "genes": "scored", "pcc_mean": pcc, "poisson_ll_per_umi": ll, **values}


def gap(ours, theirs):
    ratio = ours / theirs if theirs > 0 else None
    return {
        "pcc_mean": ours - theirs, "lo": ours - theirs - 0.05, "hi": ours - theirs + 0.05,
        "ratio": ratio, "ratio_lo": ratio and ratio - 0.1, "ratio_hi": ratio and ratio + 0.1,
    }  # fmt: skip


def score(out, name, scores):
    """Write scores.json of a case; `scores` is method → (PCC, likelihood), ours first."""
    ours = scores["focus"][0]
    folder = out / "cases" / name / "scores"
    folder.mkdir(parents=True)
    record = {
        "rows": [row(method, *values) for method, values in scores.items()],
        "differences": {"scored": {m: gap(ours, v[0]) for m, v in scores.items() if m != "focus"}},
        "groups": {"scored": ["G1"]},
        "skipped": {},
    }
    (folder / "scores.json").write_text(json.dumps(record))


def test_a_ratio_is_kept_only_where_it_is_reached(tmp_path):
    config = config_of(a={"task": "T1", "floor": {"over": ["ridge", "nearest", "absent"], "ratio": 1.3}})
    score(tmp_path, "a", {"focus": (0.4, None), "ridge": (0.35, None), "nearest": (0.2, None)})
    found = {f.other: f for f in floors(read_results(config, tmp_path))}
    assert set(found) == {"ridge", "nearest"}  # what did not run asks nothing
    assert not found["ridge"].kept and found["ridge"].reached == pytest.approx(0.4 / 0.35)
    assert found["nearest"].kept


def test_points_are_hundredths_of_the_ceiling(tmp_path):
    config = config_of(a={"task": "T4", "floor": {"over": ["ridge"], "points": 8}})
    score(tmp_path, "a", {"focus": (0.4, None), "ridge": (0.35, None)})
    (floor,) = floors(read_results(config, tmp_path))
    assert floor.reached == pytest.approx(10) and floor.kept
    assert (floor.lo, floor.hi) == pytest.approx((0, 20))  # 0.05 ± 0.05 of a ceiling of 0.5


def test_a_likelihood_is_compared_per_molecule(tmp_path):
    config = config_of(a={"task": "T3", "floor": {"over": ["magic"], "likelihood": 0}})
    score(tmp_path, "a", {"focus": (0.4, -7.0), "magic": (0.5, -7.5)})
    (floor,) = floors(read_results(config, tmp_path))
    assert floor.kept and floor.reached == pytest.approx(0.5)


def test_over_a_method_that_says_nothing_any_sure_gain_is_enough(tmp_path):
    config = config_of(a={"task": "T1", "floor": {"over": ["flat"], "ratio": 1.3}})
    score(tmp_path, "a", {"focus": (0.4, None), "flat": (0.0, None)})
    (floor,) = floors(read_results(config, tmp_path))
    assert floor.kept and math.isnan(floor.reached)


def test_the_cost_of_a_signal_is_what_is_lost_without_it(tmp_path):
    config = config_of(a={"task": "T1", "ablate": ["image"]})
    score(tmp_path, "a", {"focus": (0.4, None), "image_dropped": (0.1, None), "image_shuffled": (0.39, None)})
    dropped, shuffled = conditioning(read_results(config, tmp_path))
    assert (dropped["signal"], dropped["done"]) == ("image", "dropped")
    assert dropped["cost"] == pytest.approx(0.3) and dropped["lo"] > 0
    assert shuffled["lo"] < 0 < shuffled["hi"]


def test_the_report_holds_every_case_its_notes_and_one_figure_per_task(tmp_path):
    floor = {"over": ["ridge"], "ratio": 1.3}
    config = config_of(a={"task": "T1", "floor": floor, "note": "A note."}, b={"task": "T3", "ablate": ["spatial"]})
    score(tmp_path, "a", {"focus": (0.4, None), "ridge": (0.35, None)})
    score(tmp_path, "b", {"focus": (0.4, -7.0), "spatial_dropped": (0.3, -7.1), "spatial_shuffled": (0.2, -7.2)})
    write_report(config, tmp_path)
    text = (tmp_path / "report.md").read_text()
    for part in ("### a", "### b", "A note.", "| **no** |", "spatial", "log-likelihood"):
        assert part in text
    assert sorted(p.name for p in (tmp_path / "figures").iterdir()) == ["T1.png", "T3.png"]
    before = {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    write_report(config, tmp_path)
    assert before == {p: p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}


def test_cases_that_were_not_scored_or_are_damaged_are_named(tmp_path):
    config = config_of(a={"task": "T1"})
    with pytest.raises(MissingResourceError, match="cases/a/scores"):
        read_results(config, tmp_path)
    score(tmp_path, "a", {"focus": (0.4, None)})
    (tmp_path / "cases" / "a" / "scores" / "scores.json").write_text("{")
    with pytest.raises(BadInputError, match=r"damaged|not JSON"):
        read_results(config, tmp_path)

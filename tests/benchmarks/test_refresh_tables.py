"""Tables of a page come from finished runs, and from nowhere else."""

from __future__ import annotations

import sys
from pathlib import Path

import click
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

from refresh_tables import refresh

SCORES = (
    "method\tgenes\tn_genes\tpcc_mean\tlo\thi\tfraction_of_ceiling\tspearman_mean\trmse_mean\n"
    "nearest\tscored\t200\t0.3184\t0.275\t0.349\t0.6\t0.302\t0.87349\n"
    "focus\tscored\t200\t0.38151\t0.322\t0.416\t\t0.242\t0.879\n"
)
PAGE = "Words.\n\n<!-- scores: run/scores -->\nold\n<!-- end -->\n\nMore words.\n"


@pytest.fixture
def root(tmp_path):
    (tmp_path / "run" / "scores").mkdir(parents=True)
    (tmp_path / "run" / "scores" / "scores.tsv").write_text(SCORES)
    return tmp_path


def test_rows_are_the_runs_best_first_and_words_stay(root):
    page = refresh(PAGE, root)
    assert page.startswith("Words.\n\n<!-- scores: run/scores -->\n") and page.endswith("<!-- end -->\n\nMore words.\n")
    rows = [line for line in page.splitlines() if line.startswith("| scored")]
    assert rows == [
        "| scored (200) | **focus** | 0.382 | 0.322 to 0.416 | – | 0.242 | 0.879 |",
        "| scored (200) | nearest | 0.318 | 0.275 to 0.349 | 60% | 0.302 | 0.873 |",
    ]
    assert "old" not in page


def test_refreshing_twice_is_refreshing_once(root):
    page = refresh(PAGE, root)
    assert refresh(page, root) == page


def test_a_page_is_not_filled_by_halves(root):
    with pytest.raises(click.ClickException, match="other/scores"):
        refresh(PAGE + PAGE.replace("run/", "other/"), root)


def test_a_section_of_the_report_is_copied_as_it_is(root):
    (root / "report.md").write_text("# Benchmark\n\n## Floors\n\n| a |\n|---|\n| 1 |\n\n## Other\n\nnot this\n")
    page = "<!-- report: report.md # Floors -->\nold\n<!-- end -->\n"
    assert refresh(page, root) == "<!-- report: report.md # Floors -->\n\n| a |\n|---|\n| 1 |\n\n<!-- end -->\n"
    with pytest.raises(click.ClickException, match="no section"):
        refresh(page.replace("Floors", "Ceilings"), root)

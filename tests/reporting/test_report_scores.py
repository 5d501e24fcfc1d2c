"""Scores in a report: the sentence follows the table, losses first."""

from __future__ import annotations

import json
from pathlib import Path

import fake_enhanced
import pytest

from focus_cli.core.errors import BadInputError
from focus_cli.reporting.scores import read_scores


def _sentence(folder: Path, pcc: dict[str, float]) -> tuple[str, str]:
    table = read_scores(fake_enhanced.write_scores(folder, pcc)).tables[0]
    return table.outcome, table.sentence


@pytest.mark.parametrize(
    ("pcc", "outcome", "words"),
    [
        ({"focus": 0.4, "a": 0.5, "b": 0.45, "c": 0.1}, "beaten", "2 of 3 baselines beat FOCUS: a"),
        ({"focus": 0.4, "a": 0.5}, "beaten", "The baseline beats FOCUS"),
        ({"focus": 0.4, "a": 0.4}, "none", "same mean PCC"),
        ({"focus": 0.4, "a": 0.1}, "best", "highest mean PCC of 2 methods"),
        ({"focus": 0.4}, "none", "no baseline"),
        ({"a": 0.4}, "none", "no score"),
        ({"focus": float("nan"), "a": 0.4}, "none", "no score"),
        # A variant that happens to do better does not represent the method.
        ({"focus": 0.3, "focus (no image)": 0.6, "a": 0.5}, "beaten", "The baseline beats FOCUS"),
    ],
)
def test_sentence(tmp_path: Path, pcc: dict[str, float], outcome: str, words: str) -> None:
    outcome_found, sentence = _sentence(tmp_path / "s", pcc)
    assert outcome_found == outcome and words in sentence


def test_rows_are_best_first_and_bold_follows_the_direction(tmp_path: Path) -> None:
    table = read_scores(fake_enhanced.write_scores(tmp_path / "s", {"a": 0.1, "focus": 0.4, "b": 0.6})).tables[0]
    assert [r.method for r in table.rows] == ["b", "focus", "a"]
    assert [r.beats_us for r in table.rows] == [True, False, False]
    # RMSE of the fake scores is 1 − PCC: the lowest is the best.
    rmse = table.headings.index("RMSE")
    assert [r.cells[rmse].best for r in table.rows] == [True, False, False]
    assert table.rows[0].cells[rmse].text == "0.400"
    assert [d.at for d in table.plot.dots] == sorted((d.at for d in table.plot.dots), reverse=True)
    assert table.plot.ceiling is not None and 0 < table.plot.ceiling <= 100


def test_paired_differences_and_skipped_baselines_are_reported(tmp_path: Path) -> None:
    folder = fake_enhanced.write_scores(tmp_path / "s", {"focus": 0.4, "a": 0.42})
    record = {
        "sample_id": "S9",
        "differences": {"all": {"a": {"pcc_mean": -0.02, "lo": -0.05, "hi": 0.01}}},
        "skipped": {"reference ridge": "no reference was given"},
    }
    (folder / "scores.json").write_text(json.dumps(record))
    scores = read_scores(folder)
    table = scores.tables[0]
    assert scores.sample_id == "S9" and scores.skipped == [("reference ridge", "no reference was given")]
    lead = table.headings.index("FOCUS leads by")
    assert table.rows[0].cells[lead].text == "-0.020 (-0.050 to +0.010)"
    assert table.sentence.endswith("The interval of the difference contains zero.")


def test_negative_scores_have_a_zero_line(tmp_path: Path) -> None:
    plot = read_scores(fake_enhanced.write_scores(tmp_path / "s", {"focus": 0.4, "a": -0.2})).tables[0].plot
    assert plot.zero is not None and plot.dots[1].at < plot.zero < plot.dots[0].at


def test_text_in_place_of_numbers_is_refused(tmp_path: Path) -> None:
    folder = fake_enhanced.write_scores(tmp_path / "s", {"focus": 0.4})
    path = folder / "scores.tsv"
    path.write_text(path.read_text().replace("0.4\t", "high\t", 1))
    with pytest.raises(BadInputError, match="pcc_mean"):
        read_scores(folder)
    (folder / "scores.json").write_text("{")
    path.write_text("method\tpcc_mean\nfocus\t0.1\n")
    with pytest.raises(BadInputError, match="not JSON"):
        read_scores(folder)

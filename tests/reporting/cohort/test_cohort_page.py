"""The page of a cohort in a browser: two tables with one row per sample, which are filtered and sorted as one."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import Browser

from focus_cli.reporting.cohort.analyses import Outcome, SampleAnalyses, Shares
from focus_cli.reporting.cohort.page import CohortRow, write_page

READY = 'document.readyState === "complete" && document.getElementById("analyses") !== null'


def row(sample: str, status: str, share: float, outcome: float | None) -> CohortRow:
    unknown = dict.fromkeys(
        ("locations", "genes", "median_counts", "median_reliability", "abstained", "seconds", "memory_mb")
    )
    words = dict.fromkeys(("rule", "message", "log", "platform", "organ", "donor", "group", "split", "model", "report"))
    analyses = SampleAnalyses(
        {"domains": Shares({"D1": share, "D2": 1 - share}, ("D1", "D2"), 0.9, "2 domains")},
        None if outcome is None else Outcome(outcome, "probability"),
    )
    return CohortRow(
        sample=sample, status=status, warnings=(), scores=(), analyses=analyses, enhanced="", **unknown,
        **dict.fromkeys(words, ""),
    )  # fmt: skip


@pytest.fixture
def page(tmp_path: Path):
    rows = [row("S1", "done", 0.25, 0.5), row("S2", "unfinished", 0.5, None), row("S3", "done", 0.75, 0.1)]
    write_page(rows, [], tmp_path / "cohort.html")
    with Browser((1400, 900)) as browser:
        yield browser.open(tmp_path / "cohort.html", READY)


def seen(page: Browser) -> list[list[str]]:
    """Samples in the rows that are shown, of both tables."""
    rows = 'Array.from(document.querySelectorAll("#%s tbody tr")).filter(r => r.offsetHeight)'
    return [page.run(f"{rows % table}.map(r => r.cells[0].innerText)") for table in ("samples", "analyses")]


def search(page: Browser, words: str) -> None:
    box = 'document.getElementById("find")'
    page.run(f'{box}.value = "{words}"')
    page.run(f'{box}.dispatchEvent(new Event("input"))')


def click(page: Browser, table: str, heading: str) -> None:
    heads = f'Array.from(document.querySelectorAll("#{table} thead th"))'
    page.run(f'{heads}.find(h => h.innerText.startsWith("{heading}")).click()')


def test_a_row_that_is_hidden_in_one_table_is_hidden_in_the_other(page):
    assert seen(page) == [["S1", "S2", "S3"]] * 2
    search(page, "s2")
    assert seen(page) == [["S2"]] * 2
    search(page, "")
    page.run("""document.querySelector('.count[data-status="done"]').click()""")
    assert seen(page) == [["S1", "S3"]] * 2
    assert page.console == []


def test_both_tables_keep_one_order(page):
    click(page, "analyses", "outcome")
    assert seen(page) == [["S3", "S1", "S2"]] * 2, "missing values come last"
    click(page, "analyses", "outcome")
    assert seen(page) == [["S1", "S3", "S2"]] * 2
    click(page, "analyses", "domains")
    assert seen(page) == [["S1", "S3", "S2"]] * 2, "a bar has no order"
    click(page, "samples", "sample")
    assert seen(page) == [["S1", "S2", "S3"]] * 2


def test_a_bar_is_as_wide_as_its_share_in_the_colour_of_the_legend(page):
    found = page.run(
        """Array.from(document.querySelectorAll("#analyses tbody tr")).map(function (row) {
          var parts = Array.from(row.querySelectorAll("i")), whole = parts[0].parentNode.clientWidth;
          return parts.map(p => [p.clientWidth / whole, getComputedStyle(p).backgroundColor]);
        })"""
    )
    legend = page.run(
        'Array.from(document.querySelectorAll("#analyses thead i")).map(i => getComputedStyle(i).backgroundColor)'
    )
    assert [[width for width, _ in bar] for bar in found] == [
        [pytest.approx(share, abs=0.02), pytest.approx(1 - share, abs=0.02)] for share in (0.25, 0.5, 0.75)
    ]
    assert all([colour for _, colour in bar] == legend for bar in found) and len(set(legend)) == 2

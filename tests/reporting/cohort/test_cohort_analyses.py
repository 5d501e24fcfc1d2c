"""Analysis results of a cohort: the page and the table show the values of the files, also where files are damaged."""

from __future__ import annotations

import csv
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest

from focus_cli.core import keys
from focus_cli.core.storage import write_anndata
from focus_cli.reporting.cohort.analyses import CohortAnalyses
from focus_cli.reporting.layers import colours_of
from focus_cli.workflow.cohort import cohort_jobs, record_cohort, write_cohort
from focus_cli.workflow.config import SampleRow, check_config
from focus_cli.workflow.plan import Plan

EVERYTHING = {
    "domains": {"enabled": True},
    "celltypes": {"enabled": True},
    "reference": {"path": "cells.h5ad"},
    "annotate": {"labels": "labels.tsv"},
    "outcome": {"table": "clinical.tsv", "response": "responded"},
    "patterns": {"enabled": True},
    "interactions": {"pairs": "pairs.csv"},
}
DOMAINS = {"S1": {"D1": 0.372549, "D2": 0.627451}, "S2": {"D2": 0.9, "D10": 0.1}}
TYPES = {"S1": {"B cell": 0.25, "Tumour": 0.75}, "S2": {"B cell": 0.125, "T cell": 0.25, "Tumour": 0.625}}
LABELS = {"S1": {"stroma": 3, "tumour": 1}, "S2": {"abstained": 1, "tumour": 3}}


def plan(out: Path, names: str = "S1 S2", scope: str = "all", **config) -> Plan:
    rows = [SampleRow(sample=name, path="raw", group=name) for name in names.split()]
    return Plan(check_config({"output": str(out), "train": {"scope": scope}, **(config or EVERYTHING)}), rows)


def write_result(path: Path, n: int, *, obs=None, var=None, types=None) -> None:
    """An analysis result of `n` locations, as focus writes it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    index = [f"spot{i}" for i in range(n)]
    adata = anndata.AnnData(obs=pd.DataFrame(obs or {}, index=index), var=pd.DataFrame(var or {}).rename(index=str))
    if types is not None:
        adata.obsm[keys.TYPES] = pd.DataFrame(types, index=index)
    write_anndata(adata, path)


def write_types(path: Path, mean: dict[str, float], *, label: list[str] | None = None) -> None:
    """Two locations whose proportions have these means."""
    table = {name: np.array([0.5 * value, 1.5 * value], dtype=np.float32) for name, value in mean.items()}
    write_result(path, 2, obs={"cell_type": pd.Categorical(label or [list(mean)[-1]] * 2)}, types=table)


def write_labels(path: Path, count: dict[str, int]) -> None:
    labels = [name for name, n in count.items() for _ in range(n)]
    write_result(path, len(labels), obs={"annotation": pd.Categorical(labels, categories=["never", *count])})


def write_domains(folder: Path, shares: dict[str, dict[str, float]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    samples = {name: {"share": share, "mean_confidence": 0.8375} for name, share in shares.items()}
    told = {"n_domains": 3, "chosen_by": "stability", "samples": samples}
    (folder / keys.DOMAINS_JSON).write_text(json.dumps(told))


def write_everything(out: Path) -> None:
    """All analysis results of S1 and S2."""
    write_domains(out / "domains" / "all", DOMAINS)
    for name in ("S1", "S2"):
        write_types(out / "celltypes" / f"{name}.h5ad", TYPES[name])
        write_labels(out / "annotations" / f"{name}.h5ad", LABELS[name])
    write_result(out / "patterns" / "S1.h5ad", 2, var={"q": [0.001, 0.049, 0.05, 0.9]})
    write_result(out / "interactions" / "S1.h5ad", 2, var={"q": [0.5, 0.04, np.nan]})
    (out / "outcomes").mkdir()
    (out / "outcomes" / "all.tsv").write_text(
        "sample\tlocations\tscore\tprobability\tunlike_training\nS2\t9\t0.85\t0.700567\t0.62\nS1\t9\t-1\t0.25\t0\n"
    )


def written(made: Plan, out: Path) -> tuple[str, dict[str, dict[str, str]]]:
    """Page and table."""
    out.mkdir(exist_ok=True)
    record_cohort(made)
    write_cohort(out, running=False)
    with open(out / "cohort.tsv", newline="", encoding="utf-8") as stream:
        return (out / "cohort.html").read_text(), {r["sample"]: r for r in csv.DictReader(stream, delimiter="\t")}


class Card(HTMLParser):
    """The card as a reader sees it: the parts of each sample's bars and the legends, with their colours; other cells.

    Attributes
    ----------
    bars
        Sample → for each column of bars [(words, colour, width)].
    legends
        For each column {name: colour}.
    cells
        Sample → texts of all of its cells.
    """

    def __init__(self, page: str) -> None:
        super().__init__()
        rule = r"\.k(\d+) \.c(\d+) \{ background: ([^;]+); \}"
        self._colour = {(f"k{k}", f"c{c}"): colour for k, c, colour in re.findall(rule, page)}
        self.bars: dict[str, list[list[tuple[str, str, int]]]] = {}
        self.legends: list[dict[str, str]] = []
        self.cells: dict[str, list[str]] = {}
        self._inside, self._sample, self._column, self._swatch, self._head = False, "", "", "", True
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        told = dict(attrs)
        self._inside = self._inside or told.get("id") == "analyses"
        if not self._inside:
            return
        if tag in ("th", "td"):
            classes = (told.get("class") or "").split()
            self._column = next((c for c in classes if c.startswith("k")), "")
            if self._head and self._column:
                self.legends.append({})
            elif tag == "th" and not self._head:
                self._sample = ""
            elif not self._head:
                self.cells[self._sample].append("")
                if self._column:
                    self.bars[self._sample].append([])
        if tag == "i":
            colour = self._colour[self._column, told["class"]]
            if self._head:
                self._swatch = colour
            else:
                self.bars[self._sample][-1].append((told["title"], colour, int(told["style"].removeprefix("flex:"))))

    def handle_endtag(self, tag):
        self._inside = self._inside and tag != "table"
        self._head = (self._head or not self._inside) and tag != "thead"

    def handle_data(self, data):
        if not self._inside or (not data.strip() and not (self._sample and self.cells[self._sample])):
            return
        if self._head and self._swatch:
            self.legends[-1][data] = self._swatch
            self._swatch = ""
        elif not self._head and not self._sample:
            self._sample = data
            self.bars[data], self.cells[data] = [], []
        elif not self._head and self.cells[self._sample]:
            self.cells[self._sample][-1] += data


def shares(bar: list[tuple[str, str, int]]) -> dict[str, float]:
    return {w.rsplit(" ", 2)[0]: float(w.rsplit(" ", 2)[1]) for w, _, _ in bar}


# --- what is told is what the files say ---------------------------------------------------------------


def test_page_and_table_say_what_the_files_say(tmp_path):
    write_everything(tmp_path)
    page, table = written(plan(tmp_path), tmp_path)
    card = Card(page)
    for name in ("S1", "S2"):
        n = sum(LABELS[name].values())
        truth = [DOMAINS[name], TYPES[name], {k: v / n for k, v in LABELS[name].items()}]
        for bar, stage, share in zip(card.bars[name], ("domains", "celltypes", "annotations"), truth):
            assert shares(bar) == {k: pytest.approx(100 * v, abs=0.051) for k, v in share.items()}
            assert [w for _, _, w in bar] == [pytest.approx(10 * s, abs=0.51) for s in shares(bar).values()]
            told = {k.removeprefix(f"{stage}."): v for k, v in table[name].items() if k.startswith(f"{stage}.") and v}
            assert {k: float(v) for k, v in told.items()} == pytest.approx(share, rel=1e-5)
    assert table["S1"]["domains.D10"] == "" and table["S1"]["celltypes.T cell"] == ""
    assert (table["S1"]["outcome"], table["S2"]["outcome"]) == ("0.25", "0.700567")
    counts = [f"{stage}.{part}" for stage in ("patterns", "interactions") for part in ("found", "tested")]
    assert [table["S1"][c] for c in counts] == ["2", "4", "1", "2"], "q = 0.05 is none, NaN was not tested"
    assert [table["S2"][c] for c in counts] == [""] * 4
    assert [" ".join(c.split()) for c in card.cells["S1"][3:]] == ["0.25 0% unlike", "2 of 4", "1 of 2"]
    assert [" ".join(c.split()) for c in card.cells["S2"][3:]] == ["0.70 62% unlike", "", ""]
    assert page.count('<small class="far"') == 1, "the outcome of S2, most of which is unlike the cohort"
    assert card.cells["S1"][0].strip() == "0.84" and "<small>3, chosen by stability</small>" in page


def test_columns_are_appended_to_those_of_before(tmp_path):
    write_everything(tmp_path)
    _, table = written(plan(tmp_path), tmp_path)
    columns = list(table["S1"])
    first = columns.index("warnings") + 1
    assert columns[first:] == [
        *("domains.D1", "domains.D2", "domains.D10"),
        *("celltypes.B cell", "celltypes.T cell", "celltypes.Tumour"),
        *("annotations.abstained", "annotations.stroma", "annotations.tumour"),
        *("outcome", "patterns.found", "patterns.tested", "interactions.found", "interactions.tested"),
    ]
    assert columns[:3] == ["sample", "status", "rule"]


@pytest.mark.parametrize(
    ("header", "row", "value", "what"),
    [
        ("score\trelative_hazard", "0.5\t1.64872", 1.64872, "relative hazard"),
        ("score", "0.5", 0.5, "score"),
    ],
)
def test_an_outcome_is_stated_in_what_its_head_foretells(tmp_path, header, row, value, what):
    write_everything(tmp_path)
    (tmp_path / "outcomes" / "all.tsv").write_text(f"sample\t{header}\nS1\t{row}\n")
    page, table = written(plan(tmp_path), tmp_path)
    assert float(table["S1"]["outcome"]) == value and table["S2"]["outcome"] == ""
    assert f"<small>{what}</small>" in page


# --- colours -------------------------------------------------------------------------------------------


def test_a_name_has_one_colour_in_all_rows_and_in_the_legend(tmp_path):
    write_everything(tmp_path)
    card = Card(written(plan(tmp_path), tmp_path)[0])
    for i, legend in enumerate(card.legends):
        for name in ("S1", "S2"):
            for words, colour, _ in card.bars[name][i]:
                assert colour == legend[words.rsplit(" ", 2)[0]]
        assert len(set(legend.values())) == len(legend)
    # Order of rows and of files has no say: S2 has no D1, and its D2 is not blue for that.
    assert card.legends[0] == dict(zip(("D1", "D2", "D10"), colours_of(["D1", "D2", "D10"])))
    assert list(card.legends[2])[-1] == "abstained", "what is no category comes last"
    assert card.legends[2]["abstained"] == colours_of(["abstained"])[0]


def test_colours_are_those_of_the_report_of_a_sample(tmp_path):
    """Types that are nowhere the largest have no colour in a report, and must not shift those of the others."""
    mean = {"A": 0.1, "B": 0.5, "C": 0.1, "D": 0.3}
    write_types(tmp_path / "celltypes" / "S1.h5ad", mean, label=["B", "D"])
    card = Card(written(plan(tmp_path), tmp_path)[0])
    assert card.legends[0] == dict(zip("BDAC", colours_of(["B", "D", "A", "C"])))
    assert list(card.legends[0]) == ["A", "B", "C", "D"]


@pytest.mark.parametrize("n", [15, 40])
def test_the_twelve_commonest_have_a_colour_and_the_rest_are_one_other(tmp_path, n):
    rng = np.random.default_rng(0)
    mean = {f"T{i}": float(v) for i, v in enumerate(rng.dirichlet(np.full(n, 5)))}
    write_types(tmp_path / "celltypes" / "S1.h5ad", mean)
    page, table = written(plan(tmp_path), tmp_path)
    card = Card(page)
    commonest = sorted(mean, key=lambda name: -mean[name])[:12]
    assert set(card.legends[0]) == {*commonest, f"other ({n - 12})"}
    assert len(set(card.legends[0].values())) == 13
    assert shares(card.bars["S1"][0])["other"] == pytest.approx(100 * (1 - sum(mean[c] for c in commonest)), abs=0.051)
    assert sum(c.startswith("celltypes.") for c in table["S1"]) == n, "the table keeps all of them"


# --- what goes wrong -----------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def no_shares(path: Path) -> None:
    told = json.loads(path.read_text())
    told["samples"]["S1"]["share"] = {"D1": 3, "D2": -2}
    path.write_text(json.dumps(told))


def beyond(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        file["obs/annotation/codes"][0] = 100


def without_proportions(path: Path) -> None:
    with h5py.File(path, "r+") as file:
        del file[f"obsm/{keys.TYPES}/Tumour"]


@pytest.mark.parametrize(
    ("damaged", "how"),
    [
        ("celltypes/S1.h5ad", truncate),
        ("celltypes/S1.h5ad", without_proportions),
        ("annotations/S1.h5ad", lambda path: path.write_bytes(b"")),
        ("annotations/S1.h5ad", beyond),
        ("patterns/S1.h5ad", truncate),
        ("domains/all/domains.json", truncate),
        ("domains/all/domains.json", lambda path: path.write_text("[" * 100_000)),
        ("domains/all/domains.json", no_shares),
        ("outcomes/all.tsv", lambda path: path.write_bytes(b"\xff\xfe\x00")),
        ("outcomes/all.tsv", lambda path: path.write_text("sample\tprobability\nS1\tmuch\n")),
    ],
)
def test_a_damaged_file_costs_its_own_cell_and_is_said(tmp_path, damaged, how):
    write_everything(tmp_path)
    _, whole = written(plan(tmp_path), tmp_path)
    how(tmp_path / damaged)
    page, table = written(plan(tmp_path), tmp_path)
    assert f"{damaged} cannot be read: " in table["S1"]["warnings"] and damaged in page
    assert whole["S1"]["warnings"] == ""
    stage = damaged.split("/")[0].removesuffix("s") if damaged.startswith("outcomes") else damaged.split("/")[0]
    for column, value in whole["S1"].items():
        if column != "warnings":
            assert table["S1"].get(column, "") == ("" if column.split(".")[0] == stage else value)


def test_a_missing_file_is_nothing_and_no_warning(tmp_path):
    write_everything(tmp_path)
    (tmp_path / "celltypes" / "S1.h5ad").unlink()
    write_domains(tmp_path / "domains" / "all", {"S2": DOMAINS["S2"]})
    page, table = written(plan(tmp_path), tmp_path)
    assert table["S1"]["warnings"] == "" and table["S1"]["celltypes.Tumour"] == table["S1"]["domains.D2"] == ""
    assert [len(bar) for bar in Card(page).bars["S2"]] == [2, 3, 2]
    assert [len(bar) for bar in Card(page).bars["S1"]] == [2], "the annotations are left"


def test_hostile_names_are_text(tmp_path):
    evil = '<script>alert("1")</script>\t}</style>\n'
    write_everything(tmp_path)
    write_domains(tmp_path / "domains" / "all", {"S1": {evil: 1.0}, "S2": {"D1": 1.0}})
    write_types(tmp_path / "celltypes" / "S1.h5ad", {evil.replace("/", "|"): 0.5, "../../x": 0.5})
    write_labels(tmp_path / "annotations" / "S1.h5ad", {evil: 2, "url(x)": 1})
    page, table = written(plan(tmp_path), tmp_path)
    assert "<script>alert" not in page and page.count("</style>") == 1 and page.count("<script>") == 1
    assert page.count("&lt;script&gt;alert(&#34;1&#34;)") >= 6
    assert "url(x)" not in page[: page.index("</style>")]
    assert table["S1"]['domains.<script>alert("1")</script> }</style>'] == "1"
    assert set(table) == {"S1", "S2"}, "a name with a line break makes no line of its own"


# --- when there is a card ------------------------------------------------------------------------------


def test_without_analyses_there_is_no_card(tmp_path):
    page, table = written(plan(tmp_path), tmp_path)
    assert "Analysis results" not in page and 'id="analyses"' not in page
    assert table["S1"]["outcome"] == table["S1"]["patterns.found"] == ""


def test_analyses_that_the_run_does_not_ask_for_are_not_told(tmp_path):
    write_everything(tmp_path)
    page, table = written(plan(tmp_path, patterns={"enabled": True}), tmp_path)
    assert Card(page).bars["S1"] == [] and table["S1"]["patterns.found"] == "2" and table["S1"]["outcome"] == ""


def test_domains_of_several_models_are_said_to_have_nothing_in_common(tmp_path):
    for name in ("S1", "S2"):
        write_domains(tmp_path / "domains" / name, {name: DOMAINS[name]})
    told = (tmp_path / "domains" / "S2" / keys.DOMAINS_JSON).read_text()
    (tmp_path / "domains" / "S2" / keys.DOMAINS_JSON).write_text(told.replace('"stability"', '"the user"'))
    page, _ = written(plan(tmp_path, scope="group"), tmp_path)
    assert "D1 of one is not D1 of another" in page
    assert 'title="3, chosen by stability"' in page and 'title="3, chosen by the user"' in page
    write_everything(tmp_path)
    assert "D1 of one is not D1 of another" not in written(plan(tmp_path), tmp_path)[0]


def test_the_page_of_all_samples_is_linked_where_it_was_asked_for_and_made(tmp_path):
    write_everything(tmp_path)
    link = '<a href="report.html">'
    together = plan(tmp_path, **EVERYTHING, report={"together": True})
    assert link not in written(together, tmp_path)[0], "it is not there yet"
    (tmp_path / "report.html").touch()
    assert link in written(together, tmp_path)[0]
    record = json.loads((tmp_path / "cohort.json").read_text())
    del record["report"]  # a run that an earlier version began
    (tmp_path / "cohort.json").write_text(json.dumps(record))
    write_cohort(tmp_path, running=False)
    assert link not in (tmp_path / "cohort.html").read_text()
    assert link not in written(plan(tmp_path), tmp_path)[0], "left over from another configuration"


def test_what_samples_share_is_read_once(tmp_path, monkeypatch):
    write_everything(tmp_path)
    read = []
    monkeypatch.setattr(json, "loads", lambda text, loads=json.loads, **how: read.append(text) or loads(text, **how))
    analyses, cohort = CohortAnalyses(tmp_path), cohort_jobs(plan(tmp_path))
    assert all("domains" in analyses.of(s.sample, s.jobs).shares for s in cohort.samples)
    assert len(read) == 1


def test_a_sample_stays_light(tmp_path):
    """Ten domains, twelve cell types and all numbers; beside the row of the first table."""
    rng = np.random.default_rng(0)
    names = [f"Sample{i:03d}" for i in range(40)]
    write_everything(tmp_path)
    mean = dict(zip([f"Epithelial type {i}" for i in range(12)], rng.dirichlet(np.full(12, 5))))
    domains = {name: dict(zip([f"D{i}" for i in range(1, 11)], rng.dirichlet(np.full(10, 5)))) for name in names}
    write_domains(tmp_path / "domains" / "all", domains)
    for name in names:
        write_types(tmp_path / "celltypes" / f"{name}.h5ad", mean)
        for stage in ("patterns", "interactions"):
            write_result(tmp_path / stage / f"{name}.h5ad", 2, var={"q": [0.001, 0.9]})
    scores = "".join(f"{name}\t0.123456\t0.25\n" for name in names)
    (tmp_path / "outcomes" / "all.tsv").write_text("sample\tprobability\tunlike_training\n" + scores)
    page, _ = written(plan(tmp_path, " ".join(names)), tmp_path)
    card = page[page.index('id="analyses"') : page.index("</table>", page.index('id="analyses"'))]
    assert sum(len(bar) for bar in Card(page).bars[names[0]]) == 22
    assert len(card.encode()) < 1750 * len(names)

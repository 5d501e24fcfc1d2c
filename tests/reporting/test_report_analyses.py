"""What a report shows of analysis results: shares, tables, colours that mean the same, warnings, refusals."""

from __future__ import annotations

import re
from pathlib import Path

import anndata
import fake_analyses
import fake_enhanced
import numpy as np
import pandas as pd
import pytest
from report_page import Page

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.h5ad.analysis_result import write_analysis_result
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.reporting import explain, write_report
from focus_cli.reporting.analyses.build import three_colours
from focus_cli.reporting.analyses.tables import order_of, p_words
from focus_cli.reporting.fields import FIELDS
from focus_cli.reporting.layers import in_order


@pytest.fixture(scope="module")
def analyses(study: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Path]]:
    folder = tmp_path_factory.mktemp("analyses")
    return {s: fake_analyses.write_all(study / f"{s}.h5ad", folder / s, seed=i) for i, s in enumerate(("S1", "S2"))}


@pytest.fixture(scope="module")
def whole(study: Path, analyses: dict[str, dict[str, Path]], tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = tmp_path_factory.mktemp("out") / "report.html"
    every = [path for sample in analyses.values() for path in sample.values()]
    return Page(write_report([study / "S1.h5ad", study / "S2.h5ad"], out, analyses=every))


def test_every_analysis_has_its_part(whole: Page) -> None:
    for title in (
        "Spatial domains",
        "Cell types",
        "Annotation",
        "Outcome",
        "Spatial patterns",
        "Ligands and receptors",
        "Why: where the estimates come from",
        "Representation",
    ):
        assert title in whole.text
    assert {f"s{s}-{i}" for s in (1, 2) for i in range(1, 9)} <= whole.ids
    # What must be said of each, and what the file itself warns of.
    assert "It is no diagnosis" in whole.text and "not a medical device" in whole.text
    assert "RNA side by side is not signalling" in whole.text and "only two samples" in whole.text


def test_shares_are_those_of_the_file(study: Path, analyses: dict[str, dict[str, Path]], whole: Page) -> None:
    share = anndata.read_h5ad(analyses["S1"]["domains"]).obs["domain"].value_counts(normalize=True)
    for name, value in share.items():
        assert re.search(rf"{name} {100 * value:.1f} % 0\.\d\d {round(144 * value)}", whole.text)
    mean = anndata.read_h5ad(analyses["S1"]["celltypes"]).obsm["cell_type_proportions"].mean()
    assert f"stroma {100 * mean['stroma']:.1f} %" in whole.text


def test_tables_are_sorted_by_q_and_keep_their_order_of_magnitude(whole: Page) -> None:
    assert "The first 8 of 8 genes by q" in whole.text
    assert "GENE0 yes 0.8 1·10⁻¹² 8·10⁻¹²" in whole.text
    assert "GENE0^GENE1_GENE2 GENE0 GENE1_GENE2 test 2 0.001 0.002" in whole.text
    var = pd.DataFrame({"q": [0.5, np.nan, 0.1], "p": [0.1, 0.0, 0.0]})
    assert order_of(var, ["q", "p"]).tolist() == [2, 0, 1]
    assert [p_words(p) for p in (0.5, 0.034, 3.4e-7, 9.99e-5, 0.0)] == ["0.500", "0.034", "3·10⁻⁷", "1·10⁻⁴", "0"]


def test_several_samples_are_compared_in_the_same_colours(whole: Page) -> None:
    colour = dict(re.findall(r'<span class="swatch" style="background: (#\w+)"></span>(D\d+)</span>', whole.source))
    assert len(colour) == 3 and sorted(colour.values()) == ["D1", "D10", "D2"]
    bars = re.findall(r'style="width: [\d.]+%; background: (#\w+)" title="(D\d+)', whole.source)
    assert len(bars) == 6 and all(colour[c] == name for c, name in bars)
    assert in_order({"D10", "D2", "D1", "edge"}) == ["D1", "D2", "D10", "edge"]


def test_a_page_without_analyses_has_no_empty_parts(study: Path, tmp_path: Path) -> None:
    page = Page(write_report([study / "S1.h5ad"], tmp_path / "r.html"))
    assert "analysis" not in page.classes and "viewer" in page.classes


@pytest.mark.parametrize("kind", ["domains", "celltypes", "annotation", "patterns", "interactions", "why", "embedding"])
def test_an_analysis_that_holds_nothing_is_tolerated(study: Path, tmp_path: Path, kind: str) -> None:
    with SpatialFile(study / "S1.h5ad") as file:
        write_analysis_result(tmp_path / "a.h5ad", file, kind, fake_analyses.RECORD)
    Page(write_report([study / "S1.h5ad"], tmp_path / "r.html", analyses=[tmp_path / "a.h5ad"]))


def test_an_analysis_of_some_locations_says_so(
    study: Path, analyses: dict[str, dict[str, Path]], tmp_path: Path
) -> None:
    anndata.read_h5ad(analyses["S1"]["domains"])[:100].write_h5ad(tmp_path / "a.h5ad")
    page = Page(write_report([study / "S1.h5ad"], tmp_path / "r.html", analyses=[tmp_path / "a.h5ad"]))
    assert "lacks 44 of the 144 locations" in page.text


def test_a_kind_that_is_not_known_yet_is_shown_as_far_as_it_goes(study: Path, tmp_path: Path) -> None:
    with SpatialFile(study / "S1.h5ad") as file:
        n = len(file.obs)
        obs = pd.DataFrame(
            {"grade": np.where(np.arange(n) % 2, "G1", "G3"), "score": np.arange(n)}, index=file.obs.index
        )
        write_analysis_result(tmp_path / "a.h5ad", file, "new_thing", fake_analyses.RECORD, obs=obs)
    page = Page(write_report([study / "S1.h5ad"], tmp_path / "r.html", analyses=[tmp_path / "a.h5ad"]))
    assert "New thing" in page.text and "G1 50.0 %" in page.text


def test_names_in_analyses_are_text(study: Path, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><b>"
    with SpatialFile(study / "S1.h5ad") as file:
        obs = pd.DataFrame({"domain": pd.Categorical([evil] * len(file.obs))}, index=file.obs.index)
        var = pd.DataFrame({"q": [0.1], "pathway": [evil]}, index=[evil])
        write_analysis_result(tmp_path / "d.h5ad", file, "domains", fake_analyses.RECORD, obs=obs, var=var)
        x = np.ones((len(file.obs), 1), np.float32)
        write_analysis_result(tmp_path / "i.h5ad", file, "interactions", fake_analyses.RECORD, var=var, x=x)
    both = [tmp_path / "d.h5ad", tmp_path / "i.h5ad"]
    page = Page(write_report([study / "S1.h5ad"], tmp_path / "r.html", analyses=both))
    assert page.tags.count("script") == 2 and "alert(1)</script>" not in page.source and evil in page.text


def test_analyses_to_other_samples_are_refused(
    study: Path, analyses: dict[str, dict[str, Path]], tmp_path: Path
) -> None:
    one, out = study / "S1.h5ad", tmp_path / "r.html"
    with pytest.raises(BadInputError, match="is of 'S2', which is not in this report"):
        write_report([one], out, analyses=[analyses["S2"]["domains"]])
    with pytest.raises(BadInputError, match="is 'enhanced', not an analysis result"):
        write_report([one], out, analyses=[study / "S2.h5ad"])
    with pytest.raises(UsageError, match="twice"):
        write_report([one], out, analyses=[analyses["S1"]["domains"]] * 2)
    with pytest.raises(MissingResourceError):
        write_report([one], out, analyses=[tmp_path / "none.h5ad"])
    elsewhere = anndata.read_h5ad(analyses["S1"]["domains"])
    elsewhere.obs_names = [f"other-{n}" for n in elsewhere.obs_names]
    elsewhere.write_h5ad(tmp_path / "e.h5ad")
    with pytest.raises(BadInputError, match="shares no location with sample 'S1'"):
        write_report([one], out, analyses=[tmp_path / "e.h5ad"])
    assert not out.exists()


def test_pictures_do_not_depend_on_the_order_of_locations(study: Path, tmp_path: Path) -> None:
    pages = []
    for name, turned in (("a", False), ("b", True)):
        (tmp_path / name).mkdir()
        adata = fake_enhanced.enhanced("S1")
        fake_enhanced.write(adata, tmp_path / name / "S1.h5ad")
        analysis = fake_analyses.write_all(tmp_path / name / "S1.h5ad", tmp_path / name / "analyses")["domains"]
        if turned:
            anndata.read_h5ad(analysis)[::-1].copy().write_h5ad(analysis)
        pages.append(Page(write_report([tmp_path / name / "S1.h5ad"], tmp_path / f"{name}.html", analyses=[analysis])))
    drop = re.compile(r'"sha256": "\w+"|"bytes": \d+')
    assert drop.sub("", pages[0].source) == drop.sub("", pages[1].source)


def test_three_colours_follow_the_leading_axes() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 6)) * [10, 5, 2, 0.1, 0.1, 0.1]
    colours = three_colours(values)
    assert [abs(np.corrcoef(colours[:, i], values[:, i])[0, 1]) > 0.95 for i in range(3)] == [True] * 3
    values[3] = np.nan
    assert np.isnan(three_colours(values)[3]).all() and np.nanmax(three_colours(values)) <= 1


def test_explain_knows_every_kind_of_analysis(analyses: dict[str, dict[str, Path]]) -> None:
    for kind, path in analyses["S1"].items():
        told = explain(path)
        assert told["kind"] == kind and f"kind {kind!r}" not in told["what"], told["what"]
        unknown = [f["name"] for f in told["fields"] if "not described" in f["meaning"]]
        assert not unknown, (kind, unknown)
    assert all(meaning.text for meaning in FIELDS.values())

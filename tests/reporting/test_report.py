"""The report: whole, safe, honest, the same every time."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import anndata
import fake_enhanced
import numpy as np
import pandas as pd
import pytest
from report_page import Page
from scipy import sparse

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.storage import write_anndata
from focus_cli.reporting import html, write_report
from focus_cli.reporting.genes import read_expression


@pytest.fixture
def small_maps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small pictures, where the pictures are not what is tested."""
    monkeypatch.setattr(html, "_SIDES", ((99, 60),))


@pytest.fixture(scope="module")
def whole(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Page:
    out = tmp_path_factory.mktemp("out") / "report.html"
    files = [study / "S1.h5ad", study / "S1.refined.h5ad", study / "S2.h5ad"]
    write_report(files, out, scores=[study / "lost", study / "won"], genes=["GENE5", "HIDDEN2"])
    return Page(out)


def test_page_is_self_contained(whole: Page) -> None:
    assert whole.addresses, "there are pictures and links"
    for address in whole.addresses:
        assert address.startswith(("data:image/", "#")), address[:80]
    # Addresses in the style sheet too; JavaScript is inline and loads nothing.
    assert all(url.startswith("data:image/") for url in re.findall(r"url\((.{0,40})", whole.source))
    assert not re.search(r"https?://|@import|<link|<iframe", whole.source)
    assert not re.search(r"<script[^>]*src", whole.source)


def test_page_tells_what_the_samples_are(whole: Page) -> None:
    for word in (
        "S1",
        "S2",
        "55 µm spots, 100 µm apart",
        "30 genes measured",
        "6 genes imputed",
        "144 locations",
    ):
        assert word in whole.text
    assert "2 genes of the panel are not in the reference" in whole.text
    assert "17 % of the genes are imputed" in whole.text
    assert "focus enhance" in whole.text and "seed 7" in whole.text and "ab" * 32 in whole.text
    # The refined file has no section of its own: it stands beside its enhanced file.
    assert {"s1", "s2", "scores", "reading"} <= whole.ids and "s3" not in whole.ids
    assert "refined, 50 µm grid" in whole.text


def test_the_orientation_check_is_shown(whole: Page) -> None:
    assert "on tissue 0.9947" in whole.text
    assert "flipped left-right -1.127" in whole.text


def test_genes_are_chosen_by_the_written_rule(whole: Page) -> None:
    # Genes 0 and 1 are the only ones with a pattern in the counts; two more were requested.
    for gene in ("GENE0", "GENE1", "GENE5", "HIDDEN2"):
        assert re.search(rf"<h4>{gene}</h4>", whole.source)
    assert "requested" in whole.text
    assert "not on the panel: nothing was measured" in whole.text


def test_losses_are_shown(whole: Page) -> None:
    assert "1 of 2 baselines beat FOCUS: ridge has mean PCC 0.440, FOCUS 0.410." in whole.text
    assert "FOCUS has the highest mean PCC of 2 methods: 0.500; ridge has 0.440." in whole.text
    assert whole.classes.count("beats") == 1
    lost, won = whole.source.split('id="scores"')[1].split("<h2>")[1:3]
    assert re.search(r"<strong>0\.440</strong>", lost) and not re.search(r"<strong>0\.410</strong>", lost)
    assert re.search(r"<strong>0\.500</strong>", won)
    assert "flat" in won  # a method without a score keeps its row


def test_same_inputs_give_the_same_bytes(study: Path, tmp_path: Path) -> None:
    pages = []
    for name in ("a.html", "b.html"):
        write_report([study / "S1.h5ad"], tmp_path / name, scores=[study / "lost"])
        pages.append((tmp_path / name).read_bytes())
    assert pages[0] == pages[1]
    assert 50_000 < len(pages[0]) < 6_000_000


@pytest.mark.usefixtures("small_maps")
def test_names_are_text_whatever_they_hold(tmp_path: Path) -> None:
    evil = '<script>alert("x")</script>'
    adata = fake_enhanced.enhanced("S1", side=6)
    names = adata.var_names.tolist()
    names[0] = evil
    adata.var_names = names
    shares = adata.obsm[keys.STATE_ATTENTION]
    shares.columns = [evil, *shares.columns[1:]]
    adata.uns[keys.UNS]["warnings"] = [evil]
    path = fake_enhanced.write(adata, tmp_path / "evil.h5ad")
    page = Page(write_report([path], tmp_path / "evil.html", genes=[evil]))
    assert page.tags.count("script") == 2  # our own, and what it draws
    assert page.text.count(evil) >= 3
    assert evil not in page.source


@pytest.mark.usefixtures("small_maps")
@pytest.mark.parametrize("layer", [keys.COUNTS, keys.STD, keys.MEAN_COUNTS])
def test_a_missing_layer_is_tolerated(tmp_path: Path, layer: str) -> None:
    adata = fake_enhanced.enhanced(side=6)
    del adata.layers[layer]
    page = Page(write_report([fake_enhanced.write(adata, tmp_path / "f.h5ad")], tmp_path / "r.html"))
    said = f"The file has no layer '{layer}'" in page.text
    assert said == (layer != keys.MEAN_COUNTS)
    assert "enhanced, log1p CP10k" in page.text


@pytest.mark.usefixtures("small_maps")
def test_maps_show_expression_without_its_depth(tmp_path: Path) -> None:
    adata = fake_enhanced.enhanced(side=6)
    depth = np.where(np.arange(adata.n_obs) % 2, 5000.0, 50.0)
    share = np.linspace(1e-4, 4e-3, adata.n_vars)
    adata.layers[keys.MEAN_COUNTS] = (depth[:, None] * share).astype(np.float32)
    adata.obs[keys.EXPOSURE] = depth
    path = fake_enhanced.write(adata, tmp_path / "f.h5ad")
    assert "enhanced, depth taken out" in Page(write_report([path], tmp_path / "r.html")).text
    with SpatialFile(path) as file:
        shown = read_expression(file, np.arange(3))
    np.testing.assert_allclose(shown, np.broadcast_to(np.log1p(1e4 * share[:3]), shown.shape), rtol=1e-5)


@pytest.mark.usefixtures("small_maps")
def test_bare_enhanced_file_is_tolerated(tmp_path: Path) -> None:
    adata = fake_enhanced.enhanced(side=6)
    bare = anndata.AnnData(X=adata.X, obs=adata.obs[[]], var=adata.var[[]])
    bare.obsm[keys.SPATIAL] = adata.obsm[keys.SPATIAL]
    bare.uns[keys.UNS] = {"kind": "enhanced", "sample_id": "bare"}
    page = Page(write_report([fake_enhanced.write(bare, tmp_path / "f.h5ad")], tmp_path / "r.html"))
    assert "bare" in page.text and "The file has no provenance record." in page.text


@pytest.mark.usefixtures("small_maps")
def test_a_file_of_another_program_is_shown_and_marked(tmp_path: Path) -> None:
    adata = fake_enhanced.enhanced(side=6)
    other = anndata.AnnData(X=adata.layers[keys.COUNTS], obs=adata.obs[[]], var=adata.var[[]])
    other.obsm[keys.SPATIAL] = adata.obsm[keys.SPATIAL]
    other.obsm[keys.SPATIAL_UM] = adata.obsm[keys.SPATIAL] * 0.25
    page = Page(write_report([fake_enhanced.write(other, tmp_path / "other.h5ad")], tmp_path / "r.html"))
    assert "not a FOCUS file" in page.text and "was not written by FOCUS" in page.text
    assert "raw, log1p CP10k" in page.text and "enhanced, log1p CP10k" not in page.text
    assert "0.25 µm per px" in page.text  # from the positions, which are given in px and in µm


@pytest.mark.usefixtures("small_maps")
def test_no_counts_at_all_is_said(tmp_path: Path) -> None:
    adata = fake_enhanced.enhanced(side=6)
    adata.layers[keys.COUNTS] = sparse.csr_matrix(adata.shape, dtype=np.float32)
    adata.obs[keys.TOTAL_COUNTS] = 0.0
    page = Page(write_report([fake_enhanced.write(adata, tmp_path / "f.h5ad")], tmp_path / "r.html"))
    assert "The sample has no counts: every value is predicted from the image." in page.text


@pytest.mark.usefixtures("small_maps")
@pytest.mark.parametrize("n", [1, 2, 5])
def test_a_handful_of_locations_is_enough(tmp_path: Path, n: int) -> None:
    adata = fake_enhanced.enhanced(side=6)[:n].copy()
    Page(write_report([fake_enhanced.write(adata, tmp_path / "f.h5ad")], tmp_path / "r.html"))


@pytest.mark.usefixtures("small_maps")
def test_a_lone_refined_file_has_its_own_section(study: Path, tmp_path: Path) -> None:
    page = Page(write_report([study / "S1.refined.h5ad"], tmp_path / "r.html"))
    assert "s1" in page.ids and "Nothing was measured on this grid" in page.text


def test_many_samples_stay_small(study: Path, tmp_path: Path) -> None:
    paths = []
    for i in range(9):
        shutil.copy(study / "S1.h5ad", tmp_path / f"copy{i}.h5ad")
        paths.append(tmp_path / f"copy{i}.h5ad")
    out = write_report(paths, tmp_path / "r.html")
    page = Page(out)
    assert {f"s{i}" for i in range(1, 10)} <= page.ids
    assert out.stat().st_size < 6_500_000  # the pictures are noise, which nothing makes small


# --- refusals ------------------------------------------------------------------------------------


def _no_spatial(path: Path) -> None:
    anndata.AnnData(np.ones((3, 2), np.float32)).write_h5ad(path)


def _nan_positions(path: Path) -> None:
    adata = anndata.AnnData(np.ones((3, 2), np.float32))
    adata.obsm[keys.SPATIAL] = np.array([[0, 0], [1, np.nan], [2, 2]])
    write_anndata(adata, path)


def _text(path: Path) -> None:
    path.write_text("obs,var\n")


def _cut_off(path: Path) -> None:
    fake_enhanced.write(fake_enhanced.enhanced(side=6), path)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])


def _not_anndata(path: Path) -> None:
    import h5py

    with h5py.File(path, "w") as handle:
        handle["x"] = 1


@pytest.mark.parametrize("spoil", [_no_spatial, _nan_positions, _text, _cut_off, _not_anndata])
def test_bad_files_are_refused_by_name(tmp_path: Path, spoil) -> None:
    path, out = tmp_path / "bad.h5ad", tmp_path / "r.html"
    spoil(path)
    with pytest.raises(BadInputError, match=r"bad\.h5ad") as caught:
        write_report([path], out)
    assert caught.value.hint and "\n" not in caught.value.message
    assert not out.exists() and list(tmp_path.iterdir()) == [path]


def test_missing_things_are_refused(study: Path, tmp_path: Path) -> None:
    with pytest.raises(MissingResourceError, match=r"nowhere\.h5ad"):
        write_report([tmp_path / "nowhere.h5ad"], tmp_path / "r.html")
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingResourceError, match=r"scores\.tsv"):
        write_report([study / "S1.h5ad"], tmp_path / "r.html", scores=[tmp_path / "empty"])
    with pytest.raises(BadInputError, match="folder"):
        write_report([study], tmp_path / "r.html")


def test_mistakes_of_the_command_are_refused(study: Path, tmp_path: Path) -> None:
    file = study / "S1.h5ad"
    with pytest.raises(UsageError, match="twice"):
        write_report([file, study / "." / "S1.h5ad"], tmp_path / "r.html")
    with pytest.raises(UsageError, match=r"not an \.html"):
        write_report([file], tmp_path / "r.pdf")
    with pytest.raises(UsageError):
        write_report([], tmp_path / "r.html")
    with pytest.raises(UsageError, match="gene 'GENE00'") as caught:
        write_report([file], tmp_path / "r.html", genes=["GENE1", "GENE00"])
    assert "GENE0" in caught.value.hint


@pytest.mark.usefixtures("small_maps")
def test_an_existing_report_is_kept_unless_told(study: Path, tmp_path: Path) -> None:
    out = tmp_path / "r.html"
    out.write_text("mine")
    with pytest.raises(OutputExistsError):
        write_report([study / "S1.h5ad"], out)
    assert out.read_text() == "mine"
    with pytest.raises(OutputExistsError, match="not a report that FOCUS wrote"):
        write_report([study / "S1.h5ad"], out, overwrite=True)
    assert out.read_text() == "mine"
    out.unlink()
    for _ in range(2):
        write_report([study / "S1.h5ad"], out, overwrite=True)
        assert out.read_text().startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("spoil", ["pcc_mean", "method"])
def test_scores_without_their_columns_are_refused(study: Path, tmp_path: Path, spoil: str) -> None:
    folder = tmp_path / "scores"
    shutil.copytree(study / "lost", folder)
    table = pd.read_csv(folder / "scores.tsv", sep="\t").drop(columns=spoil)
    table.to_csv(folder / "scores.tsv", sep="\t", index=False)
    with pytest.raises(BadInputError, match=spoil):
        write_report([study / "S1.h5ad"], tmp_path / "r.html", scores=[folder])

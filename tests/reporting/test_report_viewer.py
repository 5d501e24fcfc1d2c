"""The slide of a report: its data against the file, and its behaviour in a browser."""

from __future__ import annotations

import base64
import json
import re
import zlib
from pathlib import Path

import anndata
import fake_analyses
import numpy as np
import pytest
from browser import Browser
from report_page import Page

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.reporting import write_report
from focus_cli.reporting.layers import NOTHING, category_layer, number_layer, summary


@pytest.fixture(scope="module")
def page(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("viewer")
    analyses = fake_analyses.write_all(study / "S1.h5ad", folder / "analyses")
    return write_report([study / "S1.h5ad"], folder / "r.html", analyses=list(analyses.values()))


def told(page: Path) -> dict:
    return json.loads(re.search(r'<script type="application/json">(.*?)</script>', page.read_text())[1])


def unpacked(text: str) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.uint8)


def layer(page: Path, name: str, view: str = "") -> tuple[dict, np.ndarray]:
    found = next(one for one in told(page)["layers"] if (one["name"], one["view"]) == (name, view))
    codes = unpacked(found["codes"])
    if "names" in found:
        return found, codes
    values = found["floor"] + codes / 254 * (found["ceiling"] - found["floor"])
    return found, np.where(codes == NOTHING, np.nan, values)


def test_values_come_back_from_the_page(study: Path, page: Path) -> None:
    file = anndata.read_h5ad(study / "S1.h5ad")
    x = np.asarray(file[:, "GENE0"].X).ravel()
    found, values = layer(page, "GENE0", "enhanced")
    assert np.abs(values - x).max() <= (x.max() - x.min()) / 254  # half a step, and float32
    low, high = np.percentile(x, [1, 99])
    assert found["low"] == pytest.approx(low, rel=1e-4) and found["high"] == pytest.approx(high, rel=1e-4)
    counts = file.layers["counts"].toarray()
    raw = np.log1p(1e4 * counts[:, 0] / counts.sum(1))
    same, values = layer(page, "GENE0", "raw")
    assert np.abs(values - raw).max() <= np.ptp(raw) / 254
    assert (same["low"], same["high"]) == (found["low"], found["high"])  # before and after on one scale
    for end, name in (("low end", "q05"), ("high end", "q95")):
        assert np.allclose(layer(page, "GENE0", end)[1], np.asarray(file[:, "GENE0"].layers[name]).ravel(), atol=0.05)


def test_an_unmeasured_gene_is_no_measurement(page: Path) -> None:
    found = [one for one in told(page)["layers"] if one["name"] == "HIDDEN5"]
    assert {one["view"] for one in found} == {"enhanced", "low end", "high end"}
    assert all("inferred" in one["group"] for one in found)
    assert "nothing of it was measured" in found[0]["note"]


def test_positions_lie_where_they_were(study: Path, page: Path) -> None:
    data = told(page)
    high, low = unpacked(data["xy"]).reshape(2, 2, -1).astype(int).transpose(1, 0, 2)
    xy = (256 * high + low).T / 65535 * [data["width"], data["height"]] + data["origin"]
    assert np.abs(xy - anndata.read_h5ad(study / "S1.h5ad").obsm["spatial"]).max() < 0.05
    assert data["true"] == pytest.approx(110) and data["names"][0] == "loc-0"


def test_categories_and_gaps(page: Path) -> None:
    found, codes = layer(page, "Annotation")
    assert (codes[:5] == NOTHING).all() and (codes[5:] < 2).all()
    assert found["names"] == ["invasive cancer", "rest"] and len(set(found["colours"])) == 2


def test_layers_of_known_values() -> None:
    found = number_layer("g", "n", [0.0, 1.0, np.nan, 2.0], span=(0, 2))
    assert found.codes.tolist() == [0, 127, NOTHING, 254]
    assert number_layer("g", "n", [np.nan]) is None and category_layer("g", "n", [None, ""]) is None
    assert number_layer("g", "n", [3.0, 3.0]).codes.tolist() == [0, 0]
    assert number_layer("g", "n", [-1.0, 4.0], symmetric=True, span=(-1, 4)).low == -4
    groups = category_layer("g", "n", ["b", "a", None, "b"])
    assert groups.codes.tolist() == [1, 0, NOTHING, 1]
    assert summary(groups) == "Most locations: b 67%, a 33%; no value at 1 locations."
    many = category_layer("g", "n", [f"c{i}" for i in range(300)])
    assert many.names[-1] == "others" and many.codes.max() < NOTHING


def test_the_page_keeps_to_its_size_and_says_what_is_missing(study: Path, tmp_path: Path) -> None:
    small = write_report([study / "S1.h5ad"], tmp_path / "s.html", viewer_mb=0.005)
    layers = sum(len(one["codes"]) for one in told(small)["layers"])
    assert 0 < layers <= 5000 and "Not included, to limit the size of the page" in Page(small).text
    none = Page(write_report([study / "S1.h5ad"], tmp_path / "n.html", viewer_mb=0))
    assert "viewer" not in none.classes


def test_a_policy_admits_our_script_alone(page: Path) -> None:
    import hashlib

    source = page.read_text()
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', source)[1]
    script = re.search(r"<script>(.*?)</script>", source, re.DOTALL)[1]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in policy and "default-src 'none'" in policy and "unsafe-eval" not in policy
    assert not re.search(r"\son\w+=\"", source)  # no handlers in attributes, which the policy would stop


def test_readers_who_do_not_see_it_get_the_same(page: Path) -> None:
    read = Page(page)
    assert "Most locations: D1 50%" in read.text
    assert 'role="application"' in read.source and 'aria-live="polite"' in read.source
    bare = re.sub(r"<label.*?</label>", "", read.source, flags=re.DOTALL)
    assert not [tag for tag in re.findall(r"<(?:select|input)[^>]*>", bare) if "aria-label" not in tag]
    assert all('alt="' in tag for tag in re.findall(r"<img[^>]*>", read.source))


def test_a_finer_picture_of_a_stored_sample(enhanced_sample: tuple[Path, Path], tmp_path: Path) -> None:
    enhanced, sample = enhanced_sample
    coarse = write_report([enhanced], tmp_path / "c.html")
    fine = write_report([enhanced], tmp_path / "f.html", samples=[sample])
    assert told(fine)["width"] == told(coarse)["width"]

    def picture(path: Path) -> np.ndarray:
        import io

        from PIL import Image

        text = re.search(r'class="slide-image" src="data:image/webp;base64,([^"]*)"', path.read_text())[1]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("L").resize((100, 100)), float)

    # The same tissue in the same place.
    assert np.corrcoef(picture(fine).ravel(), picture(coarse).ravel())[0, 1] > 0.98
    with pytest.raises(MissingResourceError):
        write_report([enhanced], tmp_path / "x.html", samples=[tmp_path / "none"])
    assert not (tmp_path / "x.html").exists()


def test_a_sample_of_another_name_is_refused(study: Path, enhanced_sample: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="not in this report"):
        write_report([study / "S2.h5ad"], tmp_path / "x.html", samples=[enhanced_sample[1]])


# --- in a browser --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    with Browser() as found:
        yield found


def test_it_draws_without_a_word_on_the_console(browser: Browser, page: Path, tmp_path: Path) -> None:
    browser.open(page)
    # The legend is drawn by the script: shares of the domains.
    assert "D1 50 %" in " ".join(browser.run('document.querySelector(".key-box").innerText').split())
    browser.dark()
    browser.picture(tmp_path / "seen.png")
    assert browser.console == []


def test_the_policy_stops_what_is_not_ours(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run('(document.head.appendChild(document.createElement("script")).textContent = "window.evil = 1", 0)')
    browser.run('fetch("data:text/plain,x").then(function () { window.evil = 2; }, function () {})')
    assert browser.run("window.evil") is None and any("Content Security Policy" in line for line in browser.console)
    browser.console.clear()


def test_the_keyboard_reads_a_location(study: Path, browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.pick("GENE0")
    for name in ("ArrowRight", "+", "Enter"):
        browser.key(name)
    said = browser.read()
    file = anndata.read_h5ad(study / "S1.h5ad")
    row = file.obs_names.get_loc(re.match(r"(loc-\d+) ", said)[1])
    numbers = re.search(r"GENE0, enhanced ([\d.]+) \(([\d.]+) to ([\d.]+)\)", said).groups()
    value, low, high = map(float, numbers)
    assert value == pytest.approx(float(file.X[row, 0]), abs=0.05)
    assert low < value < high and "Domain D" in said and "log1p CP10k" in said
    browser.key("Escape")
    assert browser.read().startswith("Point at a location")
    assert browser.console == []


def test_the_mouse_points_at_what_lies_there(study: Path, browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run('document.querySelector(".stage").scrollIntoView({behavior: "instant"})')
    box = browser.run("""(function () {
      var b = document.querySelector("canvas").getBoundingClientRect(); return [b.left, b.top, b.width, b.height];
    })()""")
    data, file = told(page), anndata.read_h5ad(study / "S1.h5ad")
    scale = min(box[2] / data["width"], box[3] / data["height"])
    middle = [box[0] + box[2] / 2, box[1] + box[3] / 2]
    for row in (20, 65, 100):
        xy = file.obsm["spatial"][row] - data["origin"] - np.array([data["width"], data["height"]]) / 2
        browser.mouse("Moved", *(middle + xy * scale))
        assert browser.read().startswith(file.obs_names[row] + " ")
    assert browser.console == []


def test_several_slides_start_when_they_come_near(study: Path, browser: Browser, tmp_path: Path) -> None:
    browser.open(write_report([study / "S1.h5ad", study / "S2.h5ad"], tmp_path / "two.html"))
    ready = 'document.querySelectorAll(".viewer[data-ready]").length'
    assert browser.run(ready) == 1
    browser.run('document.querySelectorAll(".viewer")[1].scrollIntoView({behavior: "instant"})')
    browser.until(f"{ready} === 2")
    assert browser.console == []


def test_a_turned_slide_is_laid_as_the_sample_has_it(enhanced_sample: tuple[Path, Path], tmp_path: Path) -> None:
    import shutil

    import tifffile

    from focus_cli.histology.slides import open_slide
    from focus_cli.reporting.maps import Frame
    from focus_cli.reporting.slide_picture import FinerPicture

    _, sample = enhanced_sample
    described = json.loads((sample / "sample.json").read_text())
    with open_slide((sample / described["image"]["path"]).resolve()) as slide:
        pixels = slide.read(0, 0, slide.width, slide.height)
    frame = Frame(60.0, 40.0, 300.0, 260.0, 300, 260)
    upright = FinerPicture(sample)(frame, 300).astype(float)
    shutil.copytree(sample, tmp_path / "turned")
    tifffile.imwrite(tmp_path / "turned.tif", np.rot90(pixels).copy(), photometric="rgb")
    width = pixels.shape[1]
    for link in described["coordinates"]:
        if (link["source"], link["target"]) == ("fullres", "image"):
            link["matrix"] = [[0.0, 1.0, 0.0], [-1.0, 0.0, float(width)], [0.0, 0.0, 1.0]]
    described["image"] |= {"path": "../turned.tif", "width": pixels.shape[0], "height": width}
    (tmp_path / "turned" / "sample.json").write_text(json.dumps(described))
    turned = FinerPicture(tmp_path / "turned")(frame, 300).astype(float)
    assert turned.shape == upright.shape and np.abs(turned - upright).mean() < 2

"""The end-to-end benchmark: what it measures is true, its cut sections are the section, and it goes on."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from focus_cli.core.errors import EXIT_USAGE, MissingResourceError, OutputExistsError, UsageError

pytestmark = pytest.mark.full

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

import end_to_end  # noqa: E402
import measure as measuring  # noqa: E402

MB = 1_000_000


def python(code: str) -> list[str]:
    return [sys.executable, "-I", "-S", "-c", code]


# --- measuring -----------------------------------------------------------------------------------


def test_peak_is_that_of_the_command_not_of_the_caller(tmp_path):
    held = np.ones(500 * MB, np.uint8)  # the caller's own high-water mark must not show
    small = measuring.measure(python("pass"), tmp_path / "small.log")
    large = measuring.measure(python("x = b'x' * 200_000_000"), tmp_path / "large.log")
    assert held[-1] == 1
    assert small.peak_bytes < 50 * MB
    assert 200 * MB < large.peak_bytes < 230 * MB


def test_a_grandchild_counts(tmp_path):
    child = "x = b'x' * 200_000_000"
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-I', '-S', '-c', {child!r}])"
    assert measuring.measure(python(code), tmp_path / "log").peak_bytes > 195 * MB


def test_time_exit_code_log_and_folder(tmp_path):
    code = "import os, time; time.sleep(0.5); print('in', os.getcwd(), flush=True); os._exit(7)"
    taken = measuring.measure(python(code), tmp_path / "logs" / "log", cwd=tmp_path)
    assert taken.exit_code == 7
    assert 0.5 <= taken.seconds < 30
    assert taken.cpu_seconds < taken.seconds
    assert (tmp_path / "logs" / "log").read_text().strip() == f"in {tmp_path}"


def test_a_killed_command_and_one_that_does_not_exist(tmp_path):
    code = "import os, signal; os.kill(os.getpid(), signal.SIGKILL)"
    assert measuring.measure(python(code), tmp_path / "log").exit_code == -signal.SIGKILL
    with pytest.raises(RuntimeError, match="no-such-program"):
        measuring.measure(["no-such-program"], tmp_path / "log")


def test_an_interrupted_measurement_leaves_no_process_behind(tmp_path):
    pid_file = tmp_path / "pid"
    child = f"import os, time; open({str(pid_file)!r}, 'w').write(str(os.getpid())); time.sleep(120)"
    caller = (
        f"import signal, sys; sys.path.insert(0, {str(BENCHMARKS)!r}); import measure, pathlib\n"
        "signal.signal(signal.SIGTERM, signal.default_int_handler)\n"
        f"measure.measure([sys.executable, '-c', {child!r}], pathlib.Path({str(tmp_path / 'log')!r}))"
    )
    process = subprocess.Popen([sys.executable, "-c", caller], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not (pid_file.is_file() and pid_file.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    pid = int(pid_file.read_text())
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) != 0
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


# --- growth and tables ---------------------------------------------------------------------------


def test_growth_recovers_power_law_and_line():
    sizes = np.array([1e5, 2e5, 4e5])
    assert measuring.growth(sizes, 3e-9 * sizes**1.7).exponent == pytest.approx(1.7)
    line = measuring.growth(sizes, 12 + 5e-4 * sizes)
    assert (line.fixed, line.per_100k) == (pytest.approx(12), pytest.approx(50))
    assert line.deviation == pytest.approx(0, abs=1e-9)
    assert line.exponent < 1  # the fixed cost shows
    assert measuring.growth(sizes, 3e-9 * sizes**2).deviation > 0.1
    assert measuring.growth(sizes[:2], sizes[:2]).deviation is None
    assert measuring.growth([5, 5], [1, 2]) is None
    with pytest.raises(ValueError, match="above zero"):
        measuring.growth([1, 2], [0, 1])


def record(stage: str, fraction: float | None, seconds: float, gb: float, **more) -> dict:
    return {
        "stage": stage,
        "label": stage,
        "fraction": fraction,
        "bins": None if fraction is None else round(400_000 * fraction),
        "seconds": seconds,
        "cpu_seconds": seconds / 2,
        "peak_bytes": round(gb * 1e9),
        "source": "a",
        **more,
    }


def rows(markdown: str) -> list[list[str]]:
    return [[c.strip() for c in line.strip("|").split("|")] for line in markdown.splitlines() if "|" in line]


def test_tables_state_rates_exponents_and_limits():
    records = [
        record("preprocess", 1, 80, 6.5),
        record("preprocess", 0.5, 40, 3.0),
        record("preprocess", 0.25, 20, 2.0),
        record("reference", None, 9, 1.0),
        record("enhance", 1, 640, 7.9),
        record("enhance", 0.25, 40, 7.0),
    ]
    table = rows(measuring.tables(records, {"preprocess": 6.0, "enhance": 8.0}))
    assert ["preprocess", "0.5", "200,000", "40.0", "20.0", "3.00", "20.0", "1.00"] in table
    assert ["reference", "any", "–", "9.0", "4.5", "1.00", "–", "–"] in table
    # Sixteen times the time for four times the bins: four times what linear growth takes, exponent 2.
    assert ["enhance", "1", "400,000", "640.0", "320.0", "7.90", "160.0", "4.00"] in table
    growth = {row[0]: row for row in table[-3:]}
    assert growth["preprocess"][1:4] == ["3", "1.00", "1.00"]
    assert growth["preprocess"][-1] == "6 (**broken**)"
    assert growth["enhance"][2] == "2.00" and growth["enhance"][-1] == "8 (kept)"
    assert growth["reference"][-1] == "–"


def make_results(folder: Path, section_hash: str = "x") -> measuring.Results:
    about = {
        "invocation": "python benchmarks/end_to_end.py",
        "inputs": {"section": {"name": "S1", "sha256": section_hash}},
        "machine": measuring.describe_machine(),
        "versions": {"python": "3"},
        "focus_version": "0",
        "seed": 0,
    }
    return measuring.Results(folder, about, {"enhance": 8.0}, end_to_end.STAGES)


def test_results_are_replaced_ordered_and_bound_to_their_inputs(tmp_path):
    results = make_results(tmp_path)
    for fraction, seconds in ((0.5, 1.0), (1.0, 2.0), (0.5, 3.0)):
        results.put(record("enhance", fraction, seconds, 8.0 if fraction == 1 else 7.0))
    results.put(record("train", 0.5, 4.0, 1.0))
    assert "different states" not in results.markdown()
    results.put(record("train", 1.0, 4.0, 1.0, source="b"))
    again = make_results(tmp_path)
    assert [(r["stage"], r["fraction"], r["seconds"]) for r in again.records] == [
        ("train", 1.0, 4.0),
        ("train", 0.5, 4.0),
        ("enhance", 1.0, 2.0),
        ("enhance", 0.5, 3.0),
    ]
    assert "different states" in again.markdown()
    assert again.over_budget() == ["enhance of 1: 8.00 GB, the limit is 8 GB"]
    again.drop(["enhance"], 0.5)
    assert again.find("enhance", 0.5) is None and again.find("enhance", 1.0)["seconds"] == 2.0
    with pytest.raises(OutputExistsError, match="other inputs"):
        make_results(tmp_path, "y")


# --- cut sections --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def hd(tmp_path_factory) -> Path:
    """A small simulated Visium HD study."""
    from focus_cli.simulation import simulate

    path = tmp_path_factory.mktemp("hd") / "study"
    simulate(path, platform="visium_hd", n_sections=1, seed=0, size_um=600, n_genes=40, mpp=2.0)
    return path


def check_cut(section: Path, cut: Path, fraction: float) -> None:
    """A cut holds the bins, counts, scale and tissue of the rows of the section that it was cut from."""
    from focus_cli.histology.slides import open_slide
    from focus_cli.platforms import read

    whole, part = read(section, "visium_hd", bin_um=8), read(cut, "visium_hd")
    row = whole.adata.obs["array_row"].to_numpy()
    table = pd.read_parquet(section / end_to_end.BINS / "spatial" / "tissue_positions.parquet")
    on_tissue = table.loc[table["in_tissue"] == 1, "array_row"]
    end = on_tissue.min() + fraction * (on_tissue.max() + 1 - on_tissue.min())
    kept = whole.adata[row < end]
    assert 0 < part.adata.n_obs < whole.adata.n_obs
    assert list(part.adata.obs_names) == list(kept.obs_names)
    assert list(part.adata.var_names) == list(whole.adata.var_names)
    assert (part.adata.X != kept.X).nnz == 0
    assert part.mpp == pytest.approx(whole.mpp)
    shift = kept.obsm["spatial"] - part.adata.obsm["spatial"]
    np.testing.assert_allclose(shift, np.broadcast_to(shift[0], shift.shape), atol=1e-9)
    assert end_to_end.section_size(cut)["nonzeros"] == kept.X.nnz

    with (
        open_slide(whole.image_path, mpp=whole.mpp) as big,
        open_slide(part.image_path, mpp=part.mpp) as small,
    ):
        assert small.width * small.height < 0.9 * big.width * big.height
        far = part.adata.obsm["spatial"].max(axis=0)
        assert (far < [small.width, small.height]).all()
        x, y = (int(v) for v in np.median(part.adata.obsm["spatial"], axis=0))
        dx, dy = (round(v) for v in shift[0])
        there = big.read(x + dx - 20, y + dy - 20, 40, 40).astype(int)
        here = small.read(x - 20, y - 20, 40, 40).astype(int)
    assert there.std() > 3  # tissue, not glass: a wrong place would show
    assert np.abs(here - there).mean() < 3  # JPEG


def test_a_cut_section_is_the_section(hd, tmp_path):
    section = hd / "sections" / "S1"
    end_to_end.crop_section(section, tmp_path / "cut", 0.5)
    check_cut(section, tmp_path / "cut", 0.5)
    end_to_end.crop_section(section, tmp_path / "again", 0.5)
    for name in ("tissue_image.jpg", end_to_end.BINS / "spatial" / "tissue_positions.parquet"):
        assert (tmp_path / "again" / name).read_bytes() == (tmp_path / "cut" / name).read_bytes()


@pytest.mark.realdata
def test_a_cut_of_the_kidney_is_the_kidney(focus_data, tmp_path):
    section = focus_data / "visium_hd_kidney"
    assert end_to_end.section_size(section) == {"bins": 255_967, "genes": 18_084, "nonzeros": 25_176_221}
    end_to_end.crop_section(section, tmp_path / "cut", 0.05)
    check_cut(section, tmp_path / "cut", 0.05)


# --- the command ---------------------------------------------------------------------------------


def benchmark(*arguments: object) -> subprocess.CompletedProcess:
    command = [sys.executable, BENCHMARKS / "end_to_end.py", *arguments]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=300)


@pytest.fixture(scope="module")
def measured(hd, tmp_path_factory) -> tuple[Path, list[object], subprocess.CompletedProcess]:
    """Half a section through all four stages."""
    out = tmp_path_factory.mktemp("benchmark") / "out"
    options = ["--out", out, "--section", hd / "sections" / "S1", "--reference", hd / "reference.h5ad"]
    options += ["--max-steps", 2, "--layers", "std"]
    return out, options, benchmark(*options, "--fractions", "0.5")


def test_all_stages_are_measured(measured):
    out, _, run = measured
    assert run.returncode == 0, run.stderr
    records = json.loads((out / "results.json").read_text())["records"]
    assert [r["stage"] for r in records] == list(end_to_end.STAGES)
    enhanced = records[-1]
    assert enhanced["label"] == "enhance (X, std)"
    assert enhanced["shape"][1] > enhanced["genes"]  # genes beyond the panel are written too
    assert all(0 < r["peak_bytes"] < 3e9 and r["seconds"] > 0 for r in records)
    assert not list((out / "work" / "enhanced").iterdir())
    assert (out / "table.md").read_text().strip() == run.stdout.strip()
    assert not re.search(r"focus [^|`]*\s/", json.dumps([r["command"] for r in records]))


def kept_records(out: Path) -> dict[tuple, dict]:
    records = json.loads((out / "results.json").read_text())["records"]
    return {(r["label"], r["fraction"]): r for r in records}


def test_a_second_run_measures_only_what_is_missing(measured):
    out, options, _ = measured
    before = {(r["label"], r["fraction"]): r for r in json.loads((out / "results.json").read_text())["records"]}
    run = benchmark(*options, "--fractions", "1,0.5", "--stages", "preprocess")
    assert run.returncode == 0, run.stderr
    assert "preprocess of 0.5: measured before" in run.stderr
    after = {(r["label"], r["fraction"]): r for r in json.loads((out / "results.json").read_text())["records"]}
    assert set(after) - set(before) == {("preprocess", 1.0)}
    assert all(after[key] == value for key, value in before.items())
    assert rows(run.stdout)[-4][:2] == ["preprocess", "2"]


def test_refusals(hd, tmp_path):
    parse = lambda *more: end_to_end.parse(["--out", str(tmp_path / "out"), *more])  # noqa: E731
    for wrong in (["--fractions", "2"], ["--fractions", "half"], ["--fractions", ""], ["--stages", "trian"]):
        with pytest.raises(UsageError):
            parse(*wrong)
    section = ["--section", str(hd / "sections" / "S1")]
    with pytest.raises(MissingResourceError, match="filtered_feature_bc_matrix"):
        end_to_end.run(parse("--section", str(tmp_path)))
    with pytest.raises(MissingResourceError, match="no such reference"):
        end_to_end.run(parse(*section, "--reference", str(tmp_path / "none.h5ad")))
    assert not (tmp_path / "out").exists()
    with pytest.raises(MissingResourceError, match="no product of preprocess"):
        end_to_end.run(parse(*section, "--reference", str(hd / "reference.h5ad"), "--stages", "train"))
    run = benchmark("--out", tmp_path / "out", "--fractions", "2")
    assert run.returncode == EXIT_USAGE and "hint" in run.stderr and "Traceback" not in run.stderr

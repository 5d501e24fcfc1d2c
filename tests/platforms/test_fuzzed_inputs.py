"""Damaged input ends in a sample or in a refusal of one line, whatever the damage, on every layout.

`CASES` mutations on each of the simulated layouts (660 in all), and on the real folders where
``FOCUS_DATA`` has them. Each is drawn from its own seed, so that a failure can be repeated by its number.
``FOCUS_FUZZ`` raises the number on each layout.
"""

from __future__ import annotations

import faulthandler
import os
import resource
import shutil
import signal
import subprocess
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from mutations import mutate
from odd_words import ESCAPE
from raw_folders import write_aggregated, write_cells, write_flat, write_visium
from scipy import sparse

from focus_cli.cli import main as cli
from focus_cli.core import keys
from focus_cli.core.errors import EXIT_BAD_INPUT, EXIT_INTERNAL, FocusError
from focus_cli.core.storage import open_sample
from focus_cli.platforms import describe, read
from focus_cli.simulation import simulate
from focus_cli.simulation.arrays import PLATFORMS

pytestmark = pytest.mark.full

FEWEST = 500  # mutations that a run of this file must make
CASES = int(os.environ.get("FOCUS_FUZZ", 30))
SOAK = 280  # on each layout, behind the mark `slow`
LIMIT_S = 20
MOST_MEMORY = 1.5e9  # bytes that damaged files of a few hundred kB may take together
NATIVE = (
    *("visium_v1", "visium_v1_raw", "visium_v2", "visium_hd", "visium_hd_2um", "xenium", "cosmx", "merscope"),
    *("merscope_cellbound", "slideseq", "osmfish"),
)


# ---- layouts -------------------------------------------------------------------------------------------------


def _simulated(platform: str) -> Callable[[Path], Path]:
    def make(out: Path) -> Path:
        simulate(out, platform=platform, n_sections=1, size_um=600.0, n_genes=40, mpp=2.0, seed=1)
        raw = out / "sections" / "S1"
        for copy in (raw / "binned_outputs").rglob("*.png"):  # the same picture lies above
            copy.unlink()
        return raw

    return make


def _space_ranger_1(out: Path) -> Path:
    return write_visium(out / "outs", positions="1", matrix="folder", kind="raw", mpp=8.0).path


def _xenium_csv(out: Path) -> Path:
    raw = _simulated("xenium")(out)
    (raw / "cells.parquet").unlink()
    return raw


def _gem(out: Path) -> Path:
    from sequencing import Section

    from focus_cli.simulation import study
    from focus_cli.simulation.layouts.stereoseq import scatter, write_gem

    held: list[Section] = []
    write = study.write_section
    with patch.object(study, "write_section", lambda *a: held.append(a[2]) or write(*a)):
        _simulated("stereoseq")(out)
    (out / "gem").mkdir()
    write_gem(out / "gem" / "S1.tissue.gem.gz", held[0], scatter(held[0]))
    return out / "gem"


def _aggregated(out: Path) -> Path:
    raw = write_visium(out / "A", n_rows=12, n_cols=10, mpp=8.0, image=None)
    write_aggregated(out / "outs", {"A": raw})  # of several, one would have to be chosen
    return out / "outs"


def _flat(out: Path) -> Path:
    raw = write_visium(out / "raw", n_rows=12, n_cols=10, mpp=8.0, image=None, matrix="mtx.gz")
    write_flat(raw, out / "flat", "GSM1_A_", gz=False)
    return out / "flat"


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    **{platform: _simulated(platform) for platform in PLATFORMS},
    "visium (mtx, no header)": _space_ranger_1,
    "visium (aggregated)": _aggregated,
    "visium (flat)": _flat,
    "visium_hd (cells)": lambda out: write_cells(out / "outs")[0].path,
    "xenium (csv)": _xenium_csv,
    "stereoseq (gem)": _gem,
}


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Callable[[str], Path]:
    """The raw folder of a layout, made once; tests must not write into it."""
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            made[name] = LAYOUTS[name](tmp_path_factory.mktemp("layout") / "study")
        return made[name]

    return get


# ---- one case ------------------------------------------------------------------------------------------------


class Hang(BaseException):
    """Not an Exception: no reader may catch it."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    def ring(*_):
        raise Hang(f"longer than {seconds:g} s")

    former = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    # Compiled code that never returns hears no signal: the run ends there, and says where.
    faulthandler.dump_traceback_later(4 * seconds, exit=True, file=sys.__stderr__)
    try:
        yield
    finally:
        faulthandler.cancel_dump_traceback_later()
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)


def one_line(text: str) -> bool:
    return bool(text.strip()) and all(c.isprintable() or c == "\xa0" for c in text) and len(text) < 2000


def files_of(folder: Path) -> dict[str, tuple[int, int]]:
    return {
        str(p.relative_to(folder)): (p.lstat().st_size, p.lstat().st_mtime_ns if not p.is_dir() else 0)
        for p in sorted(folder.rglob("*"))
    }


def check_sample(sample) -> None:
    adata = sample.adata
    assert sparse.issparse(adata.X) and adata.X.format == "csr" and adata.X.dtype == np.float32
    assert np.isfinite(adata.X.data).all() and (adata.X.data >= 0).all()
    assert adata.obs_names.is_unique and adata.var_names.is_unique
    assert np.isfinite(adata.obsm[keys.SPATIAL]).all() and np.isfinite(adata.obsm[keys.SPATIAL_UM]).all()
    assert np.isfinite(sample.mpp) and sample.mpp > 0
    assert np.isfinite([sample.footprint.size_um, sample.footprint.pitch_um, sample.image_scale]).all()
    assert all(map(one_line, sample.warnings)), sample.warnings


def check_read(raw: Path, platform: str) -> str:
    try:
        check_sample(read(raw, platform))
    except FocusError as error:
        assert one_line(error.message) and one_line(error.hint or "none"), error.message
        return "refused"
    return "read"


def check_describe(raw: Path) -> str:
    try:
        report = describe(raw)
    except FocusError as error:
        assert one_line(error.message) and one_line(error.hint or "none"), error.message
        return "refused"
    said = [*report["warnings"], *report["evidence"], *(p["message"] for p in report["problems"])]
    assert all(map(one_line, said)), said
    return "refused" if report["problems"] else "read"


def check_preprocess(raw: Path, out: Path, capsys) -> str:
    """The command as it is typed: an exit code, one line and a hint, and a folder that is whole or not there."""
    arguments = ["focus", "preprocess", str(raw), "--out", str(out), "--sample", "S1", "--step-um", "32"]
    capsys.readouterr()
    with patch.object(sys, "argv", arguments), pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr().err
    assert "Traceback" not in said and ended.value.code != EXIT_INTERNAL, said
    left = sorted(p.name for p in out.parent.iterdir())
    if ended.value.code:
        errors = [line for line in said.splitlines() if line.startswith("focus: error:")]
        assert len(errors) == 1 and one_line(errors[0]), said
        assert left == [], f"refused, and left {left}"
        return "refused"
    assert left == [out.name]
    stored = open_sample(out)
    assert stored.read().shape == (stored.info.n_locations, stored.info.n_genes)
    return "read"


@dataclass
class Case:
    """One mutation of one layout."""

    source: Path
    platform: str
    seed: int
    place: Path

    def run(self, capsys) -> tuple[str, str]:
        """What was done, and how it ended; anything but a sample or a refusal raises."""
        rng = np.random.default_rng([20240601, self.seed, sum(self.platform.encode())])
        raw, out, outside = (self.place / "a" / "b" / name for name in ("raw", "out", "outside"))
        for folder in (out, outside):
            folder.mkdir(parents=True)
        shutil.copytree(self.source, raw)
        done = mutate(raw, rng, outside)
        before = files_of(self.place)
        name = self.platform if rng.random() < 0.5 else "auto"
        try:
            with time_limit(LIMIT_S), warnings.catch_warnings(record=True) as warned:
                warnings.simplefilter("always")
                if self.seed % 6 == 0:
                    ending = check_preprocess(raw, out / "S1", capsys)
                elif self.seed % 6 < 3:
                    ending = check_describe(raw)
                else:
                    ending = check_read(raw, name)
            loud = [w for w in warned if not issubclass(w.category, (FutureWarning, DeprecationWarning))]
            assert not loud, f"{loud[0].category.__name__}: {loud[0].message} ({loud[0].filename}:{loud[0].lineno})"
            shutil.rmtree(out / "S1", ignore_errors=True)
            assert files_of(self.place) == before, "files were written, changed or removed outside the output"
            assert not Path(ESCAPE).exists() and not Path("~").exists()
        except BaseException as error:
            error.add_note(f"seed {self.seed}: {done}")
            raise
        return done, ending


def fuzz(source: Path, platform: str, seeds: range, tmp_path: Path, capsys, monkeypatch) -> Counter:
    """Run the cases of some seeds and fail with all faults at once."""
    empty = tmp_path / "empty"
    empty.mkdir()
    monkeypatch.chdir(empty)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    endings: Counter = Counter()
    faults = []
    for seed in seeds:
        place = tmp_path / f"case{seed}"
        try:
            endings[Case(source, platform, seed, place).run(capsys)[1]] += 1
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as error:
            faults.append("".join(traceback.format_exception(error, limit=-6)))
        shutil.rmtree(place, ignore_errors=True)
    assert not faults, f"{len(faults)} of {len(seeds)} cases:\n" + "\n".join(faults)
    assert not list(empty.iterdir()), "something was written into the working folder"
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < MOST_MEMORY, f"{grown / 1e9:.2f} GB for small damaged files"
    return endings


# ---- tests ---------------------------------------------------------------------------------------------------


def test_there_are_enough_cases():
    assert set(PLATFORMS) <= set(LAYOUTS)
    assert len(LAYOUTS) * CASES >= FEWEST


@pytest.mark.parametrize("name", LAYOUTS)
def test_damage_is_read_or_refused(name, layout, tmp_path, capsys, monkeypatch):
    endings = fuzz(layout(name), name.split()[0], range(CASES), tmp_path, capsys, monkeypatch)
    assert sum(endings.values()) == CASES
    # The damage is neither so small that nothing is noticed nor so large that nothing is left.
    assert endings["refused"] >= CASES // 8 and endings["read"] >= 1, endings


def test_a_hole_in_an_hdf5_heap_is_no_hang(layout, tmp_path):
    """HDF5 loops for ever over an object of no size; in a process of its own, which can be ended."""
    content = bytearray((layout("anndata") / "S1.h5ad").read_bytes())
    heap = content.index(b"GCOL") + 16
    content[heap : heap + 200] = bytes(200)
    (tmp_path / "S1.h5ad").write_bytes(content)
    code = "import sys; from focus_cli.cli.main import main; sys.argv = ['focus', 'inspect', sys.argv[1]]; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "S1.h5ad")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == EXIT_BAD_INPUT and "Traceback" not in done.stderr
    assert "truncated or damaged" in " ".join((done.stdout + done.stderr).split())


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYOUTS)
def test_soak(name, layout, tmp_path, capsys, monkeypatch):
    fuzz(layout(name), name.split()[0], range(10_000, 10_000 + SOAK), tmp_path, capsys, monkeypatch)


@pytest.mark.realdata
@pytest.mark.parametrize("name", NATIVE)
def test_damaged_real_folders(focus_data, name, tmp_path, capsys, monkeypatch):
    source = focus_data / "native" / name
    platform = next(p for p in ("visium_hd", *PLATFORMS) if name.startswith(p))
    endings = fuzz(source, platform, range(500, 500 + CASES // 3), tmp_path, capsys, monkeypatch)
    assert endings["refused"]

"""Thousands of damaged raw folders of every platform end in a sample or in a refusal of one line.

Each mutation is drawn from its own seed, and read in a process that is forked for a few of them, with a limit of time
and of memory: a crash of compiled code, an endless loop and an allocation without bound are found as well as a
traceback. ``FOCUS_MUTATIONS`` sets how many there are on each layout.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import shutil
import signal
import sys
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

sys.path.insert(0, str(Path(__file__).parents[1] / "platforms"))

import test_fuzzed_inputs as fuzzed
from mutations import mutate

from focus_cli.core.errors import FocusError
from focus_cli.platforms import describe, read

pytestmark = pytest.mark.attack

MUTATIONS = int(os.environ.get("FOCUS_MUTATIONS", 75))
FEWEST = 2000
CHUNK = 15  # mutations of one process
LIMIT_S = 30
MEMORY = 6 << 30  # bytes of address space beyond what the process has


# ---- layouts beyond those of the simulator ---------------------------------------------------------------------


def _table(n: int = 120, genes: int = 12) -> anndata.AnnData:
    rng = np.random.default_rng(0)
    adata = anndata.AnnData(sparse.csr_matrix(rng.poisson(2.0, (n, genes)).astype(np.float32)))
    adata.obs_names = [f"c{i}" for i in range(n)]
    adata.var_names = [f"Gene{j}" for j in range(genes)]
    adata.var["gene_ids"] = [f"ENSG{j:011d}" if j else "" for j in range(genes)]
    row, col = np.divmod(np.arange(n), 12)
    adata.obsm["spatial"] = np.column_stack([col * 30.0, row * 30.0])
    return adata


def _joined(out: Path) -> Path:
    both = anndata.concat({"left": _table(), "right": _table()}, label="library_id", index_unique="-")
    factors = {"scalefactors": {"microns_per_pixel": 0.5}, "images": {}}
    both.uns["spatial"] = {"left": factors, "right": factors}
    out.mkdir(parents=True)
    both.write_h5ad(out / "joined.h5ad")
    return out


def _named_columns(out: Path) -> Path:
    adata = _table()
    xy = adata.obsm.pop("spatial")
    adata.obs["X_centroid"], adata.obs["Y_centroid"], adata.obs["z"] = xy[:, 0], xy[:, 1], np.repeat([0, 1], 60)
    adata.obsm["spatial"] = pd.DataFrame(xy, columns=["imagecol", "imagerow"], index=adata.obs_names)
    out.mkdir(parents=True)
    adata.write_h5ad(out / "named.h5ad")
    return out


def _store(version: int) -> Callable[[Path], Path]:
    def make(out: Path) -> Path:
        before = anndata.settings.zarr_write_format
        anndata.settings.zarr_write_format = version
        try:
            _table().write_zarr(out / "S1.zarr")
        finally:
            anndata.settings.zarr_write_format = before
        return out

    return make


def _planes(out: Path) -> Path:
    out.mkdir(parents=True)
    adata = _table()
    cells = pd.DataFrame(adata.obsm["spatial"], columns=["center_x", "center_y"])
    cells.insert(0, "cell_id", list(adata.obs_names))
    cells = cells.assign(z=np.tile([0.0, 5.0], 60), fov=np.arange(120) // 30, sample="A")
    cells.to_csv(out / "cell_metadata.csv", index=False)
    pd.DataFrame(adata.X.toarray(), index=adata.obs_names, columns=adata.var_names).to_csv(out / "counts.csv")
    return out


def _two_tables(out: Path) -> Path:
    out.mkdir(parents=True)
    adata = _table()
    places = pd.DataFrame(adata.obsm["spatial"], columns=["imagecol", "imagerow"], index=adata.obs_names)
    places.assign(z=1.0, in_tissue=1).to_csv(out / "positions.tsv", sep="\t")
    pd.DataFrame(adata.X.toarray().T, index=adata.var_names, columns=adata.obs_names).to_csv(out / "counts.csv")
    return out


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    **fuzzed.LAYOUTS,
    "anndata (joined)": _joined,
    "anndata (named columns)": _named_columns,
    "anndata (store, format 2)": _store(2),
    "anndata (store, format 3)": _store(3),
    "merfish (planes)": _planes,
    "tables": _two_tables,
}


_REGIONS = {"anndata (joined)": "left", "merfish (planes)": "z=5"}


@pytest.fixture(scope="module")
def layout(tmp_path_factory) -> Callable[[str], Path]:
    made: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                made[name] = LAYOUTS[name](tmp_path_factory.mktemp("layout") / "study")
        return made[name]

    return get


# ---- one process of mutations ----------------------------------------------------------------------------------


def _one(source: Path, platform: str, seed: int, place: Path) -> str:
    """How one mutation ended: ``read``, ``refused``, or a report of the fault."""
    rng = np.random.default_rng([17, seed, sum(platform.encode())])
    raw, outside = place / "raw", place / "outside"
    outside.mkdir(parents=True)
    shutil.copytree(source, raw)
    done = [mutate(raw, rng, outside)]
    if rng.random() < 0.4:
        with suppress(Exception):  # the first damage may leave nothing that could be changed
            done.append(mutate(raw, rng, outside))
    options = {} if rng.random() < 0.3 else {"mpp": 0.5}
    if rng.random() < 0.8 and platform in _REGIONS:
        options["region"] = _REGIONS[platform]
    kind = platform.split()[0]
    if kind == "tables":
        options |= {"counts": "counts.csv", "positions": "positions.tsv", "mpp": 0.5}
    try:
        with fuzzed.time_limit(LIMIT_S):
            if rng.random() < 0.3:
                report = describe(raw, kind if kind == "tables" else "auto", **options)
                assert all(map(fuzzed.one_line, report["warnings"])), report["warnings"]
                return "refused" if report["problems"] else "read"
            fuzzed.check_sample(read(raw, kind if rng.random() < 0.6 or kind == "tables" else "auto", **options))
        return "read"
    except FocusError as error:
        if fuzzed.one_line(error.message) and fuzzed.one_line(error.hint or "none"):
            return "refused"
        return f"seed {seed}: {done}: not one line: {error.message!r}"
    except BaseException as error:
        return f"seed {seed}: {done}: " + "".join(traceback.format_exception(error, limit=-5))


def _work(source: Path, platform: str, seeds: list[int], place: Path, answers) -> None:
    held = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
    resource.setrlimit(resource.RLIMIT_AS, (held + MEMORY, held + MEMORY))
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    warnings.simplefilter("ignore")
    for seed in seeds:
        answers.send((seed, _one(source, platform, seed, place / str(seed))))
        shutil.rmtree(place / str(seed), ignore_errors=True)
    answers.close()


def run(source: Path, platform: str, seeds: list[int], place: Path) -> Counter:
    """The endings of mutations; the process of a chunk that dies or hangs is reported with the seed it was at."""
    context = multiprocessing.get_context("fork")
    endings: Counter = Counter()
    for start in range(0, len(seeds), CHUNK):
        left = seeds[start : start + CHUNK]
        while left:
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=_work, args=(source, platform, left, place, theirs))
            worker.start()
            theirs.close()
            while left:
                try:
                    seed, ending = ours.recv() if ours.poll(4 * LIMIT_S) else (None, "hang")
                except EOFError:
                    seed, ending = None, f"died with exit code {worker.join(5) or worker.exitcode}"
                if seed is None:
                    worker.kill()
                    endings[f"seed {left[0]}: {ending}"] += 1
                    left = left[1:]
                    break
                endings[ending] += 1
                left = left[1:]
            worker.join(60)
            ours.close()
    return endings


# ---- tests -----------------------------------------------------------------------------------------------------


def test_there_are_enough():
    assert len(LAYOUTS) * MUTATIONS >= FEWEST


@pytest.mark.parametrize("name", LAYOUTS)
def test_mutations_are_read_or_refused(name, layout, tmp_path):
    endings = run(layout(name), name, list(range(MUTATIONS)), tmp_path)
    faults = [ending for ending in endings if ending not in ("read", "refused")]
    assert not faults, f"{len(faults)} of {MUTATIONS}:\n" + "\n".join(faults)
    assert sum(endings.values()) == MUTATIONS
    # A description that is damaged anywhere in a store makes all of it unreadable.
    assert endings["refused"] and (endings["read"] or "store" in name), endings

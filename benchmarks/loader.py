"""Training from a corpus: is the network fed, and does memory stay flat; and what every part costs.

python benchmarks/loader.py --out benchmarks/out/loader

Sections of the size of a Visium slide are made and packed. An index then names their shards again and again under other
names, until the corpus has the shape of ``--gigabytes``. See benchmarks/README.md for what the table says.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
import torch
import zarr
from scipy import sparse
from scipy.spatial import cKDTree

from focus_cli.core import keys
from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo, open_sample, write_sample
from focus_cli.core.storage.runs import runs
from focus_cli.histology.features.stream import NAMES
from focus_cli.model.conditioning import SampleData, load_sample_data
from focus_cli.model.conditioning.conditions import state_latents
from focus_cli.model.corpus import build_corpus, open_corpus
from focus_cli.model.corpus.counts import GAP, StoredCounts, store_counts
from focus_cli.model.corpus.curve import hilbert_order
from focus_cli.model.corpus.layout import SAMPLES, entry_path, read_json, to_json
from focus_cli.model.corpus.shards import ShardArray, ShardWriter, shard_path
from focus_cli.model.network import PRESETS, FocusNet
from focus_cli.model.priors import fit_prior
from focus_cli.model.training.config import TrainingConfig
from focus_cli.model.training.loop import make_optimiser, run_loop
from focus_cli.model.training.source import ViewSource
from focus_cli.model.training.views import ViewMaker

PITCH_UM, STEP_UM = 100.0, 8.0


def make_section(path: Path, seed: int, side: int, n_genes: int, n_values: int) -> None:
    """A stored sample: side² spots, about `n_values` counts each, image features as `focus preprocess` writes them."""
    rng = np.random.default_rng(seed)
    n = side**2
    xy = PITCH_UM * (np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) + 0.5)
    weight = np.sort(rng.pareto(1.2, n_genes))[::-1] + 0.01
    rows = []
    for _ in range(n):
        genes = np.unique(rng.choice(n_genes, 2 * n_values, p=weight / weight.sum()))[:n_values]
        rows.append(genes)
    indptr = np.concatenate([[0], np.cumsum([len(genes) for genes in rows])])
    values = rng.geometric(0.6, indptr[-1]).astype(np.float32)
    counts = sparse.csr_matrix((values, np.concatenate(rows), indptr), shape=(n, n_genes))
    var = pd.DataFrame(
        {keys.GENE_ID: [f"ENSG{j:011d}" for j in range(n_genes)]}, index=[f"G{j:05d}" for j in range(n_genes)]
    )
    obs = pd.DataFrame({keys.IN_TISSUE: 1}, index=[f"spot{i}" for i in range(n)])
    adata = anndata.AnnData(counts, obs=obs, var=var)
    adata.obsm[keys.SPATIAL], adata.obsm[keys.SPATIAL_UM] = 2 * xy, xy
    info = SampleInfo(
        path.name, PlatformInfo("visium", resolution_um=55.0), 0.5, Footprint("circle", 55.0, PITCH_UM), n, n_genes
    )
    write_sample(path, info, adata, parts=[lambda folder: _write_raster(folder, side * PITCH_UM, rng)])


def _write_raster(folder: Path, side_um: float, rng: np.random.Generator) -> None:
    n = int(side_um / STEP_UM)
    group = zarr.open_group(store=str(folder / keys.MORPHOLOGY_ZARR), mode="w", zarr_format=3)
    smooth = np.cumsum(rng.normal(0, 0.05, (n, n, len(NAMES))), axis=0)
    group.create_array("features", data=smooth.astype(np.float16), chunks=(64, 64, len(NAMES)))
    group.create_array("tissue", data=np.ones((n, n), np.float32))
    group.attrs.update(origin_um=[0.0, 0.0], step_um=STEP_UM, names=list(NAMES), version=1)


def name_again(corpus: Path, n_bytes: float) -> tuple[int, float]:
    """Describe the samples again under other names until they have this size; samples in all, and bytes."""
    originals = [read_json(entry_path(corpus, s.info.sample_id)) for s in open_corpus(corpus)]
    size = np.array([sum(shard["bytes"] for shard in entry["shards"]) for entry in originals])
    total, number = float(size.sum()), 0
    while total < n_bytes:
        entry = originals[number % len(originals)]
        sample_id = f"again{number:06d}"
        entry = entry | {"sample": entry["sample"] | {"sample_id": sample_id}}
        (corpus / SAMPLES / f"{sample_id}.json").write_text(to_json(entry))
        total += float(size[number % len(originals)])
        number += 1
    return number + len(originals), total


def in_memory(data: SampleData) -> SampleData:
    """The sample with its image features in memory as well, as the numbers that they are."""
    for raster in data.raster.rasters:
        raster._features = raster.rows(0, raster.shape[0])
    return data


def memory_mb() -> tuple[float, float]:
    """Anonymous memory and proportional share of this process, MB."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()[1:]
    read = {line.split(":")[0]: float(line.split()[1]) / 1e3 for line in lines}
    return read["Anonymous"], read["Pss"]


def steps_per_second(source: ViewSource, sizes: tuple, prior, config: TrainingConfig, seed: int) -> float:
    """Steps of the loop as it is, with its views drawn ahead."""
    torch.manual_seed(0)
    net = FocusNet(PRESETS["nano"].model_copy(update={"n_features": sizes[0], "n_factors": prior.n_factors}))
    with torch.no_grad():
        net.depth_map.bias.fill_(8.0)
    start = time.perf_counter()
    run_loop(net.train(), make_optimiser(net, config), source, config, seed)
    return config.max_steps / (time.perf_counter() - start)


def windows_per_format(work: Path, counts: sparse.csr_matrix, xy: np.ndarray) -> dict[str, float]:
    """Milliseconds per million counts of windows of 512 spots, and bytes per count: our shards, and zarr v3 shards.

    Every one lies on the same disk and was just written, so that it is in the page cache.
    """
    order = hilbert_order(xy)
    writer = ShardWriter(work / "plain")
    store_counts(writer, counts, order)
    writer.flush()
    paths = [shard_path(work / "plain", shard["sha256"]) for shard in writer.shards]
    plain = StoredCounts({name: ShardArray(paths, a) for name, a in writer.arrays.items()}, counts.shape[1])
    group = zarr.open_group(store=str(work / "zarr"), mode="w", zarr_format=3)
    ordered = counts[order]
    for name, values in (("columns", ordered.indices.astype(np.uint16)), ("values", ordered.data.astype(np.uint8))):
        made = group.create_array(name, shape=values.shape, dtype=values.dtype, chunks=(2**16,), shards=(2**22,))
        made[:] = values
    tree, rng = cKDTree(xy), np.random.default_rng(0)
    windows = [np.sort(tree.query(xy[rng.integers(len(xy))], k=512)[1]) for _ in range(10)]
    place = np.argsort(order)
    seconds = {"shards": 0.0, "zarr": 0.0}
    for window in windows:
        start = time.perf_counter()
        expected = plain[window]
        seconds["shards"] += time.perf_counter() - start
        start = time.perf_counter()
        stored = np.sort(place[window])
        for first, last in runs(stored, ordered.indptr.astype(np.int64), GAP):
            for name in ("columns", "values"):
                group[name][ordered.indptr[first] : ordered.indptr[last]]
        seconds["zarr"] += time.perf_counter() - start
        assert (expected != counts[window]).nnz == 0
    read = sum(counts[window].nnz for window in windows) / 1e6
    sizes = {
        name: sum(f.stat().st_size for f in (work / folder).rglob("*") if f.is_file()) / counts.nnz
        for name, folder in (("shards", "plain"), ("zarr", "zarr"))
    }
    return {
        "window from shards, ms per million counts": 1e3 * seconds["shards"] / read,
        "window from zarr v3 with shards, ms per million counts": 1e3 * seconds["zarr"] / read,
        "shards, bytes per count": sizes["shards"],
        "zarr v3 with shards, bytes per count": sizes["zarr"],
    }


def reference_costs(work: Path, n_cells: int, n_genes: int, n_values: int) -> dict[str, float]:
    """Seconds per million cells of ``focus reference``, and its peak memory, on a file of `n_cells`."""
    rng = np.random.default_rng(0)
    indices = np.sort(rng.integers(0, n_genes, (n_cells, n_values)), axis=1).astype(np.int32).ravel()
    x = sparse.csr_matrix(
        (rng.geometric(0.6, len(indices)).astype(np.float32), indices, np.arange(n_cells + 1) * n_values),
        shape=(n_cells, n_genes),
    )
    x.sum_duplicates()
    var = pd.DataFrame(index=[f"GENE{j}" for j in range(n_genes)])
    obs = pd.DataFrame({"cell_type": rng.choice(["A", "B", "C"], n_cells)}, index=[f"cell{i}" for i in range(n_cells)])
    anndata.AnnData(x, obs=obs, var=var).write_h5ad(work / "cells.h5ad", compression="gzip")
    size = (work / "cells.h5ad").stat().st_size
    command = [
        sys.executable,
        "-m",
        "focus_cli",
        "reference",
        str(work / "cells.h5ad"),
        "--out",
        str(work / "reference"),
    ]
    del x, indices
    start = time.perf_counter()
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return {
        "reference, s in all": time.perf_counter() - start,
        "reference, peak memory, MB": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3,
        "reference, file, MB": size / 1e6,
        "reference, file, bytes per cell": size / n_cells,
    }


def main() -> None:
    """Measure, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/out/loader"))
    parser.add_argument("--sections", type=int, default=6)
    parser.add_argument("--side", type=int, default=55, help="spots along each side of a section")
    parser.add_argument("--genes", type=int, default=18000)
    parser.add_argument("--values", type=int, default=3000, help="counts per spot")
    parser.add_argument("--gigabytes", type=float, default=100.0, help="shape of the corpus")
    parser.add_argument("--steps", type=int, default=48, help="of each timing")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--draws", type=int, default=300, help="views drawn while memory is watched")
    parser.add_argument("--keep-bytes", type=float, default=2**28, help="of makers that are kept; training keeps 2 GiB")
    parser.add_argument("--cells", type=int, default=100_000, help="of the reference")
    parser.add_argument("--keep", action="store_true", help="leave samples and corpus")
    options = parser.parse_args()
    work = options.out / "work"
    shutil.rmtree(work, ignore_errors=True)
    rows: dict[str, float] = {}

    folders = [work / "samples" / f"S{i}" for i in range(options.sections)]
    for seed, folder in enumerate(folders):
        make_section(folder, seed, options.side, options.genes, options.values)
    n_spots = options.sections * options.side**2
    start = time.perf_counter()
    build_corpus(folders, work / "corpus")
    seconds = time.perf_counter() - start
    size = sum(file.stat().st_size for file in (work / "corpus").rglob("*.safetensors"))
    rows["packing, s per million spots"] = seconds / n_spots * 1e6
    rows["packed, bytes per spot"] = size / n_spots
    rows["packed, MB/s written"] = size / seconds / 1e6

    loaded = [load_sample_data(open_sample(folder)) for folder in folders]
    rows["sample folder, bytes per spot"] = (
        sum(f.stat().st_size for folder in folders for f in folder.rglob("*") if f.is_file()) / n_spots
    )
    resident = [in_memory(data) for data in loaded]
    prior = fit_prior([(d.genes, d.counts, d.xy_um, PITCH_UM) for d in resident[:1]], 32)
    states = state_latents(None, prior)
    config = TrainingConfig(max_steps=options.steps)

    packed = {s.info.sample_id: s for s in open_corpus(work / "corpus")}
    n_samples, n_bytes = name_again(work / "corpus", options.gigabytes * 1e9)
    start = time.perf_counter()
    everything = open_corpus(work / "corpus")
    rows["corpus, samples"], rows["corpus, GB in shape"] = n_samples, n_bytes / 1e9
    rows["opening the corpus, s"] = time.perf_counter() - start

    def maker(data: SampleData) -> ViewMaker:
        return ViewMaker(data, prior, states, config)

    memory = ViewSource.of([maker(data) for data in resident])
    stream = ViewSource([s.n_measured for s in everything], lambda i: maker(everything[i].load()), options.keep_bytes)

    for name, source in (("in memory", memory), ("from the corpus", stream)):
        times = []
        for i in range(12):
            start = time.perf_counter()
            source.draw(np.random.default_rng(i))
            times.append(time.perf_counter() - start)
        rows[f"view {name}, ms"] = 1e3 * float(np.median(times[2:]))
    start, read = time.perf_counter(), 0
    for sample in packed.values():
        data = sample.load()
        data.counts[np.arange(data.counts.shape[0])]
        data.raster.rasters[0].rows(0, data.raster.rasters[0].shape[0])
        read += sum(s["bytes"] for s in read_json(entry_path(work / "corpus", sample.info.sample_id))["shards"])
    rows["reading from the corpus, MB/s"] = read / (time.perf_counter() - start) / 1e6
    start = time.perf_counter()
    for i in range(20):
        maker(everything[-1 - i].load())
    rows["making a maker, ms"] = 50 * (time.perf_counter() - start)

    rates: dict[str, list[float]] = {"memory": [], "corpus": []}
    for repeat in range(options.repeats):
        for name, source in (("memory", memory), ("corpus", stream)):
            rates[name].append(steps_per_second(source, (resident[0].n_features,), prior, config, repeat))
    for name, measured in rates.items():
        rows[f"steps/s, {name}"] = float(np.median(measured))
    rows["step rate, corpus / memory"] = float(np.median(np.divide(rates["corpus"], rates["memory"])))

    counts, xy = resident[0].counts, resident[0].xy_um
    del memory, resident, loaded
    anonymous, share = [], []
    for i in range(options.draws):
        stream.draw(np.random.default_rng([1, i]))
        if i % 5 == 0:
            a, p = memory_mb()
            anonymous.append(a)
            share.append(p)
    half = len(anonymous) // 2
    rows["anonymous memory, second quarter, MB"] = max(anonymous[half // 2 : half])
    rows["anonymous memory, last quarter, MB"] = max(anonymous[half + half // 2 :])
    rows["PSS, second quarter, MB"] = max(share[half // 2 : half])
    rows["PSS, last quarter, MB"] = max(share[half + half // 2 :])

    rows |= windows_per_format(work, counts, xy)
    rows |= reference_costs(work, options.cells, options.genes, options.values // 2)
    table = "| | |\n|---|---|\n" + "".join(f"| {name} | {value:,.4g} |\n" for name, value in rows.items())
    print(table)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "table.md").write_text(table)
    settings = {name: str(value) for name, value in vars(options).items()}
    (options.out / "results.json").write_text(json.dumps({"settings": settings, "rows": rows}, indent=2) + "\n")
    if not options.keep:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()

"""How fast the nano model infers and trains, and how far its memory grows.

    python benchmarks/speed.py --out benchmarks/out/speed.json

A square tissue of spots with counts over 2,000 genes and an image is drawn; a nano model is trained on it for some
steps; then locations are inferred, decoded and written for all genes, at two sizes. Every figure is of this one run.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

N_GENES = 2000
FEATURES = 57


def make_sample(folder: Path, side: int, seed: int = 0) -> Path:
    """Store side² spots, 100 µm apart: counts from six smooth factors, as many image features as H&E has."""
    import anndata
    import numpy as np
    import pandas as pd
    import zarr
    from scipy import ndimage, sparse

    from focus_cli.core import keys
    from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo, write_sample

    rng = np.random.default_rng(seed)
    xy = 100.0 * (np.stack(np.meshgrid(np.arange(side), np.arange(side)), axis=-1).reshape(-1, 2) + 0.5)
    maps = ndimage.gaussian_filter(rng.standard_normal((6, side, side)), (0, 4, 4), mode="wrap")
    factors = (maps / maps.std(axis=(1, 2), keepdims=True)).reshape(6, -1).T
    rate = np.exp(rng.normal(0, 1, N_GENES) + 0.4 * factors @ rng.standard_normal((6, N_GENES)))
    counts = sparse.csr_matrix(rng.poisson(3000 * rate / rate.sum(axis=1, keepdims=True)).astype(np.float32))
    names = [f"GENE{j:05d}" for j in range(N_GENES)]
    obs = pd.DataFrame({keys.IN_TISSUE: 1}, index=[f"spot{i:06d}" for i in range(side**2)])
    obs[keys.TOTAL_COUNTS] = np.asarray(counts.sum(axis=1)).ravel()
    adata = anndata.AnnData(counts, obs=obs, var=pd.DataFrame({keys.GENE_ID: ""}, index=names))
    adata.obsm[keys.SPATIAL], adata.obsm[keys.SPATIAL_UM] = xy, xy
    step = 16.0
    n = int(np.ceil(side * 100 / step))
    image = ndimage.zoom(maps[:, :, :], (1, n / side, n / side), order=1)
    mixed = np.einsum("fyx,fk->yxk", image, rng.standard_normal((6, FEATURES))) + rng.normal(0, 0.5, (n, n, FEATURES))

    def raster(folder: Path) -> None:
        group = zarr.open_group(store=str(folder / keys.MORPHOLOGY_ZARR), mode="w", zarr_format=3)
        group.create_array("features", data=mixed.astype(np.float16), chunks=(64, 64, FEATURES))
        group.create_array("tissue", data=np.ones((n, n), np.float32))
        group.attrs.update(origin_um=[0.0, 0.0], step_um=step, names=[f"f{i}" for i in range(FEATURES)], version=1)

    platform, footprint = PlatformInfo("visium", resolution_um=55.0), Footprint("circle", 55.0, 100.0)
    info = SampleInfo(f"side{side}", platform, 1.0, footprint, *adata.shape)
    write_sample(folder / f"side{side}", info, adata, parts=[raster])
    return folder / f"side{side}"


def measure_training(sample: Path, out: Path, steps: int) -> dict:
    """Train; how much of the loop's time is spent in the loss, its gradient and the optimiser's step."""
    import torch

    from focus_cli.model.network import PRESETS
    from focus_cli.model.training import fit, loop
    from focus_cli.model.training.stage import train

    spent = {"network": 0.0, "loop": 0.0}

    def timed(function, name):
        def call(*args, **options):
            start = time.perf_counter()
            try:
                return function(*args, **options)
            finally:
                spent[name] += time.perf_counter() - start

        return call

    loop.compute_losses = timed(loop.compute_losses, "network")
    fit.run_loop = timed(fit.run_loop, "loop")
    torch.Tensor.backward = timed(torch.Tensor.backward, "network")
    torch.optim.AdamW.step = timed(torch.optim.AdamW.step, "network")
    train([sample], out, max_steps=steps, device="cpu")
    return {
        "steps": steps,
        "steps_per_s": steps / spent["loop"],
        "share_in_network": spent["network"] / spent["loop"],
        "width": PRESETS["nano"].width,
    }


def measure_inference(sample: Path, model: Path, out: Path) -> dict:
    """Infer and write every gene; the clock runs from the sample in memory to the closed file."""
    from focus_cli.core.storage import open_sample
    from focus_cli.enhancement import stage
    from focus_cli.model.training import load_model

    options = stage.EnhanceOptions(layers=("mean_counts", "std"))
    stored, trained = open_sample(sample), load_model(model)
    start = time.perf_counter()
    run = stage.Inference(stored, trained, None, options)
    middle = time.perf_counter()
    run.write_locations(out, {}, True)
    end = time.perf_counter()
    n = stored.info.n_locations
    return {
        "locations": n,
        "genes": stored.info.n_genes,
        "infer_s": middle - start,
        "write_s": end - middle,
        "locations_per_s": n / (end - start),
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def main() -> None:
    """Each measurement is a process of its own, so that peaks are its own."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sides", default="100,200", help="spots along each side of the tissues")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--part", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        what, sample, model, result = options.part
        done = (
            measure_training(Path(sample), Path(model), options.steps)
            if what == "train"
            else measure_inference(Path(sample), Path(model), Path(result).with_suffix(".h5ad"))
        )
        Path(result).write_text(json.dumps(done))
        return
    results = {"cpus": os.cpu_count(), "threads": os.environ.get("OMP_NUM_THREADS", "default"), "inference": []}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        samples = [make_sample(folder, int(side)) for side in options.sides.split(",")]
        model = folder / "model"
        for what, sample in [("train", samples[0]), *(("infer", s) for s in samples)]:
            result = folder / f"{what}.json"
            command = [sys.executable, __file__, "--out", str(options.out), "--steps", str(options.steps)]
            subprocess.run([*command, "--part", what, str(sample), str(model), str(result)], check=True)
            done = json.loads(result.read_text())
            print(what, json.dumps(done))
            if what == "train":
                results["training"] = done
            else:
                results["inference"].append(done)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()

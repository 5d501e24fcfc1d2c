"""What reading a Visium HD section costs, next to scanpy reading the same matrix and positions.

    python benchmarks/reading.py
    python benchmarks/reading.py --raw outs/ --runs 9

Each reading is a fresh process that has read a tiny simulated section before the clock starts, so that all code is
loaded; the two alternate, so that a machine that others use is slow for both. Ours includes all that
`focus_cli.platforms.read` does: every check, µm per pixel, the thumbnails. Memory is the peak of the resident set
beyond what it was at the start, next to the sparse matrix in the result (data, indices and indptr).
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parents[1]
MOST_TIME, MOST_MEMORY = 1.3, 1.5
SQUARE = "binned_outputs/square_008um"


def resident(field: str) -> int:
    """``VmRSS`` (now) or ``VmHWM`` (peak) of this process, in bytes."""
    with open("/proc/self/status", encoding="ascii") as status:
        return next(int(line.split()[1]) * 1024 for line in status if line.startswith(field))


def read_by_focus(raw: Path):
    from focus_cli.platforms import read

    return read(raw, "visium_hd", bin_um=8).adata.X


def read_by_scanpy(raw: Path):
    import pandas as pd
    import scanpy as sc

    adata = sc.read_10x_h5(raw / SQUARE / "filtered_feature_bc_matrix.h5")
    table = pd.read_parquet(raw / SQUARE / "spatial" / "tissue_positions.parquet").set_index("barcode")
    adata.obs = adata.obs.join(table)
    return adata.X


READERS = {"focus": read_by_focus, "scanpy": read_by_scanpy}


def one(name: str, raw: Path, tiny: Path) -> dict[str, float]:
    """Read once in this process: seconds, peak bytes beyond the start, bytes of the sparse matrix."""
    READERS[name](tiny)
    gc.collect()
    start = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    clock = time.perf_counter()
    matrix = READERS[name](raw)
    seconds = time.perf_counter() - clock
    held = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    return {"seconds": seconds, "bytes": resident("VmHWM") - start, "matrix": held}


def measured(raw: Path, runs: int) -> dict[str, list[dict[str, float]]]:
    """Every run of every reader."""
    from focus_cli.simulation import simulate

    found: dict[str, list[dict[str, float]]] = {name: [] for name in READERS}
    with tempfile.TemporaryDirectory() as scratch:
        study = simulate(Path(scratch) / "study", platform="visium_hd", n_sections=1, size_um=600.0, n_genes=40)
        for _ in range(runs):
            for name in READERS:
                command = [sys.executable, __file__, "--raw", raw, "--one", name, "--tiny", study / "sections" / "S1"]
                output = subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True).stdout
                found[name].append(json.loads(output.splitlines()[-1]))
                print(f"{name}: {found[name][-1]}", file=sys.stderr, flush=True)
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("FOCUS_DATA", REPO.parent / "shared" / "data"))
    parser.add_argument("--raw", type=Path, default=data / "visium_hd_kidney", help="folder above binned_outputs")
    parser.add_argument("--runs", type=int, default=5, help="readings by each")
    parser.add_argument("--one", choices=sorted(READERS), help=argparse.SUPPRESS)
    parser.add_argument("--tiny", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.raw, options.tiny)))
        return 0
    found = measured(options.raw, options.runs)

    def median(name: str, field: str) -> float:
        return statistics.median(run[field] for run in found[name])

    print("| | seconds | peak MB | matrix MB | peak / matrix |\n|---|---:|---:|---:|---:|")
    for name in READERS:
        seconds, peak, held = (median(name, field) for field in ("seconds", "bytes", "matrix"))
        print(f"| {name} | {seconds:.2f} | {peak / 1e6:.0f} | {held / 1e6:.0f} | {peak / held:.2f} |")
    time_ratio = median("focus", "seconds") / median("scanpy", "seconds")
    memory_ratio = median("focus", "bytes") / median("focus", "matrix")
    kept = time_ratio <= MOST_TIME and memory_ratio <= MOST_MEMORY
    print(f"\ntime: {time_ratio:.2f} × scanpy's, at most {MOST_TIME}")
    print(f"peak: {memory_ratio:.2f} × the matrix, at most {MOST_MEMORY}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

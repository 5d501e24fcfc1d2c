"""What reading a Visium HD section costs, next to scanpy reading the same matrix and positions.

    python benchmarks/reading.py
    python benchmarks/reading.py --raw outs/ --runs 9

Each reading is a fresh process that has imported everything before the clock starts; the two alternate, so that
a machine that others use is slow for both. Ours includes all that `focus_cli.platforms.read` does: every check,
µm per pixel, the thumbnails. Memory is the peak of the resident set beyond what it was after the imports, as
multiples of the sparse matrix in the result (data, indices and indptr).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
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


def one(name: str, raw: Path) -> dict[str, float]:
    """Read once in this process: seconds, peak bytes beyond the start, bytes of the sparse matrix."""
    import anndata  # noqa: F401
    import h5py  # noqa: F401
    import pyarrow.parquet  # noqa: F401

    if name == "scanpy":
        import scanpy  # noqa: F401
    else:
        import PIL.Image
        import scipy.spatial
        import tifffile  # noqa: F401

        import focus_cli.platforms.visium_hd  # noqa: F401

        PIL.Image.init()
    start = resident("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
    clock = time.perf_counter()
    matrix = READERS[name](raw)
    seconds = time.perf_counter() - clock
    held = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    return {"seconds": seconds, "bytes": resident("VmHWM") - start, "matrix": held}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    data = Path(os.environ.get("FOCUS_DATA", REPO.parent / "shared" / "data"))
    parser.add_argument("--raw", type=Path, default=data / "visium_hd_kidney", help="folder above binned_outputs")
    parser.add_argument("--runs", type=int, default=5, help="readings by each")
    parser.add_argument("--one", choices=sorted(READERS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(one(options.one, options.raw)))
        return 0
    found: dict[str, list[dict[str, float]]] = {name: [] for name in READERS}
    for _ in range(options.runs):
        for name in READERS:
            command = [sys.executable, __file__, "--raw", str(options.raw), "--one", name]
            output = subprocess.run(command, check=True, capture_output=True, text=True, cwd=REPO).stdout
            found[name].append(json.loads(output.splitlines()[-1]))
            print(f"{name}: {found[name][-1]}", file=sys.stderr, flush=True)

    def median(name: str, field: str) -> float:
        return statistics.median(run[field] for run in found[name])

    print("| | seconds | peak MB | matrix MB | peak / matrix |\n|---|---:|---:|---:|---:|")
    for name in READERS:
        seconds, peak, held = (median(name, field) for field in ("seconds", "bytes", "matrix"))
        print(f"| {name} | {seconds:.2f} | {peak / 1e6:.0f} | {held / 1e6:.0f} | {peak / held:.2f} |")
    time_ratio = median("focus", "seconds") / median("scanpy", "seconds")
    memory_ratio = median("focus", "bytes") / median("focus", "matrix")
    kept = time_ratio <= MOST_TIME and memory_ratio <= MOST_MEMORY
    print(f"\ntime {time_ratio:.2f} × scanpy (at most {MOST_TIME}), peak {memory_ratio:.2f} × matrix (at most {MOST_MEMORY})")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

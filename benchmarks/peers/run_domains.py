"""Run a published method of spatial domains, in an environment of its own; see the README beside this file.

python benchmarks/peers/run_domains.py banksy --sample prepared.h5ad --n-domains 5 --out labels.tsv

The sample is an .h5ad with raw counts in X (CSR), obsm["spatial_um"] and, for leiden, obsm["vectors"].
"""

from __future__ import annotations

import argparse
import importlib
import time
from importlib.metadata import version
from pathlib import Path

METHODS = ("leiden", "banksy", "spagcn", "graphst")


def main() -> None:
    """Read, cluster, write location → label, with the method's version and seconds in the first line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--sample", type=Path, required=True)
    parser.add_argument("--n-domains", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    import anndata
    import pandas as pd

    sample = anndata.read_h5ad(options.sample)
    peer = importlib.import_module(f"peer_{options.method}")
    started = time.perf_counter()
    labels = peer.domains(sample, options.n_domains, options.seed)
    seconds = time.perf_counter() - started
    table = pd.DataFrame({"location": sample.obs_names, "domain": labels})
    options.out.parent.mkdir(parents=True, exist_ok=True)
    head = f"# {peer.PACKAGE} {version(peer.PACKAGE)}, {seconds:.1f} s, seed {options.seed}\n"
    options.out.write_text(head + table.to_csv(sep="\t", index=False))


if __name__ == "__main__":
    main()

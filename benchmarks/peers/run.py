"""Run a published method on a FOCUS sample, in an environment of its own; see the README beside this file.

python benchmarks/peers/run.py magic --observed SAMPLE --genes genes.txt --out est.h5ad
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import time
import uuid
from importlib.metadata import version
from pathlib import Path
from typing import Any, NoReturn

METHODS = {"magic": "peer_magic", "scvi": "peer_scvi", "gimvi": "peer_gimvi", "tangram": "peer_tangram"}
NEEDS_REFERENCE = ("gimvi", "tangram")
EXIT_MISTAKE = 2


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        _stop(message)


def _stop(message: str) -> NoReturn:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(EXIT_MISTAKE)


def _seed(text: str) -> int:
    value = int(text)
    if not 0 <= value < 2**32:
        raise ValueError
    return value


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = _Parser(description="Run a published method on a FOCUS sample.", allow_abbrev=False)
    parser.add_argument("method", choices=METHODS)
    parser.add_argument("--observed", required=True, type=Path, help="sample folder that the method may see")
    parser.add_argument("--reference", type=Path, help="reference folder; for " + " and ".join(NEEDS_REFERENCE))
    parser.add_argument("--genes", required=True, type=Path, help="genes that will be scored, one per line")
    parser.add_argument("--out", required=True, type=Path, help="estimate to write, .h5ad")
    parser.add_argument("--seed", type=_seed, default=0)
    parser.add_argument("--overwrite", action="store_true")
    options = parser.parse_args(argv)
    if options.method in NEEDS_REFERENCE and options.reference is None:
        _stop(f"{options.method} needs --reference")
    if options.out.suffix != ".h5ad":
        _stop(f"--out must end in .h5ad: {options.out}")
    if options.out.exists() and not options.overwrite:
        _stop(f"output exists: {options.out}; pass --overwrite to replace it")
    return options


def _write(estimate: Any, sample: Any, about: dict[str, Any], out: Path) -> None:
    """Write the estimate under another name, then rename it: `out` is whole or not there."""
    import anndata
    import numpy as np
    import pandas as pd

    table = anndata.AnnData(
        estimate.values,
        obs=pd.DataFrame(index=sample.obs_names),
        var=pd.DataFrame(index=estimate.genes),
        obsm={"spatial_um": np.asarray(sample.obsm["spatial_um"])} if "spatial_um" in sample.obsm else {},
        uns={"peer": about},
    )
    temporary = out.with_name(f".{out.stem}.{uuid.uuid4().hex[:8]}.tmp{out.suffix}")
    try:
        table.write_h5ad(temporary, compression="gzip")
        os.replace(temporary, out)
    finally:
        temporary.unlink(missing_ok=True)


def run(options: argparse.Namespace) -> None:
    """Read, run the method, write.

    Raises
    ------
    PeerError
        If an input cannot be used.
    """
    from peer_data import PeerError, read_genes, read_reference, read_sample

    genes, sample = read_genes(options.genes), read_sample(options.observed)
    reference = read_reference(options.reference) if options.method in NEEDS_REFERENCE else None
    try:
        options.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PeerError(f"cannot write {options.out}: {error}") from error
    try:
        peer = importlib.import_module(METHODS[options.method])
    except ImportError as error:
        raise PeerError(f"{options.method} is not installed here ({error}); see benchmarks/peers/README.md") from error
    started = time.perf_counter()
    try:
        estimate = peer.estimate(sample, reference, genes, options.seed)
    except SystemExit as stopped:
        # Lightning answers a termination with SystemExit and no code, which would read as success.
        raise PeerError(f"{options.method} was stopped before its end") from stopped
    settings = {name: "none" if value is None else value for name, value in estimate.settings.items()}
    about = {
        "method": options.method,
        "package": peer.PACKAGE,
        "version": version(peer.PACKAGE),
        "settings": settings,
        "seed": options.seed,
        "seconds": time.perf_counter() - started,
        "threads": os.environ.get("OMP_NUM_THREADS", "unset"),
    }
    _write(estimate, sample, about, options.out)
    print(f"{options.method}: {len(estimate.genes)} of {len(genes)} genes, {about['seconds']:.1f} s → {options.out}")


def main(argv: list[str] | None = None) -> None:
    """Command line; an input mistake is one line and exit code 2."""
    options = _arguments(argv)
    from peer_data import PeerError

    try:
        run(options)
    except PeerError as error:
        _stop(str(error))


if __name__ == "__main__":
    main()

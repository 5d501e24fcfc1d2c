"""A prior on disk: safetensors and JSON, nothing that can run code. A model's folder holds one as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from focus_cli import keys
from focus_cli.errors import BadInputError
from focus_cli.priors.coexpression import SpatialPrior
from focus_cli.store import require_files
from focus_cli.store.tables import escape_cell

SCHEMA_VERSION = 1
TOP_GENES = 20  # of each sign of a factor, in the table for people
_ARRAYS = ("baseline", "level_error", "loadings", "reference_loadings", "measured", "in_reference", "variance")


def write_prior(folder: Path, prior: SpatialPrior, info: dict[str, Any]) -> None:
    """Write ``prior.json``, ``prior.safetensors`` and ``factors.tsv`` into a folder that exists."""
    arrays = {name: np.ascontiguousarray(getattr(prior, name)) for name in _ARRAYS}
    # safetensors' own save_file makes files that only their owner can read.
    (folder / keys.PRIOR_ARRAYS).write_bytes(save(arrays))
    names = {"genes": prior.genes.tolist(), "gene_ids": prior.gene_ids.tolist()}
    text = json.dumps({"schema_version": SCHEMA_VERSION, **info, **names}, sort_keys=True)
    (folder / keys.PRIOR_JSON).write_text(text + "\n", encoding="utf-8")
    (folder / keys.FACTORS_TSV).write_text(_factor_table(prior), encoding="utf-8")


def read_prior(path: Path) -> SpatialPrior:
    """Read the prior of a folder that ``focus prior`` or ``focus train`` wrote.

    Raises
    ------
    MissingResourceError
        If the folder or one of its files is not there.
    BadInputError
        If a file is damaged or of another version.
    """
    path = Path(path)
    require_files(path, (keys.PRIOR_JSON, keys.PRIOR_ARRAYS), "prior", "prior")
    try:
        named = json.loads((path / keys.PRIOR_JSON).read_text(encoding="utf-8"))
        if named["schema_version"] != SCHEMA_VERSION:
            raise BadInputError(
                f"{path} has a prior of schema version {named['schema_version']}, this FOCUS reads {SCHEMA_VERSION}"
            )
        genes, gene_ids = (np.array(named[name], dtype=str) for name in ("genes", "gene_ids"))
        found = load_file(path / keys.PRIOR_ARRAYS)
        # A shipped model holds its vectors in half precision.
        arrays = {name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in found.items()}
        arrays = {name: arrays[name] for name in _ARRAYS}
        sizes = {len(genes), len(gene_ids), *(len(a) for name, a in arrays.items() if name != "variance")}
        if len(sizes) > 1 or arrays["loadings"].shape[1] != len(arrays["variance"]):
            raise BadInputError(f"{path}: {len(genes)} gene names for {len(arrays['loadings'])} gene vectors")
    except (ValueError, KeyError, TypeError, IndexError, SafetensorError) as error:
        raise BadInputError(f"{path} is damaged: {str(error).splitlines()[0]}", hint="make it again") from error
    return SpatialPrior(genes=genes, gene_ids=gene_ids, **arrays)


def top_genes(prior: SpatialPrior, factor: int, n: int = TOP_GENES) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the genes that rise and that fall most with a factor, by what they add to its evidence.

    A gene's weight is its standardised loading: a rare gene with a steep loading says little.
    """
    from focus_cli.priors.statistics import residual_scale

    weight = prior.loadings[:, factor] * prior.baseline * residual_scale(prior.baseline)
    order = np.argsort(-weight, kind="stable")
    return order[:n][weight[order[:n]] > 0], order[::-1][:n][weight[order[::-1][:n]] < 0]


def _factor_table(prior: SpatialPrior) -> str:
    lines = ["factor\tvariance\tdirection\trank\tgene\tloading\tmeasured"]
    for factor, variance in enumerate(prior.variance):
        for direction, rows in zip(("up", "down"), top_genes(prior, factor)):
            for rank, row in enumerate(rows, 1):
                loading, measured = prior.loadings[row, factor], str(bool(prior.measured[row])).lower()
                lines.append(
                    f"{factor}\t{variance:.6g}\t{direction}\t{rank}\t{escape_cell(str(prior.genes[row]))}\t{loading:.5g}\t{measured}"
                )
    return "\n".join(lines) + "\n"

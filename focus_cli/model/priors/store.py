"""A prior on disk: safetensors and JSON, nothing that can run code. A model's folder holds one as well."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ConfigDict, Field
from safetensors.numpy import save

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import require_files
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.schema import Document, Name, Text, validated
from focus_cli.core.storage.tables import escape_cell
from focus_cli.core.storage.tensors import Expected, read_tensors
from focus_cli.model.priors.spatial_prior import SpatialPrior

SCHEMA_VERSION = 1
TOP_GENES = 20  # of each sign of a factor, in the table for people
_VECTORS = ("loadings", "reference_loadings")  # genes × factors
_FLAGS = ("measured", "in_reference")
_ARRAYS = ("baseline", "level_error", *_VECTORS, *_FLAGS, "variance")


class PriorDocument(Document):
    """``prior.json``: names of the genes, and what the prior was fitted on."""

    model_config = ConfigDict(extra="allow")

    schema_version: int
    genes: list[Name] = Field(max_length=1 << 20)
    gene_ids: list[Text] = Field(max_length=1 << 20)


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
    again = "make it again"
    described = path / keys.PRIOR_JSON
    raw = read_json_object(described)
    version = raw.get("schema_version")
    if isinstance(version, int) and version != SCHEMA_VERSION:
        raise BadInputError(f"{path} has a prior of schema version {version}, this FOCUS reads {SCHEMA_VERSION}")
    named = validated(PriorDocument, raw, described, again)
    genes, gene_ids = np.array(named.genes, dtype=str), np.array(named.gene_ids, dtype=str)
    n = len(genes)
    if len(gene_ids) != n or len(set(named.genes)) != n:
        raise BadInputError(f"{described}: {len(gene_ids)} ids for {n} gene names, or a name twice", hint=again)
    # A shipped model holds its vectors in half precision.
    real = ("float32", "float64", "float16")
    shapes = {name: (n, None) if name in _VECTORS else (n,) for name in _ARRAYS} | {"variance": (None,)}
    expected = {name: Expected(shape, ("bool",) if name in _FLAGS else real) for name, shape in shapes.items()}
    found = read_tensors(path / keys.PRIOR_ARRAYS, expected, hint=again)
    arrays = {name: a.astype(np.float32) if a.dtype == np.float16 else a for name, a in found.items()}
    n_factors = len(arrays["variance"])
    if n == 0 or any(arrays[name].shape[1] != n_factors for name in _VECTORS):
        raise BadInputError(f"{path / keys.PRIOR_ARRAYS}: the gene vectors do not have {n_factors} factors", hint=again)
    for name in ("baseline", "level_error", "variance"):
        if (arrays[name] < 0).any():
            raise BadInputError(f"{path / keys.PRIOR_ARRAYS}: {name} is negative", hint=again)
    return SpatialPrior(genes=genes, gene_ids=gene_ids, **arrays)


def top_genes(prior: SpatialPrior, factor: int, n: int = TOP_GENES) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the genes that rise and that fall most with a factor, by what they add to its evidence.

    A gene's weight is its standardised loading: a rare gene with a steep loading carries little weight.
    """
    from focus_cli.model.priors.statistics import residual_scale

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

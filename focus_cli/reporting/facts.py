"""Structure of the results of ``focus explain``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from focus_cli.core import keys

NOT_OURS = "focus explain describes files written by FOCUS; use focus inspect for raw data"
# Parts of a stored folder and their meaning.
FILES = {
    keys.SAMPLE_JSON: "description of the sample: platform, scale, footprint, provenance",
    keys.COUNTS_H5AD: "locations × genes: raw counts (CSR), positions, thumbnails",
    keys.MORPHOLOGY_ZARR: "image features on a regular grid in µm",
    keys.ENCODER_ZARR: "features of a learned image encoder, on a separate grid",
    keys.REGISTRATION_PNG: "locations over a separate H&E image",
    keys.REFERENCE_JSON: "description and provenance of the reference",
    keys.CELLS_H5AD: "cells × genes: counts or count-like values (CSR)",
    keys.PROTOTYPES_H5AD: "cell states × genes: mean proportions",
    keys.MODEL_JSON: "architecture, genes, settings and provenance of the model",
    keys.WEIGHTS: "the weights (safetensors)",
    keys.IMAGE_SPACE: "axes of the image features of the model, and the tissue of its training data",
    keys.TRAINING_LOG: "the losses, step by step",
    keys.ENCODER_JSON: "sizes, scale, normalisation, licence and provenance of the encoder",
    "encoder.safetensors": "the weights (safetensors)",
    "card.md": "model card of the encoder",
    keys.HEAD_JSON: "classes or covariates, scores on held-out donors, provenance",
    keys.HEAD_ARRAYS: "weights of the head, and the embeddings of its training data",
    keys.DOMAINS_JSON: "number of domains, how it was chosen, inputs",
    keys.PRIOR_JSON: "gene names, and the data that the prior was fitted to",
    keys.PRIOR_ARRAYS: "the prior's arrays (safetensors)",
    keys.FACTORS_TSV: "the leading genes of every factor",
    keys.CORPUS_JSON: "marks the folder as a corpus",
    "samples": "one description for each sample",
    "panels": "tables of genes that samples share",
    "shards": "the packed arrays, named by their content",
    "calibration.tsv": "coverage of held-out counts by the stated intervals",
    "scores.json": "the scores and how they were made",
    "scores.tsv": "one row for each method, task and group of genes",
    "per_gene.tsv": "scores gene by gene",
    "scores.png": "the scores as a figure",
}
_FEW_ITEMS, _FEW_ENTRIES = 8, 12


def result(path: Path, kind: str, what: str, **more: Any) -> dict[str, Any]:
    """Result for `path`; entries that `more` does not give are empty."""
    empty = {"facts": {}, "fields": [], "made_by": {}, "jobs": [], "upstream": [], "warnings": [], "use": []}
    return {"name": os.path.basename(os.path.realpath(path)), "kind": kind, "what": what, **empty, **more}


def scalars(record: dict[str, Any], skip: tuple[str, ...] = ("provenance", "warnings")) -> dict[str, Any]:
    """Short entries of a description; long lists are replaced by their length."""
    facts: dict[str, Any] = {}
    for key, value in sorted(record.items()):
        if key in skip or value in (None, "", [], {}):
            continue
        if isinstance(value, list) and (len(value) > _FEW_ITEMS or any(isinstance(v, (list, dict)) for v in value)):
            facts[key] = f"{len(value)} entries"
        elif isinstance(value, dict):
            flat = {k: v for k, v in sorted(value.items()) if not isinstance(v, (list, dict)) and v not in (None, "")}
            facts[key] = flat if flat and len(flat) <= _FEW_ENTRIES else f"{len(value)} entries"
        else:
            facts[key] = value
    return facts

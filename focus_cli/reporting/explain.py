"""What a file or folder of FOCUS is, what made it and what its fields mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import h5py

from focus_cli import keys
from focus_cli.errors import BadInputError, MissingResourceError
from focus_cli.reporting.context import mapping, platform_words, told_warnings
from focus_cli.reporting.fields import field_meaning
from focus_cli.reporting.h5file import open_h5ad, plain, read_node
from focus_cli.reporting.run_record import provenance

TRUTH = "focus_truth"
_NOT_OURS = "focus explain knows what FOCUS wrote; focus inspect looks at raw folders"
_KINDS = {
    "enhanced": "enhanced AnnData: FOCUS's estimates beside the raw counts",
    "refined": "refined AnnData: FOCUS's estimates on a grid that is finer than what was measured",
}
USE_ENHANCED = (
    "Values of X are estimates. Test hypotheses (differential expression, correlations) on layers['counts'].",
    "Genes with var['measured'] == False are inferred; they are no measurements. "
    "Say so wherever they are shown, and do not validate a finding with them.",
    "Mind layers['std'] and the quantile layers; filter by var['reliability'] and obs['reliability'].",
    "Estimates of neighbouring locations share information: they are not independent samples.",
)
USE_REFINED = (
    "No location of this file was measured by itself: obs['parent'] names the measured one behind it.",
    *USE_ENHANCED[1:],
)


def explain(path: Path) -> dict[str, Any]:
    """Say what `path` is.

    Parameters
    ----------
    path
        An enhanced, refined or truth file (``.h5ad``), or a folder: sample, reference, model or scores.

    Returns
    -------
    dict
        JSON-safe: ``name``, ``kind``, ``what``, ``facts`` (name → value), ``fields`` (place, shape, dtype,
        unit, meaning), ``made_by`` (the provenance record), ``warnings``, ``use`` (advice).

    Raises
    ------
    MissingResourceError
        If there is nothing at `path`.
    BadInputError
        If it is nothing that FOCUS wrote, or it is damaged.
    """
    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such file or folder: {path}", hint="check the path")
    return _explain_folder(path) if path.is_dir() else _explain_file(path)


def _result(path: Path, kind: str, what: str, **more: Any) -> dict[str, Any]:
    empty = {"facts": {}, "fields": [], "made_by": {}, "warnings": [], "use": []}
    return {"name": path.resolve().name, "kind": kind, "what": what, **empty, **more}


def _load_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInputError(f"{path} is not JSON: {error}", hint="write it again") from error
    if not isinstance(value, dict):
        raise BadInputError(f"{path} holds no description", hint="write it again")
    return value


def _scalars(record: dict[str, Any], skip: tuple[str, ...] = ("provenance", "warnings")) -> dict[str, Any]:
    """The entries of a description that can be read at a glance; long lists become their length."""
    facts: dict[str, Any] = {}
    for key, value in sorted(record.items()):
        if key in skip or value in (None, "", [], {}):
            continue
        if isinstance(value, list) and (len(value) > 8 or any(isinstance(v, (list, dict)) for v in value)):
            facts[key] = f"{len(value)} entries"
        elif isinstance(value, dict):
            flat = {k: v for k, v in sorted(value.items()) if not isinstance(v, (list, dict)) and v not in (None, "")}
            facts[key] = flat if flat and len(flat) <= 12 else f"{len(value)} entries"
        else:
            facts[key] = value
    return facts


# --- folders -------------------------------------------------------------------------------------


def _explain_folder(path: Path) -> dict[str, Any]:
    if (path / keys.SAMPLE_JSON).is_file():
        return _explain_sample(path)
    for name, kind, what in (
        (keys.REFERENCE_JSON, "reference", "a single-cell reference, made by focus reference"),
        (keys.MODEL_JSON, "model", "a trained model, made by focus train"),
        ("scores.json", "scores", "scores of an enhanced file beside the baselines, made by focus evaluate"),
    ):
        if (path / name).is_file():
            told = _load_json(path / name)
            files = {p.name: _file_words(p.name) for p in sorted(path.iterdir()) if not p.name.startswith(".")}
            return _result(
                path,
                kind,
                what,
                facts=_scalars(told),
                fields=[{"place": n, "meaning": m} for n, m in files.items()],
                made_by=_provenance_of(told),
                warnings=told_warnings(told),
            )
    raise BadInputError(f"{path} is a folder, but none that FOCUS wrote", hint=_NOT_OURS)


def _provenance_of(told: dict[str, Any]) -> dict[str, Any]:
    record = told.get("provenance")
    return record if isinstance(record, dict) else provenance({"provenance": plain(record)})


_FILES = {
    keys.SAMPLE_JSON: "what the sample is: platform, scale, footprint, provenance",
    keys.COUNTS_H5AD: "locations × genes: raw counts (CSR), positions, thumbnails",
    keys.MORPHOLOGY_ZARR: "image features on a regular grid in µm",
    keys.REFERENCE_JSON: "what the reference is, and how it was made",
    keys.CELLS_H5AD: "cells × genes: counts or count-like values (CSR)",
    keys.PROTOTYPES_H5AD: "cell states × genes: mean proportions",
    keys.MODEL_JSON: "architecture, genes, settings and provenance of the model",
    keys.WEIGHTS: "the weights (safetensors)",
    keys.TRAINING_LOG: "the losses, step by step",
    "scores.json": "the scores and how they were made",
    "scores.tsv": "one row for each method, task and group of genes",
    "per_gene.tsv": "scores gene by gene",
    "scores.png": "the scores as a figure",
}


def _file_words(name: str) -> str:
    return _FILES.get(name, "")


def _explain_sample(path: Path) -> dict[str, Any]:
    from dataclasses import asdict

    from focus_cli.store import open_sample

    sample = open_sample(path)
    info = sample.info
    facts = {
        "sample_id": info.sample_id,
        "platform": platform_words({"platform": asdict(info.platform)}),
        "locations": info.n_locations,
        "genes": info.n_genes,
        "mpp": info.mpp,
        "footprint": asdict(info.footprint),
        "image": f"{info.image.width} × {info.image.height} px, {info.image.mpp:.4g} µm/px" if info.image else "none",
    }
    files = [n for n in (keys.SAMPLE_JSON, keys.COUNTS_H5AD, keys.MORPHOLOGY_ZARR) if (path / n).exists()]
    return _result(
        path,
        "sample",
        "a sample, made by focus preprocess: raw counts, positions and image features",
        facts=facts,
        fields=[{"place": n, "meaning": _file_words(n)} for n in files],
        made_by=info.provenance,
        warnings=list(info.warnings),
        use=["focus train and focus enhance take this folder."],
    )


# --- files ---------------------------------------------------------------------------------------


def _explain_file(path: Path) -> dict[str, Any]:
    if path.suffix == ".json":
        raise BadInputError(f"{path} is a part of a folder", hint=f"focus explain {path.parent}")
    with open_h5ad(path) as handle:
        if f"uns/{TRUTH}" in handle:
            return _explain_truth(path, handle)
        if f"uns/{keys.UNS}" in handle:
            return _explain_enhanced(path, handle)
    for name in (keys.SAMPLE_JSON, keys.REFERENCE_JSON):
        if (path.parent / name).is_file() and path.name in _FILES:
            raise BadInputError(f"{path} is a part of a folder of FOCUS", hint=f"focus explain {path.parent}")
    raise BadInputError(
        f"{path} is an AnnData, but none that FOCUS wrote: uns[{keys.UNS!r}] is missing", hint=_NOT_OURS
    )


def _explain_enhanced(path: Path, handle: h5py.File) -> dict[str, Any]:
    focus = mapping(plain(read_node(handle[f"uns/{keys.UNS}"], path)))
    kind = str(focus.get("kind", "enhanced"))
    n, m = _shape(handle)
    facts: dict[str, Any] = {"locations": n, "genes": m}
    warnings = told_warnings(focus)
    if f"var/{keys.MEASURED}" in handle:
        measured = int(read_node(handle[f"var/{keys.MEASURED}"], path).sum())
        facts |= {"genes_measured": measured, "genes_imputed": m - measured}
        if measured < m:
            warnings.append(f"{m - measured} of {m} genes are imputed: inferred, not measured")
    facts |= {k: v for k, v in _scalars(focus).items() if k not in ("kind", "n_measured", "n_imputed")}
    return _result(
        path,
        kind,
        _KINDS.get(kind, f"AnnData of FOCUS, kind {kind!r}"),
        facts=facts,
        fields=_fields(handle),
        made_by=provenance(focus),
        warnings=warnings,
        use=list(USE_REFINED if kind == "refined" else USE_ENHANCED if kind == "enhanced" else ()),
    )


def _explain_truth(path: Path, handle: h5py.File) -> dict[str, Any]:
    told = mapping(plain(read_node(handle[f"uns/{TRUTH}"], path)))
    n, m = _shape(handle)
    expected = told.get("kind") == "expected"
    facts = {"locations": n, "genes": m, **_scalars(told)}
    if isinstance(told.get("genes"), list):
        facts["genes_scored"] = len(told["genes"])
        facts.pop("genes")
        facts = {"locations": n, "genes": m} | facts
    return _result(
        path,
        "truth",
        "truth of a simulation: the expected expression"
        if expected
        else "truth of a hold-out: the counts that were hidden",
        facts=facts,
        fields=_fields(handle, truth="expected" if expected else "counts"),
        made_by=_provenance_of(told),
        warnings=told_warnings(told),
        use=["Keep it away from training and enhancement; only focus evaluate may read it."],
    )


def _shape(handle: h5py.File) -> tuple[int, int]:
    lengths = []
    for name in ("obs", "var"):
        group = handle[name]
        index = group.attrs.get("_index", "_index") if isinstance(group, h5py.Group) else None
        lengths.append(len(group) if index is None else _length(group[index]))
    return lengths[0], lengths[1]


def _length(node: h5py.Group | h5py.Dataset) -> int:
    if isinstance(node, h5py.Dataset):
        return int(node.shape[0])
    return _length(node["codes"] if "codes" in node else node["values"])


def _fields(handle: h5py.File, *, truth: str = "") -> list[dict[str, Any]]:
    """Every field that the file holds, in the order of an AnnData, with shape, dtype, unit and meaning."""
    places = ["X"] if "X" in handle else []
    for group in ("layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns"):
        if group in handle:
            hidden = {handle[group].attrs.get("_index"), "__categories"}
            places += [f"{group}/{key}" for key in sorted(handle[group]) if key not in hidden]
    found = []
    for place in places:
        meaning = field_meaning(place, truth=truth)
        shape, dtype = _shape_and_type(handle[place])
        found.append({"place": place, "shape": shape, "dtype": dtype, "unit": meaning.unit, "meaning": meaning.text})
    return found


def _shape_and_type(node: h5py.Group | h5py.Dataset) -> tuple[list[int], str]:
    if isinstance(node, h5py.Dataset):
        return [int(s) for s in node.shape], "text" if node.dtype.kind == "O" else str(node.dtype)
    encoding = str(node.attrs.get("encoding-type", ""))
    if encoding in ("csr_matrix", "csc_matrix"):
        return [int(s) for s in node.attrs["shape"]], f"{node['data'].dtype} {encoding[:3]}"
    if encoding == "dataframe":
        rows = _length(node[node.attrs["_index"]])
        return [rows, len(node.attrs["column-order"])], "table"
    if "codes" in node:
        return [int(node["codes"].shape[0])], "categories"
    if "values" in node:
        return [int(node["values"].shape[0])], str(node["values"].dtype)
    return [], "mapping"

"""Description of an AnnData file written by FOCUS: enhanced, refined, truth or analysis result."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, one_line
from focus_cli.core.h5ad.spatial_file import open_h5ad, plain, read_node
from focus_cli.core.storage.damage import DAMAGE, damaged
from focus_cli.reporting import analysis_fields
from focus_cli.reporting.context import mapping, warnings_of
from focus_cli.reporting.facts import NOT_OURS, result, scalars
from focus_cli.reporting.fields import UNKNOWN, Meaning, field_meaning
from focus_cli.reporting.records import DESCRIPTIONS, provenance_of, truth_record
from focus_cli.reporting.run_record import provenance

_KINDS = {
    "enhanced": "enhanced AnnData: estimates of FOCUS and the raw counts",
    "refined": "refined AnnData: estimates of FOCUS on a grid finer than the measured locations",
    **analysis_fields.KINDS,
}
USE_ENHANCED = (
    "Values of X are estimates. Test hypotheses (differential expression, correlations) on layers['counts'].",
    "Genes with var['measured'] == False are inferred, not measured. "
    "State this wherever they are shown, and do not use them to validate a finding.",
    "Use layers['std'] and the quantile layers, and filter by var['reliability'] and obs['reliability'].",
    "Estimates of neighbouring locations share information: they are not independent samples.",
)
USE_REFINED = (
    "The locations of this file were not measured: obs['parent'] names the measured location of each.",
    *USE_ENHANCED[1:],
)

_USE = {"enhanced": list(USE_ENHANCED), "refined": list(USE_REFINED)} | {k: [v] for k, v in analysis_fields.USE.items()}


def explain_h5ad(path: Path) -> dict[str, Any]:
    """Describe an ``.h5ad`` file; see `explain`.

    Raises
    ------
    BadInputError
        If it is not one that FOCUS wrote by itself, or it is damaged.
    """
    with open_h5ad(path) as handle:
        try:
            if f"uns/{keys.UNS_TRUTH}" in handle:
                return _explain_truth(path, handle)
            if f"uns/{keys.UNS}" in handle:
                return _explain_enhanced(path, handle)
        except DAMAGE as error:
            raise damaged(path, error, "write the file again") from error
    if path.name in (keys.COUNTS_H5AD, keys.CELLS_H5AD, keys.PROTOTYPES_H5AD) and any(
        (path.parent / name).is_file() for name in DESCRIPTIONS
    ):
        raise BadInputError(f"{path} is part of a folder of FOCUS", hint=f"focus explain {path.parent}")
    raise BadInputError(f"{path} is an AnnData that FOCUS did not write: uns[{keys.UNS!r}] is missing", hint=NOT_OURS)


def _explain_enhanced(path: Path, handle: h5py.File) -> dict[str, Any]:
    focus = mapping(plain(read_node(handle[f"uns/{keys.UNS}"], path)))
    kind = str(focus.get("kind", "enhanced"))
    n, m = _shape(handle)
    facts: dict[str, Any] = {"locations": n, "genes": m}
    warnings = warnings_of(focus)
    if f"var/{keys.MEASURED}" in handle:
        measured = int(read_node(handle[f"var/{keys.MEASURED}"], path).sum())
        facts |= {"genes_measured": measured, "genes_imputed": m - measured}
        if measured < m:
            warnings.append(f"{m - measured} of {m} genes are imputed: inferred, not measured")
    facts |= {k: v for k, v in scalars(focus).items() if k not in ("kind", "n_measured", "n_imputed", "fields")}
    return result(
        path,
        kind,
        _KINDS.get(kind, f"analysis result of kind {kind!r}"),
        facts=facts,
        fields=fields_of(handle, kind=kind, described=mapping(focus.get("fields"))),
        made_by=provenance(focus),
        warnings=warnings,
        use=_USE.get(kind, []),
    )


def _explain_truth(path: Path, handle: h5py.File) -> dict[str, Any]:
    record = mapping(plain(read_node(handle[f"uns/{keys.UNS_TRUTH}"], path)))
    n, m = _shape(handle)
    expected = record.get("kind") == "expected"
    facts = {"locations": n, "genes": m, **scalars(record)}
    if isinstance(record.get("genes"), list):
        facts["genes_scored"] = len(record["genes"])
        facts.pop("genes")
        facts = {"locations": n, "genes": m} | facts
    return result(
        path,
        "truth",
        "truth of a simulation: the expected expression" if expected else "truth of a hold-out: the held-out counts",
        facts=facts,
        fields=fields_of(handle, truth="expected" if expected else "counts"),
        made_by=provenance_of(record) or truth_record(path, record),
        warnings=warnings_of(record),
        use=["Use it only in focus evaluate, not in training or enhancement."],
    )


def _shape(handle: h5py.File) -> tuple[int, int]:
    lengths = []
    for name in ("obs", "var"):
        group = handle[name]
        index = group.attrs.get("_index", "_index") if isinstance(group, h5py.Group) else None
        if index is not None and not (isinstance(index, str) and index in group):
            raise BadInputError(f"{handle.filename} is damaged: {name} has no names", hint="write the file again")
        lengths.append(len(group) if index is None else _length(group[index]))
    return lengths[0], lengths[1]


def _length(node: h5py.Group | h5py.Dataset) -> int:
    if isinstance(node, h5py.Dataset):
        return int(node.shape[0])
    return _length(node["codes"] if "codes" in node else node["values"])


def part_fields(path: Path, kind: str) -> list[dict[str, Any]]:
    """Fields of an AnnData that is part of a folder; `kind` is that of the folder."""
    with open_h5ad(path) as handle:
        return [field | {"name": f"{path.name}: {field['name']}"} for field in fields_of(handle, kind=kind)]


def fields_of(
    handle: h5py.File, *, truth: str = "", kind: str = "", described: Mapping[str, Any] | None = None
) -> list[dict[str, Any]]:
    """All fields of the file, in the order of an AnnData, with shape, dtype, unit and meaning.

    Parameters
    ----------
    handle
        The open file.
    truth, kind
        As for `field_meaning`.
    described
        Name → meaning of fields that the file describes itself; used for fields unknown to FOCUS.
    """
    names = ["X"] if "X" in handle else []
    for group in ("layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns"):
        if group in handle:
            hidden = {handle[group].attrs.get("_index"), "__categories"}
            names += [f"{group}/{key}" for key in sorted(handle[group]) if key not in hidden]
    found = []
    for name in names:
        meaning = field_meaning(name, truth=truth, kind=kind)
        if meaning.text == UNKNOWN and (text := (described or {}).get(name)):
            meaning = Meaning("", one_line(text))
        shape, dtype = _shape_and_type(handle[name])
        found.append({"name": name, "shape": shape, "dtype": dtype, "unit": meaning.unit, "meaning": meaning.text})
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

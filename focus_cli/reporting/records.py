"""The provenance record that a file or folder of FOCUS carries, wherever it is kept."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from focus_cli.core import keys
from focus_cli.core.errors import FocusError
from focus_cli.core.h5ad.spatial_file import open_h5ad, plain, read_node
from focus_cli.core.storage.documents import parse_json, read_json_object
from focus_cli.core.storage.regular import read_bounded, require_regular
from focus_cli.reporting.context import mapping
from focus_cli.reporting.run_record import provenance

TRUTH = "focus_truth"
SCORES_JSON = "scores.json"
ZARR_JSON = "zarr.json"
# What a folder is, told by the description in it. The first that is there decides: a model holds a prior too.
DESCRIPTIONS = (
    keys.SAMPLE_JSON,
    keys.REFERENCE_JSON,
    keys.MODEL_JSON,
    keys.ENCODER_JSON,
    keys.PRIOR_JSON,
    keys.CORPUS_JSON,
    keys.HEAD_JSON,
    keys.DOMAINS_JSON,
    SCORES_JSON,
)
_COHORT = re.compile(r"<title>FOCUS cohort\b")
_GENERATOR = re.compile(r'<meta name="generator" content="FOCUS ([^"]*)">')
_EMBEDDED = re.compile(r"The whole record</summary><pre>(.*?)</pre>", re.DOTALL)
_HEAD = 1 << 16
_LARGEST_PAGE = 1 << 30


def load_json(path: Path) -> dict[str, Any]:
    """Read a description.

    Raises
    ------
    MissingResourceError, BadInputError
        If the file cannot be read, is not JSON, or is no mapping.
    """
    return read_json_object(path)


def provenance_of(told: dict[str, Any]) -> dict[str, Any]:
    """The record in a description, as a mapping or as JSON in text; empty where there is none."""
    record = told.get("provenance")
    return record if isinstance(record, dict) else provenance({"provenance": plain(record)})


def record_of(path: Path) -> dict[str, Any]:
    """The provenance record of a file or folder; empty for raw data and for whatever tells nothing of its making.

    A file inside a stored folder has the folder's record. Nothing is raised for a damaged file: it has no record.
    """
    path = Path(path)
    try:
        if path.is_dir():
            return _of_folder(path)
        if path.suffix == ".h5ad":
            return _of_h5ad(path)
        if path.name in DESCRIPTIONS:
            return provenance_of(load_json(path))
        if path.suffix in (".html", ".htm"):
            return page_record(path)
        if path.suffix == ".parquet":
            return nuclei_record(path)
    except (FocusError, OSError):
        return {}
    return {}


def _of_folder(path: Path) -> dict[str, Any]:
    for name in DESCRIPTIONS:
        if (path / name).is_file():
            return corpus_record(path) if name == keys.CORPUS_JSON else provenance_of(load_json(path / name))
    return features_record(path)


def corpus_record(path: Path) -> dict[str, Any]:
    """The records of all samples of a corpus as one: every sample is an input, the newest software is named."""
    records = {p.stem: provenance_of(load_json(p)) for p in sorted((path / "samples").glob("[!.]*.json"))}
    if not records:
        return {"command": "corpus"}
    inputs = {
        f"sample:{name}": mapping(mapping(record.get("inputs")).get("sample")) for name, record in records.items()
    }
    last = max(records.values(), key=lambda record: str(record.get("focus_version", "")))
    return {**last, "inputs": inputs}


def _of_h5ad(path: Path) -> dict[str, Any]:
    with open_h5ad(path) as handle:
        for name, read in ((TRUTH, provenance_of), (keys.UNS, provenance)):
            if f"uns/{name}" in handle:
                told = mapping(plain(read_node(handle[f"uns/{name}"], path)))
                return read(told) or (truth_record(path, told) if name == TRUTH else {})
    beside = [path.parent / name for name in (keys.SAMPLE_JSON, keys.REFERENCE_JSON)]
    found = [p for p in beside if p.is_file()]
    return provenance_of(load_json(found[0])) if found else {}


def truth_record(path: Path, told: dict[str, Any]) -> dict[str, Any]:
    """How a truth file was made: the visible part beside it, where it is, was made by the same command."""
    observed = path.parent / "observed" / keys.SAMPLE_JSON
    record = provenance_of(load_json(observed)) if observed.is_file() else {}
    if record.get("command") == "holdout":
        return record
    return {"command": "holdout", "focus_version": told["focus_version"]} if "focus_version" in told else {}


def page_record(path: Path) -> dict[str, Any]:
    """The record of a page: command and version; no hash of what it shows is kept. Empty for other pages."""
    with open(require_regular(path), encoding="utf-8", errors="replace") as stream:
        head = stream.read(_HEAD)
    if _COHORT.search(head):
        return {"command": "cohort"}
    found = _GENERATOR.search(head)
    return {"command": "report", "focus_version": found.group(1)} if found else {}


def page_contents(path: Path) -> list[dict[str, Any]]:
    """The records of the files that a report shows, as the page carries them."""
    records = []
    for text in _EMBEDDED.findall(read_bounded(path, _LARGEST_PAGE).decode("utf-8", "replace")):
        try:
            records.append(mapping(parse_json(html.unescape(text), str(path))))
        except FocusError:
            continue
    return records


def nuclei_record(path: Path) -> dict[str, Any]:
    """The record of a table of nuclei, kept in the attributes of the Parquet file."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        told = (read_schema(require_regular(path)).metadata or {}).get(b"PANDAS_ATTRS", b"{}")
        return mapping(mapping(parse_json(told, str(path))).get("provenance"))
    except (ArrowException, ValueError, OSError, FocusError):
        return {}


def features_attributes(path: Path) -> dict[str, Any]:
    """Attributes of a raster of an encoder's features; empty for any other folder."""
    if not (path / ZARR_JSON).is_file():
        return {}
    told = mapping(load_json(path / ZARR_JSON).get("attributes"))
    return told if {"encoder", "slide_sha256"} <= set(told) else {}


def features_record(path: Path) -> dict[str, Any]:
    """The record of a raster of features: the slide by its hash, and the encoder."""
    told = features_attributes(path)
    if not told:
        return {}
    return {
        "command": "features",
        "settings": {key: told[key] for key in ("encoder", "step_um", "version") if key in told},
        "inputs": {"slide": {"name": "", "sha256": told["slide_sha256"]}},
    }

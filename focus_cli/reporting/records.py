"""Provenance records of files and folders written by FOCUS."""

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

SCORES_JSON = "scores.json"
ZARR_JSON = "zarr.json"
# Descriptions that identify a folder. The first that exists decides, because a model also contains a prior.
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
_EMBEDDED = re.compile(r"Full record</summary><pre>(.*?)</pre>", re.DOTALL)
_HEAD = 1 << 16
_LARGEST_PAGE = 1 << 30


def load_json(path: Path) -> dict[str, Any]:
    """Read a description.

    Raises
    ------
    MissingResourceError, BadInputError
        If the file cannot be read, is not JSON, or is not a mapping.
    """
    return read_json_object(path)


def provenance_of(description: dict[str, Any]) -> dict[str, Any]:
    """Record of a description, stored as a mapping or as JSON text; empty if there is none."""
    record = description.get("provenance")
    return record if isinstance(record, dict) else provenance({"provenance": plain(record)})


def record_of(path: Path) -> dict[str, Any]:
    """Provenance record of a file or folder; empty for raw data and files without a record.

    A file inside a stored folder has the folder's record. A damaged file has no record; nothing is raised.
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
    """Records of all samples of a corpus as one, with every sample as an input and the newest software version."""
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
        for name, read in ((keys.UNS_TRUTH, provenance_of), (keys.UNS, provenance)):
            if f"uns/{name}" in handle:
                stored = mapping(plain(read_node(handle[f"uns/{name}"], path)))
                return read(stored) or (truth_record(path, stored) if name == keys.UNS_TRUTH else {})
    siblings = [path.parent / name for name in (keys.SAMPLE_JSON, keys.REFERENCE_JSON)]
    found = [p for p in siblings if p.is_file()]
    return provenance_of(load_json(found[0])) if found else {}


def truth_record(path: Path, stored: dict[str, Any]) -> dict[str, Any]:
    """Record of a truth file: that of the visible part next to it, which the same command made."""
    observed = path.parent / "observed" / keys.SAMPLE_JSON
    record = provenance_of(load_json(observed)) if observed.is_file() else {}
    if record.get("command") == "holdout":
        return record
    return {"command": "holdout", "focus_version": stored["focus_version"]} if "focus_version" in stored else {}


def page_record(path: Path) -> dict[str, Any]:
    """Record of a page: command and version, without hashes of its inputs. Empty for other pages."""
    with open(require_regular(path), encoding="utf-8", errors="replace") as stream:
        head = stream.read(_HEAD)
    if _COHORT.search(head):
        return {"command": "cohort"}
    found = _GENERATOR.search(head)
    return {"command": "report", "focus_version": found.group(1)} if found else {}


def page_contents(path: Path) -> list[dict[str, Any]]:
    """Records of the files that a report shows, as stored in the page."""
    records = []
    for text in _EMBEDDED.findall(read_bounded(path, _LARGEST_PAGE).decode("utf-8", "replace")):
        try:
            records.append(mapping(parse_json(html.unescape(text), str(path))))
        except FocusError:
            continue
    return records


def nuclei_record(path: Path) -> dict[str, Any]:
    """Record of a table of nuclei, stored in the attributes of the Parquet file."""
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        stored = (read_schema(require_regular(path)).metadata or {}).get(b"PANDAS_ATTRS", b"{}")
        return mapping(mapping(parse_json(stored, str(path))).get("provenance"))
    except (ArrowException, ValueError, OSError, FocusError):
        return {}


def features_attributes(path: Path) -> dict[str, Any]:
    """Attributes of a raster of an encoder's features; empty for any other folder."""
    if not (path / ZARR_JSON).is_file():
        return {}
    attributes = mapping(load_json(path / ZARR_JSON).get("attributes"))
    return attributes if {"encoder", "slide_sha256"} <= set(attributes) else {}


def features_record(path: Path) -> dict[str, Any]:
    """The record of a raster of features: the slide by its hash, and the encoder."""
    attributes = features_attributes(path)
    if not attributes:
        return {}
    return {
        "command": "features",
        "settings": {key: attributes[key] for key in ("encoder", "step_um", "version") if key in attributes},
        "inputs": {"slide": {"name": "", "sha256": attributes["slide_sha256"]}},
    }

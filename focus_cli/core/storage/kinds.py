"""How each output of FOCUS is recognised: the marks that it carries, and what else may lie in its folder.

A file or folder is replaced only if it carries the mark of the kind that replaces it, and holds nothing beside what
FOCUS writes. Marks are read with care: what lies at an output path may be anything.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any

from focus_cli.core import keys
from focus_cli.core.errors import FocusError
from focus_cli.core.storage.documents import parse_json, read_json

_HEAD = 1 << 16
EVERYTHING = ("**",)  # parts of a folder whose mark is about all that it holds
# Left by Snakemake, by file managers and by network file systems; no documents.
_IGNORED = (".snakemake_timestamp", ".DS_Store", "Thumbs.db", ".nfs*", ".*.tmp", ".*.tmp.*")
# What a zarr store is made of (versions 2 and 3), with the Parquet files that SpatialData keeps in one.
_IN_ZARR = re.compile(r"zarr\.json|\.z(array|attrs|group|metadata)|c|\d+(\.\d+)*|[\w.-]+\.parquet")


@dataclass(frozen=True)
class Kind:
    """One kind of output.

    Attributes
    ----------
    name
        For messages: ``"a sample"``.
    folder
        Whether it is a folder.
    marked
        Whether a file or folder carries the mark of the kind.
    parts
        Patterns of the names that a folder of this kind holds; a name that ends in ``.zarr`` is a zarr store. None: the
        folder itself is one.
    """

    name: str
    folder: bool
    marked: Callable[[Path], bool]
    parts: tuple[str, ...] | None = ()

    def carried_by(self, path: Path) -> bool:
        """Whether `path` is a file or folder of this kind; False for anything unreadable."""
        if path.is_dir() != self.folder or not (self.folder or path.is_file()):
            return False
        try:
            return self.marked(path)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, FocusError):
            return False

    def foreign(self, path: Path) -> str | None:
        """A name in the folder `path` that FOCUS did not write; None if there is none."""
        if self.parts is EVERYTHING:
            return None
        return _foreign_to_zarr(path) if self.parts is None else _foreign(path, self.parts)


def _ignored(name: str) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in _IGNORED)


def _foreign(folder: Path, parts: tuple[str, ...]) -> str | None:
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        if _ignored(entry.name):
            continue
        if entry.is_symlink() or not any(fnmatchcase(entry.name, pattern) for pattern in parts):
            return entry.name
        if entry.is_dir():
            if not entry.name.endswith(".zarr"):
                return entry.name
            if (inner := _foreign_to_zarr(Path(entry.path))) is not None:
                return f"{entry.name}/{inner}"
    return None


def _foreign_to_zarr(store: Path) -> str | None:
    for parent, folders, files in os.walk(store):
        for name in sorted(files):
            if not _ignored(name) and not _IN_ZARR.fullmatch(name):
                return os.path.relpath(os.path.join(parent, name), store)
        for name in sorted(folders):
            if os.path.islink(os.path.join(parent, name)):
                return os.path.relpath(os.path.join(parent, name), store)
    return None


def _read_json(path: Path) -> dict[str, Any]:
    value = {} if path.is_symlink() or not path.is_file() else read_json(path)
    return value if isinstance(value, dict) else {}


def _described(name: str, needed: tuple[str, ...], path: Path, **equal: str) -> bool:
    """Whether the description `name` in a folder has the entries of its kind."""
    stored = _read_json(path / name)
    return set(needed) <= set(stored) and all(stored[key] == value for key, value in equal.items())


def _folder_kind(name: str, description: str, needed: tuple[str, ...], *parts: str, **equal: str) -> Kind:
    def is_one(path: Path) -> bool:
        return _described(description, needed, path, **equal)

    return Kind(name, True, is_one, (description, *parts))


def _focus_of(path: Path) -> tuple[str, dict[str, Any]] | None:
    """Kind of an AnnData of FOCUS and its provenance; ``"truth"`` or ``"expected"`` for a truth; None for others."""
    import h5py

    from focus_cli.core.storage.hdf5 import open_hdf5

    with open_hdf5(path) as file:
        if not isinstance(file.get("uns", getlink=True), h5py.HardLink):
            return None
        uns = file["uns"]
        for name in (keys.UNS_TRUTH, keys.UNS):
            if not isinstance(uns.get(name, getlink=True), h5py.HardLink):
                continue
            stored = uns[name]
            kind = stored["kind"].asstr()[()] if isinstance(stored.get("kind", getlink=True), h5py.HardLink) else ""
            if name == keys.UNS_TRUTH:
                return "expected" if kind == "expected" else "truth", {}
            record = stored["provenance"].asstr()[()] if "provenance" in stored else "{}"
            return str(kind) or "enhanced", parse_json(record, str(path))
    return None


def _is_h5ad(kind: str, path: Path) -> bool:
    found = _focus_of(path)
    return found is not None and found[0] == kind and found[1].get("command") != "export"


def _is_exported_h5ad(path: Path) -> bool:
    found = _focus_of(path)
    return found is not None and found[1].get("command") == "export"


def _h5ad(kind: str, name: str) -> Kind:
    return Kind(name, False, partial(_is_h5ad, kind))


def _head(path: Path) -> str:
    with open(path, encoding="utf-8", errors="replace") as stream:
        return stream.read(_HEAD)


def _is_page(pattern: str, path: Path) -> bool:
    return re.search(pattern, _head(path)) is not None


def _is_png(path: Path) -> bool:
    """Whether a PNG states in its text that FOCUS drew it; the chunks before the pixels are looked at."""
    with open(path, "rb") as stream:
        if stream.read(8) != b"\x89PNG\r\n\x1a\n":
            return False
        for _ in range(64):
            head = stream.read(8)
            size, name = int.from_bytes(head[:4], "big"), head[4:]
            if len(head) < 8 or name in (b"IDAT", b"IEND") or size > _HEAD:
                return False
            body = stream.read(size + 4)[:size]
            if name == b"tEXt" and body == b"Software\x00focus":
                return True
    return False


def _is_table(columns: tuple[str, ...], separator: str, path: Path) -> bool:
    """Whether the first line of a table names the columns, all of them and in their order."""
    lines = _head(path).splitlines()
    return bool(lines) and tuple(lines[0].split(separator))[: len(columns)] == columns


def _is_nuclei(path: Path) -> bool:
    if path.suffix.lower() == ".csv":
        return _is_table(_NUCLEI, ",", path)
    from pyarrow import ArrowException
    from pyarrow.parquet import read_schema

    try:
        stored = (read_schema(path).metadata or {}).get(b"PANDAS_ATTRS", b"{}")
    except ArrowException:
        return False
    return parse_json(stored, str(path))["provenance"]["command"] == "nuclei"


def _is_features(path: Path) -> bool:
    return {"encoder", "slide_sha256"} <= set(_read_json(path / "zarr.json")["attributes"])


def _is_spatialdata(path: Path) -> bool:
    """Whether a store holds the one table, the one picture and the one set of shapes of an export, and no more."""
    elements = {group: [f.name for f in (path / group).glob("*") if f.is_dir()] for group in _SPATIAL_GROUPS}
    alone = len(elements["images"]) <= 1 and len(elements["shapes"]) <= 1 and elements["tables"] == ["table"]
    return alone and not elements["labels"] + elements["points"] and (path / "tables/table/uns" / keys.UNS).is_dir()


def _is_vitessce(path: Path) -> bool:
    stored = _read_json(path / "provenance.json")
    return stored.get("command") == "export" and stored["settings"]["to"] == "vitessce"


def _holds_only(kind: Kind, path: Path) -> bool:
    """Whether a folder holds at least one file, and all its files are of `kind`."""
    files = [f for f in path.iterdir() if not _ignored(f.name)]
    return bool(files) and all(kind.carried_by(f) for f in files)


def _is_domains(path: Path) -> bool:
    maps = [f for f in path.iterdir() if f.suffix == ".h5ad" and not f.name.startswith(".")]
    return _described(keys.DOMAINS_JSON, ("provenance",), path) and all(DOMAINS_MAP.carried_by(f) for f in maps)


STUDY_JSON = "study.json"


def _is_study(path: Path) -> bool:
    """Whether a folder is a simulated study that holds the files which it lists, and no other."""
    listed = {*_read_json(path / STUDY_JSON)["files"], STUDY_JSON}
    found = (f for f in path.rglob("*") if f.is_symlink() or not f.is_dir())
    return all(f.relative_to(path).as_posix() in listed or _ignored(f.name) for f in found)


_SPATIAL_GROUPS = ("images", "labels", "points", "shapes", "tables")
_NUCLEI = ("nucleus", "x_um", "y_um", "area_um2", "eccentricity", "haematoxylin")
_PRIOR = (keys.PRIOR_ARRAYS, keys.FACTORS_TSV)

SAMPLE = _folder_kind(
    "a sample",
    keys.SAMPLE_JSON,
    ("schema_version", "sample_id", "platform"),
    keys.COUNTS_H5AD,
    keys.MORPHOLOGY_ZARR,
    keys.ENCODER_ZARR,
    keys.REGISTRATION_PNG,
)
REFERENCE = _folder_kind(
    "a reference", keys.REFERENCE_JSON, ("n_states", "provenance"), keys.CELLS_H5AD, keys.PROTOTYPES_H5AD
)
PRIOR = _folder_kind("a prior", keys.PRIOR_JSON, ("schema_version", "genes"), *_PRIOR)
MODEL = _folder_kind(
    "a model",
    keys.MODEL_JSON,
    ("schema_version", "config"),
    keys.WEIGHTS,
    keys.IMAGE_SPACE,
    keys.TRAINING_LOG,
    keys.PRIOR_JSON,
    *_PRIOR,
    "README.md",
)
ENCODER = _folder_kind(
    "an encoder",
    keys.ENCODER_JSON,
    ("schema_version", "config"),
    "encoder.safetensors",
    keys.TRAINING_LOG,
    "card.md",
)
STATE = _folder_kind(
    "the state of an unfinished training",
    "state.json",
    ("step", "key"),
    "state.safetensors",
    keys.ENCODER_JSON,
    "encoder.safetensors",
    keys.TRAINING_LOG,
)
ANNOTATION_HEAD = _folder_kind(
    "a head of focus annotate", keys.HEAD_JSON, ("schema_version", "kind"), keys.HEAD_ARRAYS, kind="annotate"
)
OUTCOME_HEAD = _folder_kind(
    "a head of focus outcome", keys.HEAD_JSON, ("schema_version", "kind"), keys.HEAD_ARRAYS, kind="outcome"
)
SCORES = _folder_kind(
    "a folder of scores",
    "scores.json",
    ("rows", "provenance"),
    "scores.tsv",
    "per_gene.tsv",
    "calibration.tsv",
    "scores.png",
)
CORPUS = Kind("a corpus", True, partial(_described, keys.CORPUS_JSON, ("schema_version",)), EVERYTHING)

ENHANCED = _h5ad("enhanced", "an enhanced file")
REFINED = _h5ad("refined", "a refined file")
EMBEDDING = _h5ad("embedding", "an embedding")
DOMAINS_MAP = _h5ad("domains", "a map of domains")
CELL_TYPES = _h5ad("celltypes", "an analysis result of focus celltypes")
PATTERNS = _h5ad("patterns", "an analysis result of focus patterns")
INTERACTIONS = _h5ad("interactions", "an analysis result of focus interactions")
ANNOTATION = _h5ad("annotation", "an analysis result of focus annotate")
ATTENTION_MAP = _h5ad("outcome", "a map of focus outcome")
WHY = _h5ad("why", "an analysis result of focus why")
TRUTH = _h5ad("truth", "the truth of a hold-out")
EXPORTED_H5AD = Kind("an .h5ad of focus export", False, _is_exported_h5ad)

DOMAINS = Kind("domains of a cohort", True, _is_domains, (keys.DOMAINS_JSON, "*.h5ad"))
ATTENTION = Kind("a folder of maps of focus outcome", True, partial(_holds_only, ATTENTION_MAP), ("*.h5ad",))
FEATURES = Kind("a raster of features", True, _is_features, None)
SPATIALDATA = Kind("a SpatialData store of focus export", True, _is_spatialdata, None)
VITESSCE = Kind(
    "a folder of focus export",
    True,
    _is_vitessce,
    ("data.zarr", "shares.zarr", "image.ome.zarr", "config.json", "index.html", "provenance.json"),
)
STUDY = Kind("a simulated study", True, _is_study, EVERYTHING)

REPORT = Kind("a report", False, partial(_is_page, r'<meta name="generator" content="FOCUS [^"]*">'))
COHORT_PAGE = Kind("a cohort report", False, partial(_is_page, r"<title>FOCUS cohort\b"))
PICTURE = Kind("a picture of FOCUS", False, _is_png)
NUCLEI = Kind("a table of nuclei", False, _is_nuclei)
# By what stands in ``uns["focus"]["kind"]``.
ANALYSIS_RESULTS = {
    "embedding": EMBEDDING,
    "domains": DOMAINS_MAP,
    "celltypes": CELL_TYPES,
    "patterns": PATTERNS,
    "interactions": INTERACTIONS,
    "annotation": ANNOTATION,
    "outcome": ATTENTION_MAP,
    "why": WHY,
}


def analysis_kind(name: str) -> Kind:
    """The kind of analysis result that states `name` as its kind; also of analyses that are not listed above."""
    return ANALYSIS_RESULTS.get(name) or _h5ad(name, f"an analysis result of focus {name}")


OUTCOMES = Kind("a table of focus outcome", False, partial(_is_table, ("sample", "locations", "score"), "\t"))
# A file that only ever is written where nothing lies.
NEW_FILE = Kind("a file", False, lambda path: False)
# A part of a folder that FOCUS keeps for itself, as a results folder or a corpus: what lies there was written by FOCUS.
PART = Kind("a part of a folder of FOCUS", False, lambda path: True)
PART_FOLDER = Kind("a part of a folder of FOCUS", True, lambda path: True, EVERYTHING)

"""Inputs of a file: where they are, whether they have changed, and their own provenance.

Records contain names, sizes and hashes but no paths, so that a study can be moved. An input is searched among the
inputs of the job that made the file, if that job is recorded, then next to the file and in the folders above it.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from focus_cli.core import keys
from focus_cli.core.provenance import bytes_of, folder_digest, hash_file, hash_folder, hash_text
from focus_cli.reporting.context import mapping
from focus_cli.reporting.records import record_of

AGREES, SIZE_AGREES, DIFFERS, ABSENT, UNKNOWN = "agrees", "same size", "differs", "not found", "not recorded"
_DEPTH = 8
_UP = 3  # folders above a file in which its inputs are searched
_WIDE = 4000  # folders in one that are searched
_STAMP = Path(".snakemake_timestamp")
# A folder of this role contains this file; a folder of the same name without it is something else.
_SIGNS = {"sample": keys.SAMPLE_JSON, "model": keys.MODEL_JSON, "prior": keys.PRIOR_JSON}


class Ancestry:
    """Follows records upstream.

    Parameters
    ----------
    verify
        Read every input that is found and compare its hash; otherwise sizes are compared.
    inputs_of_job
        File or folder → the inputs of the job that made it, as far as that is recorded.
    """

    def __init__(self, verify: bool, inputs_of_job: Any) -> None:
        self._verify = verify
        self._inputs_of_job = inputs_of_job
        self._sizes: dict[Path, int] = {}
        self._digests: dict[Path, set[str]] = {}
        self._listed: set[Path] = set()

    def upstream(self, path: Path, record: dict[str, Any], depth: int = 0) -> list[dict[str, Any]]:
        """One entry for each input of `path`.

        Returns
        -------
        list
            ``role``, ``name``, ``bytes``, ``sha256`` as recorded; ``path`` where it is (None: not found); ``state``:
            ``agrees`` (hash), ``same size``, ``differs``, ``not found``, or ``not recorded`` for an input of which no
            hash was kept; ``made_by`` (command, version, seed) and ``upstream`` of the input itself. An input
            that is already in the tree is not followed again: it has ``repeated`` instead of ``upstream``.
        """
        path = Path(os.path.realpath(path))
        of_job = [Path(os.path.realpath(p)) for p in self._inputs_of_job(path)]
        recorded = mapping(record.get("inputs"))
        if recorded:
            return [self._entry(path, role, mapping(one), of_job, depth) for role, one in sorted(recorded.items())]
        # Tables and pages have no record: only the inputs of their job are known.
        return [self._describe({"role": "input", "name": p.name}, p, depth) for p in of_job]

    def _entry(self, path: Path, role: str, recorded: dict[str, Any], of_job: list[Path], depth: int) -> dict[str, Any]:
        entry = {"role": role, **{key: recorded[key] for key in ("name", "bytes", "sha256") if key in recorded}}
        found = self._find(path, role, str(recorded.get("name", "")), recorded.get("bytes"), of_job)
        return self._describe(entry, found, depth)

    def _describe(self, entry: dict[str, Any], found: Path | None, depth: int) -> dict[str, Any]:
        entry |= {"path": str(found) if found else None, "state": self._state(entry, found)}
        if found is None or depth >= _DEPTH:
            return entry
        record = record_of(found)
        if record:
            entry["made_by"] = {key: record[key] for key in ("command", "focus_version", "seed") if key in record}
        # A file inside a stored folder was made with the folder.
        whole = _whole(found)
        if not record:
            return entry
        if whole in self._listed:
            return entry | {"repeated": True}
        self._listed.add(whole)
        inputs = self.upstream(whole, record, depth + 1)
        return entry | ({"upstream": inputs} if inputs else {})

    def _state(self, entry: dict[str, Any], found: Path | None) -> str:
        if found is None or not found.exists():
            return ABSENT
        if "sha256" not in entry:
            return UNKNOWN
        if "bytes" in entry and self._size(found) != entry["bytes"]:
            return DIFFERS
        if not self._verify:
            return SIZE_AGREES
        return AGREES if entry["sha256"] in self._hashes(found) else DIFFERS

    def _size(self, path: Path) -> int:
        if path not in self._sizes:
            self._sizes[path] = bytes_of(path)
        return self._sizes[path]

    def _hashes(self, path: Path) -> set[str]:
        if path not in self._digests:
            self._digests[path] = {hash_file(path)} if path.is_file() else _with_and_without_stamp(hash_folder(path))
        return self._digests[path]

    def _find(self, path: Path, role: str, name: str, size: Any, of_job: Sequence[Path]) -> Path | None:
        if not name:
            return None
        sign = _SIGNS.get(role.partition(":")[0])
        named = [source for source in of_job if source.name == name]
        others: list[Path] = []
        for level in _levels(path, name, of_job):
            fitting = [p for p in level if p != path and path not in p.parents and p.exists() and _may_be(p, sign)]
            for candidate in fitting:
                if self._size(candidate) == size:
                    return candidate
            others = others or fitting
        # Found with another size: accepted only if there is no other candidate.
        if named:
            return named[0] if len(named) == 1 and named[0].exists() else None
        return others[0] if len(others) == 1 else None


def _with_and_without_stamp(hashes: dict[Path, str]) -> set[str]:
    """Hashes with and without Snakemake's time stamp, which may be older or newer than the record."""
    files = {name: digest for name, digest in hashes.items() if name != _STAMP}
    return {folder_digest(hashes), folder_digest(files), folder_digest(files | {_STAMP: hash_text("")})}


def _whole(path: Path) -> Path:
    return path.parent if (path.parent / keys.SAMPLE_JSON).is_file() else path


def _may_be(path: Path, sign: str | None) -> bool:
    return sign is None or not path.is_dir() or (path / sign).is_file()


def _levels(path: Path, name: str, of_job: Sequence[Path]) -> Iterator[list[Path]]:
    """Candidate paths of a file or folder called `name`, the most probable first, in groups of equal probability."""
    yield [source for source in of_job if source.name == name]
    folders = [source for source in of_job if source.is_dir()]
    yield [folder / name for folder in folders]
    for depth in ("*", "*/*"):
        yield [found for folder in folders for found in sorted(folder.glob(f"{depth}/{glob.escape(name)}"))]
    for folder in list(path.parents)[:_UP]:
        try:
            inside = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
        except OSError:
            continue
        yield [folder / name, *(p / name for p in inside[:_WIDE])]
        # The parts of a stored sample, from anywhere in the results of a run.
        yield sorted((folder / "samples").glob(f"*/{glob.escape(name)}"))

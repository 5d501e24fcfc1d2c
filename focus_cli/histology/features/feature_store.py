"""Where features lie while they are made and after: resumable work, and a store of finished extractions."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.progress import print_message
from focus_cli.core.storage import atomic_directory, atomic_file, check_output
from focus_cli.core.storage.documents import read_json
from focus_cli.core.storage.kinds import FEATURES, PART
from focus_cli.core.storage.regular import read_text_bounded
from focus_cli.core.storage.schema import Count, Document, validated
from focus_cli.core.storage.temporaries import name_bytes
from focus_cli.core.storage.zarr_folder import require_zarr

RASTER = "raster.zarr"
_PIECE = 256  # records that are read at a time
_PLAN, _PROGRESS, _LOCK = "plan.json", "progress.json", "lock"


def store_key(plan: dict[str, Any]) -> str:
    """Address of an extraction by what it is made of: 32 hex digits over the JSON of `plan`."""
    return hashlib.sha256(json.dumps(plan, sort_keys=True).encode()).hexdigest()[:32]


def stored_path(store: Path, plan: dict[str, Any]) -> Path:
    """Where the store keeps the extraction that `plan` describes."""
    return Path(store) / f"{store_key(plan)}.zarr"


def link_tree(source: Path, target: Path, overwrite: bool = False) -> None:
    """Make `target` a copy of the folder `source`: hard links, or copies where links cannot be.

    Both share their bytes: whoever changes a file of one in place changes the other.

    Raises
    ------
    OutputExistsError
        If `target` exists and `overwrite` is false.
    """

    def link(a: str, b: str) -> None:
        try:
            os.link(a, b)
        except OSError:
            shutil.copyfile(a, b)

    with atomic_directory(target, overwrite, kind=FEATURES) as temporary:
        shutil.copytree(require_zarr(source), temporary, copy_function=link, dirs_exist_ok=True)


class ProgressDocument(Document):
    """``progress.json``: numbers of finished shards, and of damaged tiles."""

    done: list[Count]
    damaged: Count


def _read_progress(path: Path) -> dict[str, Any]:
    return validated(ProgressDocument, read_json(path), path).model_dump()


class PartialExtraction:
    """The folder beside the output in which an extraction grows, and which a killed one leaves behind.

    It holds the raster with its finished shards, ``plan.json`` (what is being made; another plan starts anew),
    ``progress.json`` (finished shards) and one file of records for the current shard: whole batches of tiles,
    appended as they are encoded. A shard goes into the raster in one write.
    """

    def __init__(self, folder: Path, records: int) -> None:
        self.folder = folder
        self._record = records  # float16 values per tile
        self.raster = folder / RASTER
        progress = folder / _PROGRESS
        self.progress: dict[str, Any] = _read_progress(progress) if progress.exists() else {"done": [], "damaged": 0}

    @property
    def is_new(self) -> bool:
        """Whether nothing was written yet."""
        return not (self.folder / _PROGRESS).exists()

    def is_done(self, shard: int) -> bool:
        """Whether a shard is in the raster."""
        return shard in self.progress["done"]

    def finish(self, shard: int | None, damaged: int = 0) -> None:
        """Note that a shard is in the raster (None: that the raster was begun), and drop its records."""
        if shard is not None:
            self.progress["done"].append(shard)
            self.progress["damaged"] += damaged
        with atomic_file(self.folder / _PROGRESS, overwrite=True, kind=PART) as temporary:
            temporary.write_text(json.dumps(self.progress))
        if shard is not None:
            self._records(shard).unlink(missing_ok=True)

    def kept(self, shard: int, batch: int) -> int:
        """Number of tiles of a shard whose records are there, in whole batches; the rest is cut off."""
        path = self._records(shard)
        if not path.exists():
            return 0
        tiles = path.stat().st_size // (2 * self._record) // batch * batch
        os.truncate(path, tiles * 2 * self._record)
        return tiles

    def whole(self, shard: int, tiles: int) -> bool:
        """Whether all records of a shard are there."""
        path = self._records(shard)
        return path.exists() and path.stat().st_size == tiles * 2 * self._record

    @contextmanager
    def appending(self, shard: int) -> Iterator[Any]:
        """A function that appends records, float16 (n, values)."""
        with self._records(shard).open("ab") as stream:

            def append(records: np.ndarray) -> None:
                stream.write(np.ascontiguousarray(records, np.float16).data)
                stream.flush()

            yield append

    def records(self, shard: int) -> Iterator[np.ndarray]:
        """Records of a shard in their order, float16 (≤ 256, values) at a time."""
        with self._records(shard).open("rb") as stream:
            while len(some := np.fromfile(stream, np.float16, _PIECE * self._record)):
                yield some.reshape(-1, self._record)

    def _records(self, shard: int) -> Path:
        return self.folder / f"shard-{shard:06d}.f16"


@contextmanager
def partial_extraction(
    target: Path, plan: dict[str, Any], records: int, resume: bool = True
) -> Iterator[PartialExtraction]:
    """Open, or resume, the extraction of `target`; when the block succeeds the raster is renamed into place.

    Raises
    ------
    UsageError
        If another process is writing it.
    BadInputError
        If what a killed one left behind is damaged.
    """
    import fcntl

    folder = _partial_folder(target)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise UsageError(
                f"another process is extracting {target}", hint="wait for it, or choose another --out"
            ) from error
        text = json.dumps(plan, sort_keys=True)
        known = folder / _PLAN
        if not (resume and known.exists() and read_text_bounded(known) == text):
            if known.exists():
                print_message(
                    f"{target.name}: what was left of an earlier extraction is not of this one, starting anew"
                )
            _empty(folder)
            with atomic_file(known, overwrite=True, kind=PART) as temporary:
                temporary.write_text(text)
        try:
            partial = PartialExtraction(folder, records)
        except BadInputError as error:
            raise BadInputError(error.message, hint=f"delete {folder}") from error
        if partial.is_new:
            shutil.rmtree(partial.raster, ignore_errors=True)
        yield partial
        check_output(target, FEATURES, overwrite=True)
        if target.exists():
            shutil.rmtree(target)
        os.replace(partial.raster, target)
        shutil.rmtree(folder)


def _partial_folder(target: Path) -> Path:
    """Where the extraction of `target` grows; a name that would become too long is shortened by its hash."""
    name = target.name
    if len(os.fsencode(name)) > name_bytes(target.parent) - len("..partial"):
        name = hashlib.sha256(name.encode()).hexdigest()[:32]
    return target.with_name(f".{name}.partial")


def _empty(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.name == _LOCK:
            continue
        if entry.is_dir():
            shutil.rmtree(entry)
        else:
            entry.unlink()

"""The stage behind ``focus corpus``: sample folders → one store that training reads a window at a time."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from focus_cli.core import keys, provenance
from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError, OutputExistsError, UsageError
from focus_cli.core.progress import print_message, track
from focus_cli.core.storage import StoredSample, atomic_file, check_output, open_sample
from focus_cli.core.storage.kinds import CORPUS, PART
from focus_cli.model.conditioning import SampleData, load_sample_data
from focus_cli.model.corpus.counts import store_counts
from focus_cli.model.corpus.curve import hilbert_order
from focus_cli.model.corpus.layout import (
    INCOMPLETE,
    SHARDS,
    EntryDocument,
    entry_path,
    missing_samples,
    panel_path,
    read_described,
    read_entry,
    to_json,
)
from focus_cli.model.corpus.opening import is_corpus, sample_ids
from focus_cli.model.corpus.raster import store_raster
from focus_cli.model.corpus.shards import ShardWriter, shard_path


def build_corpus(samples: Sequence[Path], out: Path, *, overwrite: bool = False) -> Path:
    """Pack samples into a corpus; one that is there is added to.

    A sample that was packed from the same files is left as it is, so the same command resumes where a killed one was.

    Parameters
    ----------
    samples
        Folders made by ``focus preprocess``.
    out
        The corpus.
    overwrite
        Pack the samples again, whatever is there of them.

    Raises
    ------
    OutputExistsError
        If `out` is something else, or holds a sample of the same name from other files.
    UsageError
        If no sample is given, or one twice.
    BadInputError, MissingResourceError
        If a sample cannot be read.
    """
    out = Path(out)
    if not samples:
        raise UsageError("no sample is given", hint="focus corpus samples/* --out corpus")
    check_output(out, CORPUS, inputs=samples, overwrite=True if is_corpus(out) else None)
    stored = [open_sample(path) for path in samples]
    ids = Counter(s.info.sample_id for s in stored)
    if twice := [sample_id for sample_id, n in ids.items() if n > 1]:
        raise UsageError(f"sample {twice[0]!r} was given twice", hint="give each sample once")
    new = not is_corpus(out)
    try:
        packed = _add_all(out, stored, overwrite)
    except FocusError:
        # A refusal leaves nothing behind: without samples the folder is only the one that was made here.
        if new and is_corpus(out) and not sample_ids(out):
            shutil.rmtree(out)
        raise
    kept = f", {len(stored) - packed} were there" if packed < len(stored) else ""
    print_message(f"corpus: {packed} samples packed{kept}; {len(sample_ids(out))} in all → {out}")
    return out


def _add_all(out: Path, stored: Sequence[StoredSample], overwrite: bool) -> int:
    """Pack those samples that are not there; how many were packed."""
    ids = {sample.info.sample_id for sample in stored}
    if not is_corpus(out):
        with atomic_file(out / keys.CORPUS_JSON, kind=PART) as temporary:
            temporary.write_text(to_json({}))
    records = [_record(out, sample, overwrite) for sample in stored]
    _mark(out, {*missing_samples(out), *ids})
    packed = 0
    for sample, record in track(list(zip(stored, records, strict=True)), "packing"):
        packed += _add(out, sample, record, overwrite)
    _mark(out, set() if overwrite else {*missing_samples(out)} - {*ids})
    return packed


def _mark(out: Path, names: set[str]) -> None:
    """Write down which samples are being packed, so that a corpus whose packing was killed is not taken for whole."""
    if not names:
        (out / INCOMPLETE).unlink(missing_ok=True)
        return
    with atomic_file(out / INCOMPLETE, overwrite=True, kind=PART) as temporary:
        temporary.write_text(to_json({"samples": sorted(names)}))


def _record(out: Path, sample: StoredSample, overwrite: bool) -> dict[str, Any] | None:
    """The record of a sample that is to be packed; None where it is there, packed from the same files."""
    path = entry_path(out, sample.info.sample_id)
    record = provenance.describe_run("corpus", {}, {"sample": sample.path})
    old = read_entry(out, sample.info.sample_id) if path.exists() and not overwrite else None
    if old is not None:
        if old["provenance"]["inputs"]["sample"]["sha256"] == record["inputs"]["sample"]["sha256"]:
            return None
        raise OutputExistsError(
            f"{out} holds {sample.info.sample_id} already, packed from other files",
            hint="--overwrite replaces it; or give the sample another name",
        )
    return record


def _add(out: Path, sample: StoredSample, record: dict[str, Any] | None, overwrite: bool) -> bool:
    """Pack one sample unless it is there (without a record); whether it was packed."""
    if record is None:
        return False
    path = entry_path(out, sample.info.sample_id)
    before = set(_shards_of(path)) if path.exists() else set()
    described = _pack(out, load_sample_data(sample), rewrite=overwrite) | {"provenance": record}
    with atomic_file(path, overwrite=True, kind=PART) as temporary:
        temporary.write_text(to_json(described))
    if before:
        in_use = {digest for sample_id in sample_ids(out) for digest in _shards_of(entry_path(out, sample_id))}
        for digest in before - in_use:
            shard_path(out / SHARDS, digest).unlink(missing_ok=True)
    return True


def _shards_of(entry: Path) -> list[str]:
    try:
        return [shard["sha256"] for shard in read_described(entry, EntryDocument)["shards"]]
    except FocusError:
        return []  # a damaged description is replaced; its shards are left


def _pack(out: Path, data: SampleData, rewrite: bool) -> dict[str, Any]:
    writer = ShardWriter(out / SHARDS, rewrite)
    writer.add("xy_um", data.xy_um)
    writer.add("feature_mean", data.feature_mean)
    writer.add("feature_sd", data.feature_sd)
    store_counts(writer, data.counts, hilbert_order(data.xy_um))
    rasters = data.raster.rasters if data.raster is not None else []
    described = [store_raster(writer, f"raster{i}", raster) for i, raster in enumerate(rasters)]
    writer.flush()
    return {
        "sample": json.loads(data.info.to_json()),
        "panel": _store_panel(out, data),
        "n_measured": data.n_measured,
        "n_values": data.n_values,
        "content": data.content,
        "rasters": described,
        "arrays": writer.arrays,
        "shards": writer.shards,
    }


def _store_panel(out: Path, data: SampleData) -> str:
    """Write the panel where no sample had it; its name."""
    text = to_json({"names": data.genes.index.tolist(), "gene_ids": data.genes[keys.GENE_ID].tolist()})
    digest = provenance.hash_text(text)
    path = panel_path(out, digest)
    if not path.exists():
        with atomic_file(path, overwrite=True, kind=PART) as temporary:
            temporary.write_text(text)
    return digest


def verify_corpus(path: Path) -> None:
    """Compare every shard and panel with its SHA-256.

    Raises
    ------
    MissingResourceError
        If there is no corpus.
    BadInputError
        If a file is damaged or missing; each is named, with the samples that need it.
    """
    path = Path(path)
    if not is_corpus(path):
        raise MissingResourceError(f"no such corpus: {path}", hint="focus corpus makes one")
    needed: dict[Path, tuple[str, list[str]]] = {}
    for sample_id in sample_ids(path):
        described = read_entry(path, sample_id)
        files = {shard_path(path / SHARDS, s["sha256"]): s["sha256"] for s in described["shards"]}
        files[panel_path(path, described["panel"])] = described["panel"]
        for file, digest in files.items():
            needed.setdefault(file, (digest, []))[1].append(sample_id)
    spoilt: dict[str, None] = {}
    for file, (digest, ids) in track(needed.items(), "verifying", len(needed)):
        if not file.is_file() or provenance.hash_file(file) != digest:
            print_message(f"corpus: {file} is {'damaged' if file.is_file() else 'missing'} (of {', '.join(ids)})")
            spoilt |= dict.fromkeys(ids)
    if spoilt:
        raise BadInputError(
            f"{path}: {len(spoilt)} samples are damaged: {', '.join(spoilt)}",
            hint="pack them again with --overwrite",
        )
    print_message(f"corpus: {len(needed)} files are as they were written")

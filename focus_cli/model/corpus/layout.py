"""Where the parts of a corpus lie, and what its descriptions hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.sample_schema import SampleDocument
from focus_cli.core.storage.schema import (
    Count,
    Document,
    EncoderDocument,
    Name,
    Pitch,
    SampleId,
    Schema,
    Sha256,
    Text,
    require_version,
    validated,
)

SCHEMA_VERSION = 1
SHARDS = "shards"
SAMPLES = "samples"
PANELS = "panels"
INCOMPLETE = "incomplete.json"  # there while samples are packed, with their names
_AGAIN = "run focus corpus again with --overwrite"
_AXES = 8
_BYTES = 1 << 50


def _piece(piece: list[int]) -> list[int]:
    if min(piece) < 0 or max(piece) > _BYTES:
        raise ValueError("no piece of a shard")
    return piece


def _within(shape: list[int]) -> list[int]:
    total = 1
    for side in shape:
        total *= side
    if total > _BYTES:
        raise ValueError("larger than any corpus")
    return shape


Shape = Annotated[list[Count], Field(max_length=_AXES), AfterValidator(_within)]


class CorpusDocument(Document):
    """``corpus.json``."""

    schema_version: int


class IncompleteDocument(Document):
    """The samples that are being packed."""

    schema_version: int
    samples: list[SampleId]


class PanelDocument(Document):
    """A panel of genes."""

    schema_version: int
    names: list[Name]
    gene_ids: list[Text]


class ShardDocument(Document):
    """A shard: its name is its SHA-256."""

    sha256: Sha256
    bytes: Count


class ArrayDocument(Document):
    """An array in shards: pieces are (shard, place, bytes)."""

    dtype: Literal["|u1", "<u2", "<u4", "<i4", "<i8", "<f2", "<f4", "<f8"]
    shape: Shape
    pieces: list[Annotated[list[int], Field(min_length=3, max_length=3), AfterValidator(_piece)]]


class RasterDocument(Document):
    """A raster of image features."""

    names: list[Name] = Field(min_length=1)
    step_um: Pitch
    origin_um: Annotated[list[float], Field(min_length=2, max_length=2)]
    version: int
    encoder: EncoderDocument | None
    shape: Annotated[Shape, Field(min_length=2, max_length=2)]


class SourceDocument(Document):
    """The sample folder that was packed."""

    name: Text
    bytes: Count
    sha256: Sha256


class EntryDocument(Document):
    """The description of a sample in a corpus."""

    schema_version: int
    sample: SampleDocument
    panel: Sha256
    n_measured: Count
    n_values: Count
    content: Sha256
    rasters: list[RasterDocument] = Field(max_length=16)
    arrays: dict[Name, ArrayDocument]
    shards: list[ShardDocument]
    provenance: dict[str, Any]


def entry_path(corpus: Path, sample_id: str) -> Path:
    """The description of a sample: it is in the corpus once this is there."""
    return corpus / SAMPLES / f"{sample_id}.json"


def missing_samples(corpus: Path) -> list[str]:
    """Names of samples that were being packed when their ``focus corpus`` ended before its time; sorted.

    Raises
    ------
    BadInputError
        If the list is damaged.
    """
    path = corpus / INCOMPLETE
    if not path.exists():
        return []
    return sorted(read_described(path, IncompleteDocument)["samples"])


def panel_path(corpus: Path, digest: str) -> Path:
    """A panel of genes, by the SHA-256 of its file."""
    return corpus / PANELS / f"{digest}.json"


def read_described(path: Path, schema: type[Schema]) -> dict[str, Any]:
    """A description, checked.

    Raises
    ------
    MissingResourceError
        If it is not there.
    BadInputError
        If it is damaged, or is of another schema version.
    """
    raw = read_json_object(path)
    require_version(raw, SCHEMA_VERSION, path, "run focus corpus again")
    validated(schema, raw, path, _AGAIN)
    return raw


def read_entry(corpus: Path, sample_id: str) -> dict[str, Any]:
    """The description of a sample of a corpus.

    Raises
    ------
    MissingResourceError, BadInputError
        As `read_described`; BadInputError as well where its parts do not fit together.
    """
    path = entry_path(corpus, sample_id)
    entry = read_described(path, EntryDocument)
    validated(SourceDocument, entry["provenance"].get("inputs", {}).get("sample"), path, _AGAIN)
    for name, array in entry["arrays"].items():
        if any(shard >= len(entry["shards"]) for shard, *_ in array["pieces"]):
            raise BadInputError(f"{path} is damaged: arrays.{name} lies in a shard that is not listed", hint=_AGAIN)
    return entry


def to_json(described: dict[str, Any]) -> str:
    """As it is written: equal descriptions are equal bytes."""
    return json.dumps({"schema_version": SCHEMA_VERSION} | described, sort_keys=True, ensure_ascii=False) + "\n"

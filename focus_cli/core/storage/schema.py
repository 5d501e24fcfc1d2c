"""What the descriptions that FOCUS writes are checked against when they are read.

Each kind of file has one schema, which lies beside what reads it; this module holds what they share. A schema decides
types, ranges and names; that parts of a folder fit each other is checked where they meet.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.names import is_sample_id


def _sample_id(text: str) -> str:
    if not is_sample_id(text):
        raise ValueError("a sample id has letters, digits, '.', '_' and '-', at most 100, a letter or digit first")
    return text


def _local_path(text: str) -> str:
    if "://" in text or not text.strip():
        raise ValueError("no path of a file")
    return text


def _spread(values: list[float]) -> list[float]:
    if not min(values) > 0:
        raise ValueError("must be above 0")
    return values


Text = Annotated[str, Field(max_length=10_000)]
Name = Annotated[str, Field(min_length=1, max_length=1000)]
SampleId = Annotated[str, AfterValidator(_sample_id)]
LocalPath = Annotated[str, Field(max_length=4096), AfterValidator(_local_path)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Count = Annotated[int, Field(ge=0, lt=1 << 48)]
Pixels = Annotated[int, Field(ge=1, le=1 << 24)]
MicronsPerPixel = Annotated[float, Field(ge=1e-4, le=1e4)]
Microns = Annotated[float, Field(ge=0, le=1e7)]
Pitch = Annotated[float, Field(ge=1e-3, le=1e6)]  # µm from one location to the next
Rgb = Annotated[list[float], Field(min_length=3, max_length=3)]
RgbSpread = Annotated[Rgb, AfterValidator(_spread)]


class Document(BaseModel):
    """A description of ours: its keys are known, numbers are finite, and no text is taken for a number."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, protected_namespaces=())


class EncoderDocument(Document):
    """What a learned encoder states of itself (an ``EncoderInfo``); `step_um`: pitch of its raster."""

    name: Name
    digest: Name
    mpp: MicronsPerPixel
    tile_px: Annotated[int, Field(ge=1, le=1 << 14)]
    mean: Rgb
    std: RgbSpread
    dim: Annotated[int, Field(ge=1, le=1 << 20)]
    grid: Annotated[int, Field(ge=1, le=1 << 12)]
    licence: Text
    source: Text
    step_um: Pitch | None = None


Schema = TypeVar("Schema", bound=BaseModel)


def require_version(raw: Mapping[str, Any], version: int, path: Path | str, hint: str) -> None:
    """Refuse a description of another schema version; one that states none is left to `validated`.

    Raises
    ------
    BadInputError
        Naming both versions.
    """
    stated = raw.get("schema_version")
    if isinstance(stated, int) and stated != version:
        raise BadInputError(f"{path} has schema version {stated}, this FOCUS reads {version}", hint=hint)


def validated(schema: type[Schema], raw: Any, path: Path | str, hint: str | None = None) -> Schema:
    """Check a description.

    Parameters
    ----------
    schema
        What it must be.
    raw
        Its content, as `focus_cli.core.storage.documents` reads it.
    path
        Where it was read, for the message.

    Raises
    ------
    BadInputError
        Naming the file and the first key that does not fit.
    """
    try:
        return schema.model_validate(raw)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "its content"
        raise BadInputError(f"{path} is damaged: {place}: {first['msg']}", hint=hint) from error

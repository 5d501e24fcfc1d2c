"""Embeddings as heads see them: one row of features for each location, all samples in one space."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.h5ad.analysis_result import require_kind
from focus_cli.core.h5ad.spatial_file import SpatialFile

KIND = "embedding"
PARTS = (keys.LOCATION, keys.NEIGHBOURHOOD)


@dataclass(frozen=True)
class Embedding:
    """The representation of one sample's locations, in memory.

    Attributes
    ----------
    path, sample
        The file, and the name of its sample.
    space
        Text that is the same for files whose values mean the same.
    names
        Names of the locations (n,).
    features
        Representation of the location beside that of its neighbourhood, float32 (n, D).
    widths
        How many of the columns each part of `PARTS` has.
    xy
        Positions (x, y) in µm, or in pixels where the file states no µm, float64 (n, 2).
    in_tissue
        Whether the location lies on tissue, bool (n,); all True where it is not stated.
    """

    path: Path
    sample: str
    space: str
    names: pd.Index
    features: np.ndarray
    widths: dict[str, int]
    xy: np.ndarray
    in_tissue: np.ndarray


def read_embedding(path: Path) -> Embedding:
    """Read a file of `focus embed`.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is no embedding, or its representation is missing, not finite or of another length.
    """
    with SpatialFile(path) as file:
        return embedding_of(file)


def embedding_of(file: SpatialFile) -> Embedding:
    """The same of a file that is open."""
    require_kind(file, KIND, "focus embed")
    parts = {key: _part(file, key) for key in PARTS}
    space = str(file.focus.get("space", ""))
    if not space:
        raise BadInputError(f"{file.path} does not state its space", hint="make it again with focus embed")
    if not file.obs.index.is_unique:
        raise BadInputError(f"{file.path} names a location twice", hint="make it again with focus embed")
    return Embedding(
        path=file.path,
        sample=file.sample,
        space=space,
        names=file.obs.index,
        features=np.concatenate(list(parts.values()), axis=1),
        widths={key: part.shape[1] for key, part in parts.items()},
        xy=file.xy_um,
        in_tissue=file.on_tissue,
    )


def _part(file: SpatialFile, key: str) -> np.ndarray:
    values = file.obsm(key)
    if values is None:
        raise BadInputError(f"{file.path} has no obsm[{key!r}]", hint="focus embed writes it")
    values = np.asarray(values, dtype=np.float32)
    if values.ndim != 2 or len(values) != len(file.obs) or not values.shape[1]:
        raise BadInputError(f"obsm[{key!r}] of {file.path} is not one row of numbers for each location")
    if not np.isfinite(values).all():
        raise BadInputError(f"obsm[{key!r}] of {file.path} holds values that are not finite")
    return values


def read_cohort(paths: Sequence[Path]) -> Iterator[Embedding]:
    """Read embeddings one after the other, by name of the sample; each must be of the first one's space.

    Raises
    ------
    UsageError
        If no file is named.
    BadInputError
        If two files hold one sample, or files lie in different spaces.
    """
    if not paths:
        raise UsageError("no embeddings", hint="name the files written by focus embed")
    found: dict[str, tuple[Path, str]] = {}
    for path in paths:
        with SpatialFile(path) as file:  # headers only: what does not fit is refused before any work
            require_kind(file, KIND, "focus embed")
            sample = file.sample
            space = str(file.focus.get("space", ""))
        if sample in found:
            raise BadInputError(f"{found[sample][0]} and {path} are both of sample {sample}", hint="name it once")
        found[sample] = Path(path), space
    first_path, first = next(iter(found.values()))
    for path, space in found.values():
        if space != first:
            raise BadInputError(
                f"{path} and {first_path} are in different spaces: {space!r} and {first!r}",
                hint="embed all samples with one model and in one mode",
            )
    for sample in sorted(found):
        yield read_embedding(found[sample][0])


def require_space(embedding: Embedding, space: str, widths: dict[str, int], head: Path) -> None:
    """Refuse an embedding that a head was not made for.

    Raises
    ------
    BadInputError
        If its space or its width is another one.
    """
    if embedding.space != space:
        raise BadInputError(
            f"{embedding.path} is in space {embedding.space!r}, {head} was fitted in {space!r}",
            hint="embed the sample with the model of the head, in the same mode",
        )
    if embedding.widths != dict(widths):
        raise BadInputError(
            f"{embedding.path} has parts of {list(embedding.widths.values())} values, "
            f"{head} expects {list(dict(widths).values())}",
            hint="embed the sample again",
        )

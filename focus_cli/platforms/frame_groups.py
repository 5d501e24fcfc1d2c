"""The ways to divide locations into sections and fields of view: by columns, libraries and barcodes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from focus_cli.core.errors import UsageError
from focus_cli.core.missing import texts
from focus_cli.platforms.depth import as_depth, is_depth, planes
from focus_cli.platforms.frame_areas import ignore_each_other, keep_apart, one_layer, share_area

# Words in the names of columns that name sections or parts of them, the usual ones first.
_SECTION_WORDS = (
    *("library", "libraries", "sample", "section", "slide", "slice", "puck", "capture", "chip", "roi", "core"),
    *("replicate", "rep", "batch", "dataset", "specimen", "ident", "run", "experiment", "image"),
    *("donor", "patient", "subject", "individual", "mouse", "animal", "bregma", "well", "block", "fov", "field"),
)
# Words of pieces of tissue or of a slide: positions of two of them are never of one section.
_PLACES = (
    "library",
    "librarie",
    "section",
    "slide",
    "slice",
    "puck",
    "capture",
    "chip",
    "fov",
    "field",
    "bregma",
    "sample",
)
_FIELD_WORDS = ("fov", "field")
# Words that make a column something else, for instance ``fov_x`` or ``n_samples``.
_OTHER_WORDS = (
    *("n", "num", "count", "counts", "total", "pct", "percent", "mean", "score", "size", "area", "x", "y", "z", "px"),
    *("um", "pixel", "local", "global", "distance", "volume", "type", "class", "cluster", "leiden", "louvain"),
    *("width", "height", "row", "col", "array", "color", "colour", "age", "sex", "weight", "index", "order"),
)
_MOST_GROUPS, _MOST_OTHER_GROUPS = 5000, 30
_FEWEST = 20  # members of a group of barcodes


@dataclass(frozen=True)
class Groups:
    """One way to divide locations: the label of each (``""``: none), and where they come from."""

    column: str
    labels: np.ndarray
    source: str = ""

    @property
    def names(self) -> list[str]:
        return natural_order(set(self.labels.tolist()) - {""})


def find_groups(
    obs: pd.DataFrame,
    xy: np.ndarray,
    z: np.ndarray | None,
    where: str,
    libraries: Sequence[str],
    names: np.ndarray | None,
) -> list[Groups]:
    """The ways to divide locations of several frames; empty where there is one frame."""
    named, others = section_columns(obs)
    found = []
    if len(libraries) > 1:
        by_library = _by_library(named + others, obs, libraries, where)
        fields = by_library is not None and is_field(by_library.column)
        if by_library is not None and (not fields or share_area(by_library.labels, xy)):
            found.append(by_library)
    shared = [groups for groups in named if share_area(groups.labels, xy)]
    repeats = names is not None and len(names) and not pd.Index(names).is_unique
    found += [g for g in shared if repeats or _of_space(g.column) or not keep_apart(g.labels, xy)]
    levels = planes(z) if z is not None else None
    if levels is not None and share_area(levels, xy) and not one_layer(levels, xy):
        found.append(Groups("z", levels, "z"))
    if names is not None and not found:
        found += [groups for groups in _by_name(names) if share_area(groups.labels, xy)]
    if repeats:
        found += [groups for groups in named + others if _unique_within(groups.labels, names)]
    if not found:
        found = [groups for groups in others if ignore_each_other(groups.labels, xy)]
    return list({id(groups.labels): groups for groups in found}.values())


def section_columns(obs: pd.DataFrame) -> tuple[list[Groups], list[Groups]]:
    """The columns that name sections, the usual first, and those that might: few groups of any name."""
    named, others = [], []
    for place in range(obs.shape[1]):
        name, values = str(obs.columns[place]), obs.iloc[:, place]
        rank = names_sections(name)
        fraction = pd.api.types.is_float_dtype(values)
        depth = is_depth(name)
        if rank is None and (
            fraction or (depth and as_depth(values) is not None) or {"row", "col"} & set(words_of(name))
        ):
            continue
        if not 2 <= values.nunique() <= (_MOST_GROUPS if depth or rank is not None else _MOST_OTHER_GROUPS):
            continue
        if fraction and np.all(np.mod(values.dropna(), 1) == 0):
            values = values.astype("Int64")
        groups = Groups(name, texts(values.astype("category")), f"obs[{name!r}]")
        if depth and rank is None:  # planes that have names
            named.append((len(_SECTION_WORDS), place, groups))
        elif rank is None:
            others.append(groups)
        else:
            named.append((rank, place, groups))
    return [groups for _, _, groups in sorted(named, key=lambda one: one[:2])], others


def _by_name(names: np.ndarray) -> list[Groups]:
    """Groups by what barcodes start or end with, as programs mark them that join sections (``-1``, ``-2``)."""
    names = pd.Series(names, dtype=object).astype(str)
    found = []
    for source, pattern in (("endings", r"[-_.:]([A-Za-z0-9]+)$"), ("beginnings", r"^([A-Za-z0-9]+)[-_.:]")):
        parts = names.str.extract(pattern, expand=False)
        counts = parts.value_counts()
        if parts.notna().all() and 2 <= len(counts) <= _MOST_OTHER_GROUPS and counts.min() >= _FEWEST:
            found.append(Groups(source, parts.to_numpy(dtype=object), f"the {source} of barcodes"))
    return found


def _unique_within(labels: np.ndarray, names: np.ndarray) -> bool:
    return not pd.DataFrame({"label": labels, "name": names.astype(str)}).duplicated().any()


def _by_library(columns: list[Groups], obs: pd.DataFrame, libraries: Sequence[str], where: str) -> Groups | None:
    """The column that states in which library each location lies; None where all lie in one.

    Raises
    ------
    UsageError
        If nothing states it.
    """
    for groups in columns:
        if len(set(groups.names) & set(libraries)) > 1:
            return groups
    known = [set(texts(obs.iloc[:, i].unique()).tolist()) - {""} for i in range(obs.shape[1])]
    if any(len(held) == 1 and held <= set(libraries) for held in known):
        return None
    index = obs.index.astype(str)
    ends = np.full(len(index), "", dtype=object)
    for library in sorted(libraries, key=len):
        ends[index.str.endswith(library) | index.str.startswith(library)] = library
    if len(index) and (ends != "").all():
        return Groups("library", ends, "the barcodes") if len(set(ends.tolist())) > 1 else None
    listed = ", ".join(natural_order(libraries)[:8])
    raise UsageError(
        f"{where}: uns['spatial'] describes {len(libraries)} libraries ({listed}), and no column of obs states "
        "in which of them a location lies",
        hint="add obs['library_id'] to the file, or keep the one entry of uns['spatial'] that it belongs to",
    )


def names_sections(name: str) -> int | None:
    """How usual a column's name is for sections, 0 the most; None if it names something else."""
    words = words_of(name)
    if words[:2] == ["capture", "area"]:  # of a Visium slide
        return _SECTION_WORDS.index("capture")
    if set(_OTHER_WORDS) & set(words):
        return None
    ranks = {word: rank for rank, word in enumerate(_SECTION_WORDS)}
    roots = [root for word in words for root in (word, word.removesuffix("s"), word.removesuffix("id"))]
    return min((ranks[root] for root in roots if root in ranks), default=None)


def _of_space(name: str) -> bool:
    """Whether a column's name states a piece of tissue or of a slide, and not who or what was measured on it."""
    return bool(set(_PLACES) & {root for word in words_of(name) for root in (word, word.removesuffix("s"))})


def is_field(name: str) -> bool:
    """Whether a column's name states fields of view."""
    return bool(set(_FIELD_WORDS) & set(words_of(name)))


def words_of(name: str) -> list[str]:
    """The words of a column's name, in small letters: ``Slide_ID``, ``slideId`` and ``slide.id`` alike."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", str(name))
    return [word.lower() for word in re.split(r"[^A-Za-z]+", split) if word]


def natural_order(names) -> list[str]:
    """Sorted, numbers within names by their value."""
    return sorted(names, key=lambda name: [(not w.isdigit(), int(w) if w.isdigit() else 0, w) for w in _parts(name)])


def _parts(name: str) -> list[str]:
    return [word for word in re.split(r"(\d{1,15})", name) if word]

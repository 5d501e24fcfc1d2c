"""Sections, fields of view and planes that share one range of positions, told apart and chosen.

A table that joins several sections has positions of each in a frame of its own: read as one, they lie on top of each
other. Columns whose names speak of sections are compared by area: groups that lie side by side are one frame, groups
that lie within each other are several. Any other column counts only where its groups ignore each other's spacing, as
cells of one section never do: no two of them share a place.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from focus_cli import keys
from focus_cli.errors import BadInputError, UsageError
from focus_cli.missing import texts
from focus_cli.platforms.checks import choose_region

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
_Z_NAMES = re.compile(
    r"z|z_?(pos|position|centroid|center|coord|coordinate|location|um|micron|index|plane|slice|stack|layer|level|px)s?"
    r"|z_?depth(_?um)?|depth_?(um|microns?|z)"
    r"|(center|centre|centroid|global|local|spatial|mean|pos|coord)_?z(_?(um|px))?|z_?plane|focal_?plane|plane",
    re.IGNORECASE,
)
_MOST_GROUPS, _MOST_OTHER_GROUPS, _MOST_PLANES = 5000, 30, 30
_FEWEST_OF_A_PLANE = 5
_WINDOW = 20_000  # locations in which the spacing of groups is compared
_FEWEST = 20  # members of a group whose spacing is compared
_FEWEST_OF_AN_AREA = 60  # members of a group whose area its neighbours tell
_NEAR, _NEEDED = 12, 9  # neighbours within a group, and those that a location inside of its area has
_SHARED = 0.15  # of the locations inside another group's area: the groups share one area
_SAMPLED_GROUPS, _SAMPLED = 40, 200
# Of the median distance to the nearest neighbour, what nearly all keep: 0.27 at random places, over 0.5 of cells.
_KEPT = 0.45
_COINCIDENT, _FEWEST_COINCIDENT = 0.05, 10


@dataclass(frozen=True)
class Frame:
    """The locations of one frame.

    Attributes
    ----------
    rows
        int (m,), which locations.
    labels
        The names that chose them; empty where all locations share one frame.
    warnings
        One line each.
    """

    rows: np.ndarray
    labels: tuple[str, ...] = ()
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class _Groups:
    """One way to divide locations: the label of each (``""``: none), and where they come from."""

    column: str
    labels: np.ndarray
    source: str = ""

    @property
    def names(self) -> list[str]:
        return natural_order(set(self.labels.tolist()) - {""})


def choose_frame(
    obs: pd.DataFrame,
    xy: np.ndarray,
    *,
    where: str,
    z: np.ndarray | None = None,
    libraries: Sequence[str] = (),
    names: Sequence[str] | None = None,
    region: str | None = None,
) -> Frame:
    """The locations of the one section that is meant.

    Parameters
    ----------
    obs
        Columns of the locations; those that name sections are looked for.
    xy
        float (n, 2), positions.
    where
        File to name in messages.
    z
        float (n,), the third coordinate; None looks for a column of `obs`.
    libraries
        Names of the libraries that the file describes.
    names
        Barcodes (n,), where they are known: they repeat where sections were joined.
    region
        The section: its name, ``column=name``, or several of these divided by commas.

    Raises
    ------
    UsageError
        If several sections share one frame and none, or an unknown one, is chosen.
    BadInputError
        If many positions coincide and no column tells the locations apart.
    """
    obs = obs.loc[:, ~obs.columns.duplicated()]
    rows = np.arange(len(xy))
    said: list[str] = []
    chosen: list[str] = []
    left = region
    z, z_name = (np.asarray(z, float), "z") if z is not None else z_column(obs)
    while True:
        here = obs.iloc[rows]
        of_names = None if names is None else np.asarray(names, dtype=object)[rows]
        found = _several(here, xy[rows], None if z is None else z[rows], where, libraries, of_names)
        if not found:
            break
        pick = _pick(found, left, chosen, where)
        rows, left = rows[pick.rows], pick.left
        chosen.append(pick.name)
        libraries = () if pick.name in libraries else libraries
        if pick.left_out:
            said.append(f"{where}: {pick.left_out} locations have no name in {pick.source} and were left out")
    if left is not None:
        pick = _beside(obs.iloc[rows], left, where)
        rows = rows[pick.rows]
        chosen.append(pick.name)
    if z is not None:
        said += _depth(z[rows], z_name, where)
    if not chosen:
        said += _one_section(obs, xy, where)
    said += _check_coincident(xy[rows], where, "position")
    if {keys.ARRAY_ROW, keys.ARRAY_COL} <= set(obs.columns):
        place = obs.iloc[rows][[keys.ARRAY_ROW, keys.ARRAY_COL]].apply(pd.to_numeric, errors="coerce")
        _check_coincident(place.to_numpy(np.float64, na_value=np.nan), where, "place on the array")
    return Frame(rows, tuple(chosen), said)


def split_region(path: Path, names: Sequence[str], region: str | None) -> tuple[str, str | None]:
    """The one of several sections that `region` starts with, and what it says beyond: a plane, a field of view.

    Raises
    ------
    UsageError
        If there are several and none, or an unknown one, is chosen.
    """
    if region is not None and region not in names:
        for name in sorted(names, key=len, reverse=True):
            if region.startswith(f"{name},"):
                return name, region[len(name) + 1 :]
        if len(names) == 1:
            return names[0], region
    return choose_region(path, list(names), region), None


def is_depth(name: str) -> bool:
    """Whether a column's name is that of a third coordinate."""
    return bool(_Z_NAMES.fullmatch(str(name)))


def frame_columns(names: Sequence[str]) -> list[str]:
    """The columns of a table of cells that `choose_frame` looks at: of sections, fields of view and depth."""
    return [name for name in names if names_sections(name) is not None or is_depth(name)]


def z_column(obs: pd.DataFrame) -> tuple[np.ndarray | None, str]:
    """The column of a third coordinate that varies, float (n,), and its name."""
    for name in obs.columns:
        if is_depth(name) and _numeric(obs[name]):
            values = pd.to_numeric(obs[name], errors="coerce").to_numpy(np.float64, na_value=np.nan)
            if np.isfinite(values).any() and np.nanmax(values) > np.nanmin(values):
                return values, str(name)
    return None, ""


def planes(z: np.ndarray) -> np.ndarray | None:
    """``z=…`` for each location, where few levels hold all of them; None where z is continuous or constant."""
    known = np.isfinite(z)
    if not known.any():
        return None
    levels, counts = np.unique(z[known], return_counts=True)
    if len(levels) < 2:
        return None
    if len(levels) > _MOST_PLANES or np.median(counts) < _FEWEST_OF_A_PLANE:  # levels that jitter
        gaps = np.diff(levels)
        cut = np.flatnonzero(gaps > max(0.02 * np.ptp(levels), 20 * np.median(gaps)))
        starts, ends = np.append(0, cut + 1), np.append(cut, len(levels) - 1)
        widths = levels[ends] - levels[starts]
        if not len(cut) or len(starts) > _MOST_PLANES or widths.max() > 0.3 * gaps[cut].min():
            return None
        level = np.searchsorted(levels[starts], z[known], side="right") - 1
        names = [f"z={np.median(z[known][level == i]):.4g}" for i in range(len(starts))]
    else:
        level = np.searchsorted(levels, z[known])
        names = [f"z={value:.10g}" for value in levels]
    if len(set(names)) < len(names) or len(z) < 4 * len(names):
        return None
    labels = np.full(len(z), "", dtype=object)
    labels[known] = np.asarray(names, dtype=object)[level]
    return labels


def share_area(labels: np.ndarray, xy: np.ndarray) -> bool:
    """Whether groups of locations lie within each other's areas rather than side by side.

    A location lies in another group's area where it has about as many neighbours of that group as that group's own
    members have. On an edge between two groups it has half as many.

    Parameters
    ----------
    labels
        str (n,); ``""`` belongs to no group.
    xy
        float (n, 2).
    """
    groups = _members(labels, xy, _FEWEST)
    trees = [cKDTree(points) if len(points) >= _FEWEST_OF_AN_AREA else None for points in groups]
    large = [tree for tree in trees if tree is not None]
    if len(large) < _SAMPLED_GROUPS and sum(tree.n for tree in large) < 0.5 * len(xy):
        return _share_boxes(_members(labels, xy, 3))
    reach = [_reach(tree) if tree is not None else -1.0 for tree in trees]
    inside, asked = [], []
    for a, points in enumerate(groups):
        places = _spread(points, _SAMPLED)
        within = np.zeros(len(places), dtype=bool)
        for b, tree in enumerate(trees):
            if a == b or tree is None:
                continue
            low, high = tree.mins - reach[b], tree.maxes + reach[b]
            near = np.flatnonzero(~within & (places >= low).all(axis=1) & (places <= high).all(axis=1))
            if len(near):
                within[near] = tree.query(places[near], k=_NEEDED)[0][:, -1] <= reach[b]
        inside.append(int(within.sum()))
        asked.append(len(places))
    if not asked:
        return False
    # A small section may lie within a large one.
    return sum(inside) > _SHARED * sum(asked) or bool(np.any(np.array(inside) > 0.6 * np.array(asked)))


def _share_boxes(groups: list[np.ndarray]) -> bool:
    """The same of groups of a few locations, by the middle of the box around each."""
    inside = total = 0
    boxes = [(points.min(axis=0), points.max(axis=0)) for points in groups]
    middle = [(low + 0.2 * (high - low), high - 0.2 * (high - low)) for low, high in boxes]
    for a, points in enumerate(groups):
        within = np.zeros(len(points), dtype=bool)
        for b, (low, high) in enumerate(middle):
            if a != b:
                within |= ((points >= low) & (points <= high)).all(axis=1)
        inside, total = inside + int(within.sum()), total + len(points)
    return inside > _SHARED * total


def _reach(tree: cKDTree) -> float:
    """Median distance to the twelfth neighbour in the group."""
    points = _spread(tree.data, 500)
    return 1.05 * float(np.median(tree.query(points, k=min(_NEAR + 1, tree.n))[0][:, -1]))


def ignore_each_other(labels: np.ndarray, xy: np.ndarray) -> bool:
    """Whether groups are spaced as if the others were not there, as sections laid over one another are.

    Cells, spots and beads of one section keep a distance, whatever their group. Of two sections, many lie closer to
    one of the other section than any two of one section do. Where labels are drawn at random over positions without
    a distance, as many of the same group lie as close.
    """
    if len(xy) > _WINDOW:
        labels, xy = _window(labels, xy)
    groups = _members(labels, xy, _FEWEST)
    if len(groups) < 2 or sum(map(len, groups)) < 0.9 * len(xy):
        return False
    trees = [cKDTree(points) for points in groups]
    asked = [_spread(points, 5 * _SAMPLED) for points in groups]
    own = [tree.query(points, k=2)[0][:, 1] for tree, points in zip(trees, asked)]
    apart = np.array([np.quantile(near, 0.05) for near in own])
    n = np.array([len(points) for points in groups], float)
    crossed = same = expected = 0.0
    for a, points in enumerate(asked):
        close = np.zeros(len(points), dtype=bool)
        for b, tree in enumerate(trees):
            limit = 0.6 * min(apart[a], apart[b])
            if a != b and limit > 0:
                close |= tree.query(points, k=1)[0] < limit
        weight = n[a] / n.sum()
        crossed += weight * close.mean()
        same += weight * float(np.mean(own[a] < 0.6 * apart[a]))
        expected += weight * n[a] / max(n.sum() - n[a], 1)
    return crossed > _SHARED and same < 0.3 * crossed * expected


def _window(labels: np.ndarray, xy: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The locations around the middle, about `_WINDOW` of them."""
    edge = 0.5 * np.sqrt(_WINDOW / len(xy))
    low, high = np.quantile(xy, [0.5 - edge, 0.5 + edge], axis=0)
    here = ((xy >= low) & (xy <= high)).all(axis=1)
    return labels[here], xy[here]


def one_layer(labels: np.ndarray, xy: np.ndarray) -> bool:
    """Whether locations of different planes keep a distance: each lies in one plane of a section a few cells thick."""
    if len(xy) > _WINDOW:
        labels, xy = _window(labels, xy)
    known = np.isfinite(xy).all(axis=1)
    labels, xy = labels[known], xy[known]
    near = cKDTree(xy).query(xy, k=2)[0][:, 1]
    return float(np.quantile(near, 0.05)) > _KEPT * float(np.median(near)) and not ignore_each_other(labels, xy)


def keep_apart(labels: np.ndarray, xy: np.ndarray) -> bool:
    """Whether locations keep a distance across groups too, as cells of one section do: donors, batches of probes.

    Every group is compared: a small section within a large one would pass unseen in the average.
    """
    if not one_layer(labels, xy):
        return False
    if len(xy) > _WINDOW:
        labels, xy = _window(labels, xy)
    known = np.isfinite(xy).all(axis=1)
    labels, xy = labels[known], xy[known]
    usual = float(np.median(cKDTree(xy).query(xy, k=2)[0][:, 1]))
    for name in set(labels.tolist()):
        own = labels == name
        if own.all() or own.sum() < _FEWEST:
            continue
        near = cKDTree(xy[~own]).query(_spread(xy[own], 5 * _SAMPLED), k=1)[0]
        if float(np.quantile(near, 0.05)) < _KEPT * usual:
            return False
        apart = cKDTree(xy[own]).query(_spread(xy[own], 5 * _SAMPLED), k=2)[0][:, 1]
        # Two arrays of one pitch, shifted: every location has one of the other near it, and none of its own.
        if float(np.quantile(apart, 0.05)) > 1.2 * float(np.quantile(near, 0.95)):
            return False
    return True


def natural_order(names) -> list[str]:
    """Sorted, numbers within names by their value."""
    return sorted(names, key=lambda name: [(not w.isdigit(), int(w) if w.isdigit() else 0, w) for w in _parts(name)])


def _parts(name: str) -> list[str]:
    return [word for word in re.split(r"(\d{1,15})", name) if word]


def _members(labels: np.ndarray, xy: np.ndarray, fewest: int) -> list[np.ndarray]:
    """Positions of the groups that are large enough to compare, at most `_SAMPLED_GROUPS` of them."""
    codes, names = pd.factorize(labels)
    kept = np.isfinite(xy).all(axis=1) & (np.append(names, "")[codes] != "")
    sizes = np.bincount(codes[kept], minlength=len(names))
    large = np.flatnonzero(sizes >= fewest)[:_SAMPLED_GROUPS]
    order = np.argsort(codes[kept], kind="stable")
    starts = np.concatenate([[0], np.cumsum(sizes)])
    placed = xy[kept][order]
    return [placed[starts[g] : starts[g + 1]] for g in large]


def _spread(points: np.ndarray, most: int) -> np.ndarray:
    return points if len(points) <= most else points[np.linspace(0, len(points) - 1, most).astype(int)]


def words_of(name: str) -> list[str]:
    """The words of a column's name, in small letters: ``Slide_ID``, ``slideId`` and ``slide.id`` alike."""
    split = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", str(name))
    return [word.lower() for word in re.split(r"[^A-Za-z]+", split) if word]


def names_sections(name: str) -> int | None:
    """How usual a column's name is for sections, 0 the most; None where it speaks of something else."""
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


def _numeric(values: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values)


def _columns(obs: pd.DataFrame) -> tuple[list[_Groups], list[_Groups]]:
    """The columns that name sections, the usual first, and those that might: few groups of any name."""
    named, others = [], []
    for place in range(obs.shape[1]):
        name, values = str(obs.columns[place]), obs.iloc[:, place]
        rank = names_sections(name)
        fraction = pd.api.types.is_float_dtype(values)
        depth = is_depth(name)
        if rank is None and (fraction or (depth and _numeric(values)) or {"row", "col"} & set(words_of(name))):
            continue
        if not 2 <= values.nunique() <= (_MOST_OTHER_GROUPS if rank is None else _MOST_GROUPS):
            continue
        if fraction and np.all(np.mod(values.dropna(), 1) == 0):
            values = values.astype("Int64")
        groups = _Groups(name, texts(values.astype("category")), f"obs[{name!r}]")
        if depth and rank is None:  # planes that have names
            named.append((len(_SECTION_WORDS), place, groups))
        elif rank is None:
            others.append(groups)
        else:
            named.append((rank, place, groups))
    return [groups for _, _, groups in sorted(named, key=lambda one: one[:2])], others


def _several(
    obs: pd.DataFrame,
    xy: np.ndarray,
    z: np.ndarray | None,
    where: str,
    libraries: Sequence[str],
    names: np.ndarray | None,
) -> list[_Groups]:
    """The ways to divide locations of several frames; empty where there is one frame."""
    named, others = _columns(obs)
    found = []
    if len(libraries) > 1:
        by_library = _by_library(named + others, obs, libraries, where)
        fields = by_library is not None and set(_FIELD_WORDS) & set(words_of(by_library.column))
        if by_library is not None and (not fields or share_area(by_library.labels, xy)):
            found.append(by_library)
    shared = [groups for groups in named if share_area(groups.labels, xy)]
    repeats = names is not None and len(names) and not pd.Index(names).is_unique
    found += [g for g in shared if repeats or _of_space(g.column) or not keep_apart(g.labels, xy)]
    levels = planes(z) if z is not None else None
    if levels is not None and share_area(levels, xy) and not one_layer(levels, xy):
        found.append(_Groups("z", levels, "z"))
    if names is not None and not found:
        found += [groups for groups in _by_name(names) if share_area(groups.labels, xy)]
    if repeats:
        found += [groups for groups in named + others if _unique_within(groups.labels, names)]
    if not found:
        found = [groups for groups in others if ignore_each_other(groups.labels, xy)]
    return list({id(groups.labels): groups for groups in found}.values())


def _by_name(names: np.ndarray) -> list[_Groups]:
    """Groups by what barcodes start or end with, as programs mark them that join sections (``-1``, ``-2``)."""
    names = pd.Series(names, dtype=object).astype(str)
    found = []
    for source, pattern in (("endings", r"[-_.:]([A-Za-z0-9]+)$"), ("beginnings", r"^([A-Za-z0-9]+)[-_.:]")):
        parts = names.str.extract(pattern, expand=False)
        counts = parts.value_counts()
        if parts.notna().all() and 2 <= len(counts) <= _MOST_OTHER_GROUPS and counts.min() >= _FEWEST:
            found.append(_Groups(source, parts.to_numpy(dtype=object), f"the {source} of barcodes"))
    return found


def _unique_within(labels: np.ndarray, names: np.ndarray) -> bool:
    return not pd.DataFrame({"label": labels, "name": names.astype(str)}).duplicated().any()


def _by_library(columns: list[_Groups], obs: pd.DataFrame, libraries: Sequence[str], where: str) -> _Groups | None:
    """The column that says in which library each location lies; None where all lie in one.

    Raises
    ------
    UsageError
        If nothing says it.
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
        return _Groups("library", ends, "the barcodes") if len(set(ends.tolist())) > 1 else None
    listed = ", ".join(natural_order(libraries)[:8])
    raise UsageError(
        f"{where}: uns['spatial'] describes {len(libraries)} libraries ({listed}), and no column of obs says in which "
        "of them a location lies",
        hint="add obs['library_id'] to the file, or keep the one entry of uns['spatial'] that it belongs to",
    )


@dataclass(frozen=True)
class _Pick:
    rows: np.ndarray
    name: str
    source: str
    left: str | None
    left_out: int


def _pick(found: list[_Groups], region: str | None, chosen: list[str], where: str) -> _Pick:
    """The rows of the group that `region` starts with, and what is left of `region`."""
    first = found[0]
    before = "".join(f"{name}," for name in chosen)
    listed = ", ".join(before + name for name in first.names[:8]) + (", …" if len(first.names) > 8 else "")
    if region is None:
        raise UsageError(
            f"{where} holds {len(first.names)} regions in one frame, by {first.source} ({listed})",
            hint=f"choose one with --region, for instance --region {before}{first.names[0]}",
        )
    for groups in found:
        pick = _match(groups, region)
        if pick is not None:
            return pick
    raise UsageError(f"{where}: no region {before}{region!r}", hint=f"--region is one of {listed}")


def _match(groups: _Groups, region: str) -> _Pick | None:
    for name in sorted(groups.names, key=len, reverse=True):
        for word in (name, f"{groups.column}={name}", name.removeprefix("z=")):
            if region == word or region.startswith(word + ","):
                left = region[len(word) + 1 :] or None
                missing = int(np.sum(groups.labels == ""))
                return _Pick(np.flatnonzero(groups.labels == name), name, groups.source, left, missing)
    return None


def _beside(obs: pd.DataFrame, region: str, where: str) -> _Pick:
    """A group that lies beside others in one frame, or the only one."""
    candidates = []
    for place in range(obs.shape[1]):
        name = str(obs.columns[place])
        if names_sections(name) is not None:
            candidates.append(_Groups(name, texts(obs.iloc[:, place])))
    for groups in candidates:
        pick = _match(groups, region)
        if pick is not None and pick.left is None:
            return pick
    raise UsageError(f"{where}: no region {region!r}", hint="it holds one section: leave --region out")


def _depth(z: np.ndarray, name: str, where: str) -> list[str]:
    known = z[np.isfinite(z)]
    if not len(known) or np.ptp(known) <= 1e-6 * max(1.0, float(np.abs(known).max())):
        return []
    return [
        f"{where}: positions have a third coordinate ({name} from {known.min():.6g} to {known.max():.6g}): "
        "z is left out, and x and y alone are used"
    ]


def _one_section(obs: pd.DataFrame, xy: np.ndarray, where: str) -> list[str]:
    """What is said where a column names groups that were read as one section."""
    for groups in _columns(obs)[0]:
        if not set(_FIELD_WORDS) & set(words_of(groups.column)):
            how = (
                "lie among each other at the distances of one section"
                if share_area(groups.labels, xy)
                else ("lie side by side")
            )
            return [
                f"{where}: {groups.source} names {len(groups.names)} groups that {how}: they are read as "
                "one section (--region reads one of them)"
            ]
    return []


def _check_coincident(xy: np.ndarray, where: str, what: str) -> list[str]:
    """Refuse positions that many locations share: several sections, and nothing that tells them apart.

    A note says of a few.
    """
    if len(xy) < 2 or not np.isfinite(xy).all():
        return []
    repeated = len(xy) - len(np.unique(xy, axis=0))
    if repeated >= max(_FEWEST_COINCIDENT, _COINCIDENT * len(xy)):
        raise BadInputError(
            f"{where}: {repeated} of {len(xy)} locations share their exact {what} with another: are several "
            "sections, fields of view or planes joined?",
            hint="give one section, or name the section of each location in a column (obs['library_id'])",
        )
    return [f"{where}: {repeated} locations share their exact {what} with another"] if repeated > 1 else []

"""Whether groups of locations lie beside each other, or on top of each other as sections in separate frames do."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

_WINDOW = 20_000  # locations in which the spacing of groups is compared
_FEWEST = 20  # members of a group whose spacing is compared
_FEWEST_OF_AN_AREA = 60  # members of a group whose area its neighbours tell
_NEAR, _NEEDED = 12, 9  # neighbours within a group, and those that a location inside of its area has
_SHARED = 0.15  # of the locations inside another group's area: the groups share one area
_SAMPLED_GROUPS, _SAMPLED = 40, 200
# Of the median distance to the nearest neighbour, what nearly all keep: 0.27 at random places, over 0.5 of cells.
_KEPT = 0.45


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
    inside, sampled = [], []
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
        sampled.append(len(places))
    if not sampled:
        return False
    # A small section may lie within a large one.
    return sum(inside) > _SHARED * sum(sampled) or bool(np.any(np.array(inside) > 0.6 * np.array(sampled)))


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
    """Whether groups are spaced as if the others were not there, as overlapping sections are.

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
    sampled = [_spread(points, 5 * _SAMPLED) for points in groups]
    own = [tree.query(points, k=2)[0][:, 1] for tree, points in zip(trees, sampled)]
    apart = np.array([np.quantile(near, 0.05) for near in own])
    n = np.array([len(points) for points in groups], float)
    crossed = same = expected = 0.0
    for a, points in enumerate(sampled):
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


def keeps_distance(xy: np.ndarray) -> bool:
    """Whether hardly any location lies much closer to its neighbour than usual, as in one layer of cells or spots."""
    xy = xy[np.isfinite(xy).all(axis=1)]
    if len(xy) < 2:
        return True
    near = cKDTree(xy).query(_spread(xy, _WINDOW), k=2)[0][:, 1]
    return float(np.quantile(near, 0.05)) > _KEPT * float(np.median(near))


def one_layer(labels: np.ndarray, xy: np.ndarray) -> bool:
    """Whether locations of different planes keep a distance: each lies in one plane of a section a few cells thick."""
    if len(xy) > _WINDOW:
        labels, xy = _window(labels, xy)
    known = np.isfinite(xy).all(axis=1)
    return keeps_distance(xy) and not ignore_each_other(labels[known], xy[known])


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

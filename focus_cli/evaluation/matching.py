"""Matching of the locations of a file to those of a truth."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.spatial import cKDTree

from focus_cli.core.errors import BadInputError
from focus_cli.evaluation.space import pitch_of

_BY_NAME = 0.9  # share of the truth's names that the file must hold
_LEAST = 0.1  # share of the truth's locations that must be matched at all
_FINER = 0.75  # below this ratio of pitches the file is finer than the truth and is averaged


@dataclass(frozen=True)
class Match:
    """Pairs of a truth's location and a file's location.

    Attributes
    ----------
    truth_rows
        Locations of the truth that are matched, ascending, (m,).
    pair_truth
        For each pair its position in `truth_rows`, (p,).
    pair_file
        For each pair its row in the file, (p,).
    how
        Description of the method, for the record.
    """

    truth_rows: np.ndarray
    pair_truth: np.ndarray
    pair_file: np.ndarray
    how: str

    def restricted_to(self, truth_rows: np.ndarray) -> Match:
        """The same pairs for some of the matched locations of the truth, ascending."""
        position = np.searchsorted(truth_rows, self.truth_rows).clip(max=len(truth_rows) - 1)
        kept = truth_rows[position] == self.truth_rows
        pairs = kept[self.pair_truth]
        return Match(truth_rows, position[self.pair_truth[pairs]], self.pair_file[pairs], self.how)

    @property
    def one_to_one(self) -> bool:
        """Whether every matched location has exactly one partner."""
        return len(self.pair_truth) == len(self.truth_rows)


def match_locations(
    truth_names: np.ndarray, truth_xy: np.ndarray, file_names: np.ndarray, file_xy: np.ndarray | None
) -> Match:
    """Match by name where the names coincide, else by position.

    By position a location of the truth takes the nearest one of the file, if that lies within half the finer
    of the two pitches along either axis; where the file is finer, the mean of all locations inside the
    truth's square.

    Raises
    ------
    BadInputError
        If less than a tenth of the truth's locations can be matched.
    """
    position = {name: i for i, name in enumerate(file_names)}
    found = np.array([position.get(name, -1) for name in truth_names])
    rows = np.flatnonzero(found >= 0)
    if len(rows) >= _BY_NAME * len(truth_names):
        return Match(rows, np.arange(len(rows)), found[rows], "by name")
    if file_xy is None:
        raise BadInputError(
            f"only {len(rows):,} of the truth's {len(truth_names):,} locations are in the file by name, "
            "and the file has no obsm['spatial_um']",
            hint="keep the names of the locations, or give positions in µm",
        )
    match = _by_position(truth_xy, file_xy)
    if len(match.truth_rows) < _LEAST * len(truth_names):
        raise BadInputError(
            f"only {len(match.truth_rows):,} of the truth's {len(truth_names):,} locations are in the file",
            hint="is it the same section at the truth's resolution? A refined estimate is a separate file",
        )
    return match


def _by_position(truth_xy: np.ndarray, file_xy: np.ndarray) -> Match:
    pitch_truth, pitch_file = pitch_of(truth_xy), pitch_of(file_xy)
    tree = cKDTree(file_xy)
    if 0 < pitch_file < _FINER * pitch_truth:
        # Slightly less than half, so that a location on the border of two squares matches one of them.
        inside = tree.query_ball_point(truth_xy, pitch_truth / 2 * (1 - 1e-9), p=np.inf, return_sorted=True)
        size = np.array([len(part) for part in inside])
        rows = np.flatnonzero(size)
        pairs = np.repeat(np.arange(len(rows)), size[rows])
        partner = np.concatenate([inside[i] for i in rows]).astype(np.int64) if len(rows) else rows
        return Match(rows, pairs, partner, f"by position, mean of those within {pitch_truth / 2:g} µm")
    finer = min(p for p in (pitch_truth, pitch_file, np.inf) if p > 0)
    reach = finer / 2 * (1 + 1e-6)
    distance, nearest = tree.query(truth_xy, p=np.inf, distance_upper_bound=reach * (1 + 1e-9))
    rows = np.flatnonzero(np.isfinite(distance) & (distance <= reach))
    return Match(rows, np.arange(len(rows)), nearest[rows], f"by position, nearest within {reach:.3g} µm")

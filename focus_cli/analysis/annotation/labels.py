"""Labels of locations, as the user gives them, laid on embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.analysis.heads.embeddings import read_cohort
from focus_cli.analysis.heads.tables import DONOR, SAMPLE, one_donor_each, read_table
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.progress import print_message, track

LOCATION, LABEL = "location", "label"
ABSTAINED = "abstained"
REST = "other"
_BLOCKS = 4  # a section of one donor is cut into 4 × 4 blocks


@dataclass(frozen=True)
class Labelled:
    """Locations with a label, sorted by sample and name.

    Attributes
    ----------
    features
        Representation, float32 (n, D).
    labels, donors, blocks
        Text of each location (n,); a block is a part of its section, cut by position.
    space, widths
        Of the embeddings.
    """

    features: np.ndarray
    labels: np.ndarray
    donors: np.ndarray
    blocks: np.ndarray
    space: str
    widths: dict[str, int]


def read_labels(path: Path, ignore: Sequence[str] = (), against_rest: str | None = None) -> pd.DataFrame:
    """Read the table of labels: sample, location, label and, if it is there, donor.

    Parameters
    ----------
    ignore
        Labels whose rows are left out.
    against_rest
        This label alone is distinguished from all others together.

    Raises
    ------
    BadInputError
        If there are no labels, only one class, one location with two labels, or `against_rest` is none of them.
    """
    table = read_table(path, (SAMPLE, LOCATION, LABEL))
    for name in (SAMPLE, LOCATION):
        if (empty := table[name] == "").any():
            raise BadInputError(f"{path}, line {table.index[empty.argmax()]}: no {name}")
    donors = one_donor_each(table, path)
    known = sorted(set(table[LABEL]) - {""})
    for label in (*ignore, *([against_rest] if against_rest else [])):
        if label not in known:
            raise BadInputError(f"{path} has no label {label!r}", hint=f"its labels: {', '.join(known) or '(none)'}")
    table = table[(table[LABEL] != "") & ~table[LABEL].isin(list(ignore))]
    if table.empty:
        raise BadInputError(f"{path} holds no labels", hint="fill the column label for some locations")
    if against_rest:
        if REST in known and against_rest != REST:
            print_message(f"annotate: the label {REST!r} is taken as one of the rest")
        table = table.assign(**{LABEL: np.where(table[LABEL] == against_rest, against_rest, REST)})
    if ABSTAINED in set(table[LABEL]):
        raise BadInputError(f"{path}: {ABSTAINED!r} is what focus annotate writes itself", hint="rename the label")
    pairs = table.drop_duplicates([SAMPLE, LOCATION, LABEL])
    if (twice := pairs.duplicated([SAMPLE, LOCATION])).any():
        row = pairs[twice].iloc[0]
        raise BadInputError(
            f"{path}, line {pairs.index[twice.to_numpy().argmax()]}: location {row[LOCATION]} of {row[SAMPLE]} has "
            "two labels"
        )
    if pairs[LABEL].nunique() < 2:
        raise BadInputError(
            f"{path} has one class, {pairs[LABEL].iloc[0]!r}: at least two classes are required",
            hint="label locations of a second class too",
        )
    return pairs.assign(**{DONOR: [donors[sample] for sample in pairs[SAMPLE]]})


def lay_on(labels: pd.DataFrame, table: Path, embeddings: Sequence[Path]) -> Labelled:
    """Find the labelled locations in the embeddings, one sample in memory at a time.

    Raises
    ------
    BadInputError
        If labels match no location, or only locations of one class.
    """
    parts: list[tuple[str, np.ndarray, np.ndarray, np.ndarray]] = []
    space, widths, seen, lost = "", {}, set(), 0
    for embedding in track(read_cohort(embeddings), "reading embeddings", len(embeddings)):
        space, widths = embedding.space, embedding.widths
        seen.add(embedding.sample)
        mine = labels[labels[SAMPLE] == embedding.sample].sort_values(LOCATION)
        rows = embedding.names.get_indexer(mine[LOCATION])
        found, rows = mine[rows >= 0], rows[rows >= 0]
        lost += len(mine) - len(found)
        if len(rows):
            blocks = blocks_of(embedding.xy)[rows]
            parts.append((embedding.sample, found.to_numpy(), embedding.features[rows], blocks))
            columns = list(found.columns)
    if not parts:
        first = f"{labels[SAMPLE].iloc[0]}/{labels[LOCATION].iloc[0]}"
        why = "samples" if not seen & set(labels[SAMPLE]) else "locations"
        raise BadInputError(
            f"the labels of {table} match no location of the embeddings: none of its {why} is in them",
            hint=f"the table names {first}; the embeddings hold {', '.join(sorted(seen))}",
        )
    if lost:
        print_message(f"annotate: {lost:,} of {len(labels):,} labels are of locations that the embeddings do not hold")
    if elsewhere := sorted(set(labels[SAMPLE]) - seen):
        print_message(
            f"annotate: no embedding is given for {len(elsewhere)} labelled samples, {elsewhere[0]} among them"
        )
    text = {name: np.concatenate([p[1][:, columns.index(name)] for p in parts]).astype(str) for name in (LABEL, DONOR)}
    if len(set(text[LABEL])) < 2:
        raise BadInputError(
            f"the labels of {table} that match a location are all {text[LABEL][0]!r}: at least two classes are required"
        )
    return Labelled(
        features=np.concatenate([p[2] for p in parts]),
        labels=text[LABEL],
        donors=text[DONOR],
        blocks=np.concatenate([np.char.add(f"{p[0]} ", p[3]) for p in parts]),
        space=space,
        widths=widths,
    )


def blocks_of(xy: np.ndarray) -> np.ndarray:
    """Name of the block of each location: its section cut into 4 × 4 along its own axes, text (n,).

    The axes are the principal ones, so that a turned section has the same blocks; which end comes first does not
    matter to who resamples them.
    """
    centred = xy - xy.mean(axis=0)
    axes = np.linalg.svd(centred, full_matrices=False)[2] if len(xy) > 1 else np.eye(2)
    along = centred @ axes.T
    for column in range(along.shape[1]):  # the end that lies farther away is the positive one
        if -along[:, column].min() > along[:, column].max():
            along[:, column] *= -1
    names = np.zeros(len(xy), np.int64)
    for column in range(along.shape[1]):
        low, high = along[:, column].min(), along[:, column].max()
        place = (along[:, column] - low) / max(high - low, 1e-12) * _BLOCKS
        names = names * _BLOCKS + np.minimum(np.floor(np.round(place, 9)).astype(np.int64), _BLOCKS - 1)
    return names.astype(str)


def scored_over(data: Labelled, by: str) -> np.ndarray:
    """What is left out in turn: donors, or blocks of tissue.

    Raises
    ------
    BadInputError
        If there is only one donor.
    UsageError
        If there is only one block.
    """
    if by == "block":
        if len(np.unique(data.blocks)) < 2:
            raise UsageError("all labelled locations lie in one block of tissue", hint="label places farther apart")
        return data.blocks
    if len(donors := np.unique(data.donors)) < 2:
        raise BadInputError(
            f"all labels are of one donor, {donors[0]}: how the head does on another one is unknown",
            hint="label a second donor (column donor), or pass --leave-out block, which scores this tissue alone",
        )
    return data.donors

"""Target of each donor: one of two classes, or the time to an event."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.analysis.heads.pairs import binary_pairs, survival_pairs
from focus_cli.analysis.heads.tables import DONOR, SAMPLE, one_donor_each, read_table
from focus_cli.core.errors import BadInputError, UsageError

NEEDED = 10  # donors with the event, and of either class: two for each of five folds
_POSITIVE = ({"0", "1"}, {"no", "yes"}, {"false", "true"}, {"negative", "positive"})


@dataclass(frozen=True)
class Target:
    """Outcomes of donors.

    Attributes
    ----------
    event
        Whether the event was seen, or the donor is of the positive class, bool (n,).
    time
        Time to the event or to the end of observation, float64 (n,); None for classes.
    positive
        Name of the positive class; "" for survival.
    """

    event: np.ndarray
    time: np.ndarray | None = None
    positive: str = ""

    @property
    def survival(self) -> bool:
        """Whether there are times."""
        return self.time is not None

    @property
    def measure(self) -> str:
        """Name of the figure by which scores are judged."""
        return "C-index" if self.survival else "AUROC"

    def __len__(self) -> int:
        return len(self.event)

    def take(self, rows: np.ndarray) -> Target:
        """The target of some donors."""
        return Target(self.event[rows], None if self.time is None else self.time[rows], self.positive)

    def pairs(self) -> np.ndarray:
        """Which two donors can be compared: the first has the event (earlier), bool (n, n)."""
        return binary_pairs(self.event) if self.time is None else survival_pairs(self.time, self.event)


@dataclass(frozen=True)
class Clinical:
    """The user's table, donor by donor.

    Attributes
    ----------
    donors
        Sorted names (n,).
    samples
        Sample → donor.
    target
        Outcomes in the order of `donors`.
    covariates
        Numbers, one column each; text columns as one column for each value but the first. (n, c).
    levels
        Values of each covariate that is text; none for numbers.
    """

    donors: list[str]
    samples: dict[str, str]
    target: Target
    covariates: pd.DataFrame
    levels: dict[str, list[str]]


def read_clinical(
    path: Path,
    *,
    outcome: str | None = None,
    positive: str | None = None,
    time: str | None = None,
    event: str | None = None,
    covariates: Sequence[str] = (),
    samples: Sequence[str] | None = None,
) -> Clinical:
    """Read the table of outcomes: sample, donor (if it is there), and the named columns.

    Parameters
    ----------
    outcome, positive
        Column of two classes and the one to predict; it may be left open for 0 and 1, no and yes and the like.
    time, event
        Columns of survival: a positive number, and 1 (seen) or 0 (censored).
    covariates
        Columns of numbers or text that are known without a slide.
    samples
        Samples with a slide: rows of others are left out. None: all.

    Raises
    ------
    UsageError
        If neither or both kinds of outcome are named.
    BadInputError
        If values are missing, no number, or differ between samples of one donor.
    """
    if (outcome is None) == (time is None) or (time is None) != (event is None):
        raise UsageError("name one outcome: --outcome COLUMN, or --time COLUMN with --event COLUMN")
    wanted = [outcome] if outcome is not None else [time, event]
    table = read_table(path, (SAMPLE, *wanted, *covariates))
    donors = one_donor_each(table, path)
    if samples is not None:
        if missing := sorted(set(samples) - set(table[SAMPLE])):
            raise BadInputError(
                f"{path} has no row for {len(missing)} of {len(set(samples))} samples, {missing[0]} among them",
                hint="add a row for each sample, or leave its embedding out",
            )
        table = table[table[SAMPLE].isin(list(samples))]
    for column in (*wanted, *covariates):
        if (empty := table[column].str.lower().isin(["", "na", "nan", "n/a"])).any():
            line = table.index[empty.to_numpy().argmax()]
            raise BadInputError(
                f"{path}, line {line}: {column} is missing, as for {int(empty.sum())} of {len(table)} samples in all",
                hint="fill it, or leave these samples out",
            )
    table = table.assign(**{DONOR: [donors[s] for s in table[SAMPLE]]}).sort_values([DONOR, SAMPLE])
    columns = [*wanted, *covariates]
    for column in columns:
        if (several := table.groupby(DONOR)[column].nunique() > 1).any():
            raise BadInputError(f"{path}: donor {several.idxmax()} has two values of {column}")
    each = table.drop_duplicates(DONOR).set_index(DONOR)
    target = _classes(each, outcome, positive, path) if outcome is not None else _survival(each, time, event, path)
    used = {s: donors[s] for s in table[SAMPLE]}
    levels = levels_of(each, covariates)
    return Clinical(list(each.index), used, target, encode(each, levels, path), levels)


def _numbers(column: pd.Series) -> pd.Series | None:
    values = pd.to_numeric(column, errors="coerce").astype(np.float64)
    return values if np.isfinite(values).all() else None


def levels_of(table: pd.DataFrame, covariates: Sequence[str]) -> dict[str, list[str]]:
    """Sorted values of each column of text; none for a column of numbers."""
    return {name: [] if _numbers(table[name]) is not None else sorted(table[name].unique()) for name in covariates}


def encode(table: pd.DataFrame, levels: Mapping[str, Sequence[str]], path: Path) -> pd.DataFrame:
    """Covariates as numbers: a column of text becomes one of 0 and 1 for each of its levels but the first.

    Raises
    ------
    BadInputError
        If a value is no number, or none of the levels.
    """
    parts = {}
    for name, values in levels.items():
        if not values:
            if (numbers := _numbers(table[name])) is None:
                raise BadInputError(f"{path}: {name} holds values that are not numbers")
            parts[name] = numbers
            continue
        if unknown := sorted(set(table[name]) - set(values)):
            raise BadInputError(
                f"{path}: {name} holds {unknown[0]!r}, which the cohort of the head did not",
                hint=f"it held {', '.join(values)}",
            )
        for value in values[1:]:
            parts[f"{name}={value}"] = (table[name] == value).astype(np.float64)
    return pd.DataFrame(parts, index=table.index)


def _classes(table: pd.DataFrame, column: str, positive: str | None, path: Path) -> Target:
    values = sorted(table[column].unique())
    if len(values) != 2:
        shown = "one class" if len(values) == 1 else f"{len(values)} classes"
        raise BadInputError(f"{path}: {column} has {shown} ({', '.join(values[:5])}), it must have two")
    if positive is None:
        if {v.lower() for v in values} not in _POSITIVE:
            raise UsageError(f"which of {values[0]} and {values[1]} is to be predicted?", hint="name it by --positive")
        positive = values[1]
    if positive not in values:
        raise UsageError(f"--positive {positive}: {column} has {values[0]} and {values[1]}")
    return Target((table[column] == positive).to_numpy(), None, positive)


def _survival(table: pd.DataFrame, time: str, event: str, path: Path) -> Target:
    times = _numbers(table[time])
    if times is None or (times <= 0).any():
        raise BadInputError(f"{path}: {time} holds values that are not positive numbers")
    seen = _numbers(table[event])
    if seen is None or not set(seen) <= {0.0, 1.0}:
        raise BadInputError(f"{path}: {event} must be 1 where the event was seen and 0 where it was not")
    return Target(seen.to_numpy() == 1, times.to_numpy())


def require_enough(target: Target, donors: Sequence[str]) -> None:
    """Refuse a cohort from which nothing can be learnt and judged.

    Raises
    ------
    BadInputError
        If there is one donor, or there are fewer events than needed.
    """
    if len(donors) < 2:
        raise BadInputError(
            f"all samples are of one donor, {donors[0]}: an outcome cannot be learnt from one",
            hint="name a donor for each sample in the column donor",
        )
    seen, rest = int(target.event.sum()), int((~target.event).sum())
    if target.survival:
        if seen < NEEDED:
            raise BadInputError(
                f"{seen} of {len(donors)} donors had the event, at least {NEEDED} are needed",
                hint="add donors, or follow them longer",
            )
    elif min(seen, rest) < NEEDED:
        raise BadInputError(
            f"{seen} donors are {target.positive!r} and {rest} are not, at least {NEEDED} of either are needed",
            hint="add donors",
        )

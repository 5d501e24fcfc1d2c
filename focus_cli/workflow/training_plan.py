"""Which model learns from which samples, and which reference each of them uses."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePath

from focus_cli.core.errors import UsageError
from focus_cli.workflow.config import RunConfig, SampleRow

TEST = "test"


@dataclass(frozen=True)
class ModelPlan:
    """One model for the enhanced files.

    Attributes
    ----------
    name
        Names its folder.
    samples
        What it learns from, in the order of the sheet.
    reference
        The file of single cells that it learns from, or None.
    """

    name: str
    samples: tuple[str, ...]
    reference: str | None


def model_names(config: RunConfig, samples: Mapping[str, SampleRow]) -> dict[str, str]:
    """Sample → name of the model that enhances it.

    Raises
    ------
    UsageError
        If the scope requires a group or an organ that a sample does not name.
    """
    scope = config.train.scope
    if scope == "all":
        return dict.fromkeys(samples, "all")
    if scope == "self":
        return {name: name for name in samples}
    value_of = {name: row.group if scope == "group" else _file_name(row.organ or "") for name, row in samples.items()}
    if missing := [name for name, value in value_of.items() if not value]:
        raise UsageError(
            f"train.scope is {scope}, but the sheet names no {scope} for {_some(missing)}",
            hint=f"fill in the column {scope}, or choose another train.scope",
        )
    return value_of


def plan_models(
    config: RunConfig, samples: Mapping[str, SampleRow], names: Mapping[str, str], run_reference: str | None
) -> dict[str, ModelPlan]:
    """Every model of the run, by its name.

    Parameters
    ----------
    names
        Sample → model, of `model_names`.
    run_reference
        The run's own reference.path.

    Raises
    ------
    UsageError
        If a model would have nothing to learn from, or its samples name several references and the run none.
    """
    members: dict[str, list[str]] = {}
    for sample, model in names.items():
        members.setdefault(model, [])
        if samples[sample].split != TEST:
            members[model].append(sample)
    if empty := [model for model, learnt_from in members.items() if not learnt_from]:
        asked = [sample for sample, model in names.items() if model in empty]
        raise UsageError(
            f"no sample to train the model of {_some(asked)} on: all that share it are split test",
            hint="mark a sample as train, or choose another train.scope",
        )
    plans = {}
    for model, learnt_from in members.items():
        reference = agreed(samples[name].reference or run_reference for name in learnt_from) or run_reference
        if reference is None and (several := {samples[n].reference for n in learnt_from if samples[n].reference}):
            raise UsageError(
                f"model {model}: its training samples name {len(several)} references and the run names none",
                hint="set reference.path, or train.scope so that the samples of a model share a reference",
            )
        plans[model] = ModelPlan(model, tuple(learnt_from), reference)
    return plans


def agreed(references: Iterable[str | None]) -> str | None:
    """The one reference of those that name one; None where none does, or they differ."""
    named = {path for path in references if path}
    return named.pop() if len(named) == 1 else None


def name_references(paths: Iterable[str | None]) -> dict[str, str]:
    """Name of the harmonised reference of every distinct file: that of the file, numbered where two are alike."""
    names: dict[str, str] = {}
    for path in paths:
        if not path or path in names:
            continue
        stem = _file_name(PurePath(path).stem) or "cells"
        tries = (stem if n == 1 else f"{stem}-{n}" for n in range(1, len(names) + 2))
        names[path] = next(name for name in tries if name not in names.values())
    return names


def _file_name(text: str) -> str:
    """A name for a folder; Breast (left) and breast left are one."""
    return re.sub(r"[^a-z0-9.-]+", "_", text.casefold()).strip("_.-")


def _some(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more

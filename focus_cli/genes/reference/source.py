"""Which matrix of an .h5ad file is the reference: counts wherever they are, else values that can be turned back."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.scales import HEAD, Scale, are_other_counts, recognise_scale, stated_log_base
from focus_cli.genes.reference.matrix import MatrixOnDisk, Survey
from focus_cli.genes.reference.scaled import examine

if TYPE_CHECKING:
    import h5py
    import numpy as np
    import pandas as pd

_COUNTS = f"layers[{keys.COUNTS!r}]"
_UNUSABLE = {"mixed": "has cells on different scales", "contradiction": "is not on the scale of uns['log1p']"}
_LARGEST = 2.0**30  # of counts and of values per million, however few genes they are of
_GIVE = f"give raw counts in {_COUNTS}, raw or X"


@dataclass(frozen=True)
class Source:
    """The matrix that was chosen.

    Attributes
    ----------
    name
        ``"layers['counts']"``, ``"raw"`` or ``"X"``.
    matrix
        Its values on disk.
    var
        Its genes.
    scale
        Of its values.
    filled
        bool: cells with a value above 0.
    passed_over
        Why the matrices before it were not taken, one text each.
    """

    name: str
    matrix: MatrixOnDisk
    var: pd.DataFrame
    scale: Scale
    filled: np.ndarray
    passed_over: tuple[str, ...]


def choose_source(file: h5py.File, path: Path) -> Source:
    """The matrix that holds counts, else the one that is normalised.

    Counts are looked for in ``layers["counts"]``, ``raw`` and X, in this order; every value is looked at. Where none
    holds counts, the first of ``raw``, X and ``layers["counts"]`` that is normalised is taken. A matrix with negative
    values is scaled and is never taken.

    Raises
    ------
    BadInputError
        If no matrix can be used: with the reason of each; or if cells of one matrix are on different scales.
    """
    from anndata.io import read_elem

    places = ((_COUNTS, f"layers/{keys.COUNTS}", "var"), ("raw", "raw/X", "raw/var"), ("X", "X", "var"))
    candidates = [(name, file[place], genes) for name, place, genes in places if _holds_matrix(file, place)]
    if not candidates:
        raise BadInputError(f"{path}: there is no expression matrix", hint=f"X, raw or {_COUNTS} must hold one")
    stated = stated_log_base(_uns(file), str(path))
    usable: list[Source] = []
    unusable: list[tuple[str, str]] = []
    for name, node, genes in candidates:
        matrix = MatrixOnDisk(node)
        found = matrix.survey()
        if problem := _problem(found):
            unusable.append((name, problem))
            continue
        var = read_elem(file[genes])
        scale, problem, note = examine(matrix, var, recognise_scale(found.cells, stated, binding=name == "X"))
        if problem:
            unusable.append((name, problem))
            continue
        if scale.kind in _UNUSABLE:
            unusable.append((name, f"{_UNUSABLE[scale.kind]}: {scale.reason}"))
            continue
        if scale.kind == "counts":
            notes = _passed_over(unusable, usable) + _other_counts(name, matrix, candidates)
            return Source(name, matrix, var, scale, found.filled, notes)
        usable.append(Source(name, matrix, var, scale, found.filled, (f"{name}: {note}",) if note else ()))
    if not usable:
        raise _refusal(unusable, path, [name for name in file.get("layers", ()) if name != keys.COUNTS])
    usable.sort(key=lambda source: ("raw", "X", _COUNTS).index(source.name))
    chosen = usable.pop(0)
    return replace(chosen, passed_over=_passed_over(unusable, usable) + chosen.passed_over)


def _passed_over(unusable: list[tuple[str, str]], others: list[Source]) -> tuple[str, ...]:
    """Why a matrix was not taken: one that cannot be used, and a layer of counts that holds none."""
    notes = [f"{name} {reason}" for name, reason in unusable]
    notes += [f"{other.name} holds {other.scale.kind} values, not counts" for other in others if other.name == _COUNTS]
    return tuple(notes)


def _other_counts(name: str, matrix: MatrixOnDisk, candidates: list[tuple]) -> tuple[str, ...]:
    """Note where X holds whole numbers that are not those of ``layers["counts"]``."""
    others = [node for other, node, _ in candidates if other == "X"]
    if name != _COUNTS or not others:
        return ()
    if not are_other_counts(matrix.head(HEAD), MatrixOnDisk(others[0]).head(HEAD)):
        return ()
    return ("X holds other whole numbers",)


def _holds_matrix(file: h5py.File, place: str) -> bool:
    return place in file and file[place].attrs.get("encoding-type") != "null"


def _uns(file: h5py.File) -> dict:
    """The entries of ``uns`` that state the scale."""
    from anndata.io import read_elem

    uns = file.get("uns")
    return {} if uns is None else {name: read_elem(uns[name]) for name in ("log1p", "X_name") if name in uns}


def _problem(found: Survey) -> str:
    if not found.finite:
        return "holds NaN or infinite values"
    if found.least < 0:
        return "holds negative values: it was scaled or corrected"
    if not found.cells.n_values.any():
        return "is empty"
    if (most := float(found.cells.most.max())) >= _LARGEST:
        return f"holds a value of {most:.4g}, which is not a valid count"
    return ""


def _refusal(unusable: list[tuple[str, str]], path: Path, layers: list[str]) -> BadInputError:
    """One line for all matrices, with the way out that fits."""
    reasons = "; ".join(f"{name} {reason}" for name, reason in unusable)
    if any("scaled" in reason for _, reason in unusable):
        hint = f"scaling cannot be undone: keep counts in {_COUNTS} or log-normalised values in raw before sc.pp.scale"
    elif any("uns[" in reason for _, reason in unusable):
        hint = "correct uns['log1p']['base'], remove that entry, or give raw counts"
    elif any("different scales" in reason for _, reason in unusable):
        hint = f"cells of different studies were joined after normalising: give raw counts of all in {_COUNTS}"
    else:
        hint = _GIVE
    if layers:
        hint += f" (other layers: {', '.join(sorted(layers)[:4])})"
    return BadInputError(f"{path}: no matrix can be used as a reference: {reasons}", hint=hint)

"""Summary of the analysis results of one sample: composition, outcome, significant tests."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core import keys
from focus_cli.core.statistics import FDR
from focus_cli.core.storage.documents import read_json_object
from focus_cli.core.storage.tables import read_rows
from focus_cli.reporting.cohort.jobs import Job

if TYPE_CHECKING:
    import h5py

_ROUNDED = 0.01  # by which shares that were rounded may exceed 1 together


@dataclass(frozen=True)
class Shares:
    """What a sample consists of.

    Attributes
    ----------
    share
        Name → 0 to 1: of locations, or of the cells at them.
    labels
        Names that a location bears; the report of the sample gives its colours to these.
    confidence
        Mean over locations of how sure their domain is.
    note
        Where the names come from, in a few words.
    """

    share: dict[str, float]
    labels: tuple[str, ...] = ()
    confidence: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Outcome:
    """The prediction of the outcome from the slide.

    Attributes
    ----------
    value, what
        A ``"probability"``, a ``"relative hazard"``, or else the bare ``"score"``.
    unlike
        Share of locations that are unlike the cohort that the score was learnt on.
    """

    value: float
    what: str
    unlike: float | None = None


@dataclass(frozen=True)
class Significant:
    """How many genes or pairs are significant at a false discovery rate of 5 %, and how many were tested."""

    found: int
    tested: int


@dataclass(frozen=True)
class SampleAnalyses:
    """All that was found of one sample; a kind of analysis result that is not there is left out.

    Attributes
    ----------
    shares
        By stage: domains, celltypes, annotations.
    outcome
        None where none was requested.
    tests
        By stage: patterns, interactions.
    warnings
        Files that are there and cannot be read.
    """

    shares: dict[str, Shares] = field(default_factory=dict)
    outcome: Outcome | None = None
    tests: dict[str, Significant] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


class CohortAnalyses:
    """The analysis results of the samples of a run; what samples share is read once.

    Parameters
    ----------
    out
        The run's output folder.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._shared: dict[Path, Any] = {}

    def of(self, sample: str, jobs: Iterable[Job]) -> SampleAnalyses:
        """What the jobs of a sample have found so far; no file can stop this."""
        found: dict[str, Any] = {}
        warnings = []
        for job in jobs:
            if job.rule not in _READ:
                continue
            stage, file_of, read = _READ[job.rule]
            path = self._out / file_of(job)
            if not path.is_file():
                continue
            try:
                result = read(self, path, sample)
            except Exception as error:  # h5py raises whatever a damaged file leads it to
                why = next(iter(str(error).splitlines()), "") or type(error).__name__
                warnings.append(f"{path.relative_to(self._out)} cannot be read: {why}")
            else:
                found |= {} if result is None else {stage: result}
        return SampleAnalyses(
            shares={stage: result for stage, result in found.items() if isinstance(result, Shares)},
            outcome=found.get("outcome"),
            tests={stage: result for stage, result in found.items() if isinstance(result, Significant)},
            warnings=tuple(warnings),
        )

    def once(self, path: Path, read: Callable[[Path], Any]) -> Any:
        """Content of a file of all samples."""
        if path not in self._shared:
            self._shared[path] = read(path)
        return self._shared[path]


# --- one reader for each kind of analysis result -------------------------------------------------------------


def _domains(analyses: CohortAnalyses, path: Path, sample: str) -> Shares | None:
    record = analyses.once(path, read_json_object)
    mine = record["samples"].get(sample)
    if mine is None:
        return None
    share, sure = _checked(mine["share"]), mine.get("mean_confidence")
    note = f"{int(record['n_domains'])}, chosen by {record['chosen_by']}"
    return Shares(share, tuple(share), None if sure is None else float(sure), note)


def _celltypes(_: CohortAnalyses, path: Path, sample: str) -> Shares:
    import numpy as np

    with _opened(path) as file:
        table = file["obsm"][keys.TYPES]
        # Every location of an enhanced file lies on tissue: the others were left out when it was stored.
        stored = list(map(_text, table.attrs["column-order"]))
        named = file.get(f"uns/{keys.UNS_COLUMNS}/{keys.TYPES}")
        names = stored if named is None else list(map(_text, named[()]))
        share = {name: float(np.nanmean(table[key][()])) for name, key in zip(names, stored, strict=True)}
        labels = _counts(file, keys.CELL_TYPE) if keys.CELL_TYPE in file["obs"] else {}
    return Shares(_checked(share), tuple(labels))


def _annotations(_: CohortAnalyses, path: Path, sample: str) -> Shares:
    with _opened(path) as file:
        count = _counts(file, keys.ANNOTATION)
    total = sum(count.values())
    return Shares({name: n / total for name, n in count.items()}, tuple(count))


def _outcome(analyses: CohortAnalyses, path: Path, sample: str) -> Outcome | None:
    row = analyses.once(path, _rows_by_sample).get(sample)
    if row is None:
        return None
    column = next(name for name in ("probability", "relative_hazard", "score") if row.get(name))
    unlike = float(row.get("unlike_training") or "nan")
    return Outcome(_finite(row[column]), column.replace("_", " "), None if math.isnan(unlike) else unlike)


def _tests(_: CohortAnalyses, path: Path, sample: str) -> Significant:
    import numpy as np

    with _opened(path) as file:
        q = file["var"]["q"][()]
    return Significant(int(np.sum(q < FDR)), int(np.sum(np.isfinite(q))))  # NaN: was not tested


def _only(job: Job) -> str:
    return job.outputs[0]


# Rule → stage, the file that says it, and how that is read.
_READ: dict[str, tuple[str, Callable[[Job], str], Callable[[CohortAnalyses, Path, str], Any]]] = {
    "domains": ("domains", lambda job: f"{job.outputs[0]}/{keys.DOMAINS_JSON}", _domains),
    "celltypes": ("celltypes", _only, _celltypes),
    "annotate": ("annotations", _only, _annotations),
    "outcome": ("outcome", lambda job: f"outcomes/{job.name}.tsv", _outcome),
    "patterns": ("patterns", _only, _tests),
    "interactions": ("interactions", _only, _tests),
}


def _rows_by_sample(path: Path) -> dict[str, dict[str, str]]:
    return {row["sample"]: row for row in read_rows(path)}


def _opened(path: Path) -> h5py.File:
    from focus_cli.core.storage.hdf5 import open_hdf5

    return open_hdf5(path)


def _counts(file: h5py.File, column: str) -> dict[str, int]:
    """Locations of each category of a column of obs that occurs."""
    import numpy as np

    node = file["obs"][column]
    names, codes = [_text(name) for name in node["categories"][()]], node["codes"][()]
    codes = codes[codes >= 0]
    if not len(codes) or int(codes.max()) >= len(names):
        raise ValueError(f"obs[{column!r}] is empty or damaged")
    return {name: int(n) for name, n in zip(names, np.bincount(codes, minlength=len(names))) if n}


def _checked(share: Mapping[str, Any]) -> dict[str, float]:
    """Shares as they are, if they are such."""
    found = {str(name): _finite(value) for name, value in share.items()}
    if not found or min(found.values()) < 0 or sum(found.values()) > 1 + _ROUNDED:
        raise ValueError("shares are no shares")
    return found


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r} is no number")
    return number


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

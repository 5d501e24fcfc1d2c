"""Facts on the results of one sample: size, reliability, scores, time and memory."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from focus_cli.core import keys
from focus_cli.core.errors import FocusError
from focus_cli.core.storage.damage import DAMAGE
from focus_cli.core.storage.documents import parse_json, read_json_object
from focus_cli.core.storage.tables import read_rows
from focus_cli.reporting.cohort.jobs import SHARED_RULES, Job

MEASURE = "pcc_mean"


@dataclass(frozen=True)
class Score:
    """Mean Pearson correlation per gene with the truth of one hold-out.

    Attributes
    ----------
    name
        Of the hold-out: denoise, truth.
    ours, best
        The score of FOCUS and that of the best baseline; NaN where there is none.
    method
        That baseline; empty where no baseline has a score.
    """

    name: str
    ours: float
    best: float
    method: str

    @property
    def won(self) -> bool:
        """Whether the score of FOCUS is above those of all baselines; a tie is not."""
        return bool(self.method) and self.ours > self.best


def score_of(name: str, values: Mapping[str, float]) -> Score:
    """FOCUS beside the best baseline; its variants, such as expression in place of counts, are no baselines.

    Parameters
    ----------
    name
        Of the hold-out.
    values
        Method → score; NaN where there is none.
    """
    baselines = {m: v for m, v in values.items() if not m.startswith(keys.OUR_METHOD) and not math.isnan(v)}
    best = max(baselines, key=baselines.__getitem__, default="")
    return Score(name, values.get(keys.OUR_METHOD, math.nan), baselines.get(best, math.nan), best)


def facts_of_sample(folder: Path) -> dict[str, Any]:
    """Platform and size of a stored sample; empty where there is none."""
    try:
        record = read_json_object(folder / keys.SAMPLE_JSON)
        return {
            "platform": str(record["platform"]["name"]),
            "locations": int(record["n_locations"]),
            "genes": int(record["n_genes"]),
        }
    except (FocusError, ValueError, KeyError, TypeError, OverflowError):
        return {}


def facts_of_enhanced(path: Path) -> dict[str, Any]:
    """Size, depth, reliability and warnings of an enhanced file; empty where there is none.

    Only columns of obs and var are read, a few bytes per location.

    Returns
    -------
    dict
        locations, genes (measured), median_counts, median_reliability, abstained (share of locations, 0 to 1),
        warnings (list of str); what a file does not hold is left out.
    """
    if not path.is_file():
        return {}
    import numpy as np

    from focus_cli.core.storage.hdf5 import open_hdf5

    try:
        with open_hdf5(path) as file:
            obs, var = file["obs"], file["var"]
            facts: dict[str, Any] = {"locations": len(obs[obs.attrs["_index"]])}
            n_genes = len(var[var.attrs["_index"]])
            facts["genes"] = int(np.sum(var[keys.MEASURED][()])) if keys.MEASURED in var else n_genes
            for name, key, summary in (
                ("median_counts", keys.TOTAL_COUNTS, np.nanmedian),
                ("median_reliability", keys.OBS_RELIABILITY, np.nanmedian),
                ("abstained", keys.ABSTAIN, np.mean),
            ):
                if key in obs and len(values := np.asarray(obs[key][()], dtype=float)) and np.isfinite(values).any():
                    facts[name] = float(summary(values))
            facts["warnings"] = _warnings(file.get(f"uns/{keys.UNS}/warnings"))
            return facts
    except (FocusError, *DAMAGE) as error:
        return {"warnings": [f"{path.name} cannot be read: {(str(error).splitlines() or ['damaged'])[0]}"]}


def _warnings(node: Any) -> list[str]:
    if node is None:
        return []
    stored = node.asstr()[()]
    if not isinstance(stored, str):
        return [str(line) for line in stored]
    try:
        parsed = parse_json(stored, "warnings")
    except FocusError:
        return [stored] if stored else []
    return [str(line) for line in parsed] if isinstance(parsed, list) else [stored]


def scores_of(out: Path, sample: str, folders: Iterable[str]) -> list[Score]:
    """FOCUS beside the best baseline in each folder of scores of a sample that is there."""
    found = []
    for folder in folders:
        parts = Path(folder).parts
        name = (parts[-2] if parts[-1] == "scores" else parts[-1]).removeprefix(f"{sample}.")
        try:
            rows = read_rows(out / folder / keys.SCORES_TSV)
        except (FocusError, OSError, UnicodeDecodeError, csv.Error):
            continue
        groups = [row.get("genes") for row in rows]
        main = "all" if "all" in groups else next(iter(groups), None)
        values = {row.get("method", ""): _number(row.get(MEASURE)) for row in rows if row.get("genes") == main}
        found.append(score_of(name, values))
    return found


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def cost_of(jobs: Iterable[Job], out: Path) -> tuple[float, float | None] | None:
    """Seconds of all jobs together and memory in MB of the largest, as far as they were measured.

    Jobs that work for several samples at once are left out.
    """
    own = (job for job in jobs if job.rule not in SHARED_RULES)
    measured = [found for job in own if (found := job.measured(out)) is not None]
    if not measured:
        return None
    memory = [peak for _, peak in measured if peak is not None]
    return sum(seconds for seconds, _ in measured), max(memory, default=None)

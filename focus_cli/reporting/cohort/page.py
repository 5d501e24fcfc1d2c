"""The page and the table of a cohort: one row per sample, failures included."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from focus_cli import __version__
from focus_cli.core.storage import atomic_file, tables
from focus_cli.core.storage.kinds import COHORT_PAGE, PART
from focus_cli.reporting.charts import short
from focus_cli.reporting.cohort.analysis_tables import cells_of, columns_of, found_of
from focus_cli.reporting.cohort.rows import CohortRow, SharedJob

_TEMPLATE = "cohort.html.j2"
_ORDER = ("failed", "waiting", "running", "unfinished", "not started", "done")
# Beyond this many shared jobs (one model per sample) the table of shared jobs repeats the rows.
_MOST_SHARED = 40


def write_table(rows: Sequence[CohortRow], path: Path) -> None:
    """Write the rows tab-separated: plain columns; NAME.focus, .best and .method per hold-out; analysis results."""
    plain = [f.name for f in fields(CohortRow) if f.name not in ("scores", "warnings", "analyses")]
    names = _score_names(rows)
    columns = [*plain, "warnings", *(f"{name}.{part}" for name in names for part in ("focus", "best", "method"))]
    columns += columns_of(rows)
    table = []
    for row in rows:
        cells: dict[str, Any] = {name: _cell(getattr(row, name)) for name in plain}
        cells["warnings"] = " | ".join(row.warnings)
        for score in row.scores:
            cells |= {
                f"{score.name}.focus": _cell(score.ours),
                f"{score.name}.best": _cell(score.best),
                f"{score.name}.method": score.method,
            }
        table.append(cells | {name: _cell(value) for name, value in cells_of(row).items()})
    with atomic_file(path, overwrite=True, kind=PART) as temporary:
        tables.write_table(temporary, columns, table)


def write_page(rows: Sequence[CohortRow], shared: Sequence[SharedJob], path: Path, *, together: str = "") -> None:
    """Write the page: self-contained, sorted and filtered in the browser; 1 kB per sample, 3 kB with analysis results.

    Parameters
    ----------
    together
        The page with the reports of all samples, relative to this one; empty where there is none.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("focus_cli.reporting"),
        autoescape=True,  # names of samples and lines of logs are text, whatever they hold
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"short": _short, "span": span, "memory": memory, "percent": _percent}
    counted = Counter(row.status for row in rows)
    page = environment.get_template(_TEMPLATE).render(
        version=__version__,
        rows=rows,
        shared=shared if len(shared) <= _MOST_SHARED else [],
        found=found_of(rows),
        together=together,
        counts=[(word, counted[word]) for word in _ORDER if counted[word]],
        order={word: i for i, word in enumerate(_ORDER)},
        score_names=_score_names(rows),
        optional={name: any(getattr(row, name) for row in rows) for name in ("organ", "donor", "group")},
        several_models=len({row.model for row in rows}) > 1,
        has_test=any(row.split == "test" for row in rows),
        seconds=sum(part.seconds or 0 for part in [*rows, *shared]),
    )
    with atomic_file(path, overwrite=True, kind=COHORT_PAGE) as temporary:
        temporary.write_text(page, encoding="utf-8")


def _score_names(rows: Sequence[CohortRow]) -> list[str]:
    return list(dict.fromkeys(score.name for row in rows for score in row.scores))


def _cell(value: Any) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.6g}" if isinstance(value, float) else " ".join(str(value).split())


def _short(value: float | None) -> str:
    return "" if value is None else short(float(value))


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}" if value == 0 or value >= 0.01 else "<1%"


def span(seconds: float | None) -> str:
    """Seconds for reading: 42 s, 3 min, 1.5 h."""
    if seconds is None:
        return ""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


def memory(mb: float | None) -> str:
    """MB for reading."""
    return "" if mb is None else f"{mb:.0f} MB" if mb < 1000 else f"{mb / 1000:.1f} GB"

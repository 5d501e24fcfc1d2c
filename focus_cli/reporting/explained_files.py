"""Description of single files written by FOCUS: reports, tables, lists; for AnnData see `explain_h5ad`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.regular import read_text_bounded, require_regular
from focus_cli.reporting.column_fields import COHORT, NUCLEI, OUTCOMES, SCORES, column_fields, header_of
from focus_cli.reporting.explained_h5ad import explain_h5ad
from focus_cli.reporting.facts import FILES, NOT_OURS, result
from focus_cli.reporting.records import DESCRIPTIONS, nuclei_record, page_contents, page_record, record_of

TRUTH_H5AD, GENES_TXT = "truth.h5ad", "genes.txt"
_SCORES = {"task", "method", "pcc_mean"}
_OUTCOMES = {"sample", "locations", "score", "unlike_training"}
_COHORT = {"sample", "status", "rule", "log"}


def explain_file(path: Path) -> dict[str, Any]:
    """Describe a file; see `explain`.

    Raises
    ------
    BadInputError
        If FOCUS did not write it as a separate file, or it is damaged.
    """
    refuse_part(path)
    if path.suffix in (".html", ".htm"):
        return _page(path)
    if path.suffix == ".tsv":
        return _table(path)
    if path.suffix == ".parquet" and (record := nuclei_record(path)):
        what = "nuclei of a slide, one per row, made by focus nuclei"
        return result(path, "nuclei", what, fields=column_fields(list(NUCLEI), NUCLEI), made_by=record)
    if path.name == GENES_TXT and (path.parent / TRUTH_H5AD).is_file():
        lines = sum(1 for line in read_text_bounded(path).splitlines() if line.strip())
        what = "scored genes of a hold-out, one per line"
        record = record_of(path.parent / TRUTH_H5AD)
        return result(path, "genes of a hold-out", what, facts={"genes": lines}, made_by=record)
    if path.suffix == ".h5ad":
        return explain_h5ad(path)
    raise BadInputError(f"{path} is not a file written by FOCUS", hint=NOT_OURS)


def refuse_part(path: Path) -> None:
    """Refuse a file or a raster that is part of a folder, naming the folder.

    Raises
    ------
    BadInputError
        If `path` is part of a folder.
    """
    if path.name in FILES and any((path.parent / name).is_file() for name in DESCRIPTIONS):
        raise BadInputError(f"{path} is part of a folder of FOCUS", hint=f"focus explain {path.parent}")


def _page(path: Path) -> dict[str, Any]:
    record = page_record(path)
    if not record:
        raise BadInputError(f"{path} is a page that FOCUS did not write", hint=NOT_OURS)
    if record["command"] == "cohort":
        return result(path, "cohort report", "one row per sample of a run, including failures", made_by=record)
    shown = [f"focus {one.get('command', '?')}, FOCUS {one.get('focus_version', '?')}" for one in page_contents(path)]
    what = "a self-contained HTML report, made by focus report"
    return result(path, "report", what, facts={"shows": shown} if shown else {}, made_by=record)


def _table(path: Path) -> dict[str, Any]:
    columns = header_of(path)
    with open(require_regular(path), encoding="utf-8", errors="replace") as stream:
        rows = sum(1 for line in stream if line.strip()) - 1
    facts = {"rows": rows, "columns": len(columns)}
    if set(columns) >= _SCORES:
        what = "scores of a run: one row per fold, method and group of genes"
        return result(path, "scores table", what, facts=facts, fields=column_fields(columns, SCORES))
    if set(columns) >= _OUTCOMES:
        what = "scores of a focus outcome head: one row per sample"
        return result(path, "outcome table", what, facts=facts, fields=column_fields(columns, OUTCOMES))
    if set(columns) >= _COHORT:
        what = "one row per sample of a run, including failures"
        return result(path, "cohort table", what, facts=facts, fields=column_fields(columns, COHORT))
    raise BadInputError(f"{path} is a table that FOCUS did not write", hint=NOT_OURS)

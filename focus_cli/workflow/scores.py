"""All scores of a run in one table, and FOCUS against the baselines in a few lines for the terminal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage import atomic_file
from focus_cli.core.storage.kinds import PART
from focus_cli.core.storage.tables import read_rows, write_table
from focus_cli.reporting.cohort import PAGE, Score, score_of


def _fold_of(folder: Path) -> str:
    """Name of the hold-out: ``folds/S1.denoise/scores`` → S1.denoise, ``scores/S1.truth`` → S1.truth."""
    return folder.parent.name if folder.name == "scores" else folder.name


def _read(path: Path) -> list[dict[str, str]]:
    if not path.exists():
        raise MissingResourceError(f"no such file: {path}", hint="focus evaluate makes it")
    rows = read_rows(path)
    if not rows or "method" not in rows[0]:
        raise BadInputError(f"{path} is not a table of scores", hint="run focus evaluate again")
    return rows


def gather_scores(folders: Sequence[Path], out: Path) -> None:
    """Put the ``scores.tsv`` of every folder into one table, with the fold's name in front.

    Parameters
    ----------
    folders
        What ``focus evaluate`` wrote, in the order of the table.
    out
        The table to write, tab-separated.

    Raises
    ------
    MissingResourceError
        If a folder has no scores.
    BadInputError
        If its file is not a table of scores.
    """
    rows = [{"fold": _fold_of(Path(f)), **row} for f in folders for row in _read(Path(f) / keys.SCORES_TSV)]
    columns = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_file(out, overwrite=True, kind=PART) as temporary:
        write_table(temporary, columns, rows)


def write_scored_genes(truth: Path, out: Path) -> None:
    """Write the genes that a hold-out scores, one per line, so that only these are enhanced for it.

    Parameters
    ----------
    truth
        The truth file of ``focus holdout``; its own list of genes, or all of its genes where it has none.
    out
        The text file to write.
    """
    import h5py

    from focus_cli.core.storage.hdf5 import open_hdf5

    with open_hdf5(truth) as file:
        listed = file.get(f"uns/{keys.UNS_TRUTH}/genes")
        if listed is None:
            var = file["var"]
            listed = var[var.attrs["_index"]]
        # pandas 3 has texts as values with a mask.
        texts = listed["values"] if isinstance(listed, h5py.Group) else listed
        names = [str(name) for name in texts.asstr()[...]]
    with atomic_file(out, overwrite=True, kind=PART) as temporary:
        temporary.write_text("".join(f"{name}\n" for name in names), encoding="utf-8")


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return math.nan


def compare(path: Path, measure: str = "pcc_mean") -> list[Score]:
    """FOCUS against the best baseline of every fold and gene group, in the order of the table.

    Parameters
    ----------
    path
        The table of `gather_scores`.
    measure
        The column to compare; larger is better.

    Raises
    ------
    MissingResourceError, BadInputError
        If there is no such table, or it is not one of scores.
    """
    rows = _read(path)
    groups: dict[str, dict[str, float]] = {}
    for row in rows:
        name = " ".join(filter(None, (row.get("fold"), _group(row, rows))))
        groups.setdefault(name, {})[row["method"]] = _number(row.get(measure))
    return [score_of(name, values) for name, values in groups.items()]


def table(comparisons: Sequence[Score]) -> str:
    """One line per comparison: FOCUS, the best baseline and its name; ``*`` at the better score."""
    lines = [("comparison", "FOCUS ", "best baseline")]
    for row in comparisons:
        top = max((v for v in (row.ours, row.best) if not math.isnan(v)), default=math.nan)
        lines.append((row.name, _cell(row.ours, top), f"{_cell(row.best, top)}  {row.method.replace('_', ' ')}"))
    name, ours = (max(len(line[i]) for line in lines) for i in range(2))
    return "\n".join(f"{a.ljust(name)}  {b.rjust(ours)}  {c}".rstrip() for a, b, c in lines)


def sentence(comparisons: Sequence[Score]) -> str:
    """The scores in one sentence."""
    comparable = [row for row in comparisons if row.method]
    if not comparable:
        return "No baseline was scored: there is nothing to compare FOCUS with."
    noun = "comparison" if len(comparable) == 1 else "comparisons"
    return f"FOCUS best in {sum(row.won for row in comparable)} of {len(comparable)} {noun}."


def _group(row: dict[str, str], rows: list[dict[str, str]]) -> str:
    """The gene group, where the fold has more than one."""
    same_fold = {r.get("genes") for r in rows if r.get("fold") == row.get("fold")}
    return f"[{row['genes']}]" if len(same_fold) > 1 else ""


def _cell(value: float, best: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:.3f}{'*' if value == best else ' '}"


def summarise(results: Path) -> str:
    """What a finished run made: its files, FOCUS against the baselines, and what to open next.

    Parameters
    ----------
    results
        The run's output folder.

    Raises
    ------
    MissingResourceError
        If the folder has no results.
    """
    results = Path(results)
    parts = []
    for title, pattern in (
        ("Enhanced AnnData", "enhanced/*.h5ad"),
        ("On a finer grid", "refined/*.h5ad"),
        ("Reports", "reports/*.html"),
    ):
        if found := sorted(results.glob(pattern)):
            parts.append("\n".join([f"{title}:", *(f"  {path}" for path in found)]))
    scores = results / keys.SCORES_TSV
    if scores.is_file():
        comparisons = compare(scores)
        lines = table(comparisons).splitlines()
        parts.append("\n".join(["Mean Pearson correlation per gene (* the better):", *(f"  {line}" for line in lines)]))
        parts.append(sentence(comparisons))
    if not parts:
        raise MissingResourceError(f"no results in {results}", hint="focus run makes them")
    return "\n\n".join([*parts, *_open_next(results)])


def _open_next(results: Path) -> list[str]:
    """What a reader opens first, as far as it is there: one file of each kind."""
    kinds = {
        PAGE: "in a browser: one row per sample, with links to the reports",
        "reports/*.html": "in a browser: maps, scores and analyses of one sample",
        "enhanced/*.h5ad": 'in Python: anndata.read_h5ad("…")',
        keys.SCORES_TSV: "all scores, with intervals",
    }
    firsts = {min(found): text for pattern, text in kinds.items() if (found := list(results.glob(pattern)))}
    width = max((len(str(path)) for path in firsts), default=0)
    lines = [f"  {path!s:{width}}  {text}" for path, text in firsts.items()]
    return ["\n".join(["Open next:", *lines])] if lines else []

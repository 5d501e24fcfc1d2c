"""Put the scores of finished runs into the tables of a Markdown page.

A table stands between two comments; the first names a folder that ``focus evaluate`` wrote::

    <!-- scores: results/kidney/folds/kidney.refine/scores -->
    …
    <!-- end -->

What is between them is replaced by that folder's ``scores.tsv``; the words around it are left alone. A section of the
report of ``focus benchmark`` is named by its title::

    <!-- report: results/benchmark/report.md # What must be reached -->
    …
    <!-- end -->
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import click

BLOCK = re.compile(r"(<!-- scores: (?P<folder>\S+) -->\n).*?(<!-- end -->)", re.DOTALL)
SECTION = re.compile(r"(<!-- report: (?P<file>\S+) # (?P<title>[^\n]+) -->\n).*?(<!-- end -->)", re.DOTALL)
COLUMNS = {
    "PCC": lambda row: _number(row["pcc_mean"]),
    "95 % interval": lambda row: f"{_number(row['lo'])} to {_number(row['hi'])}",
    "of ceiling": lambda row: _number(row["fraction_of_ceiling"], ".0%"),
    "Spearman": lambda row: _number(row["spearman_mean"]),
    "RMSE": lambda row: _number(row["rmse_mean"]),
}


def _number(text: str, form: str = ".3f") -> str:
    return format(float(text), form) if text else "–"


def table(scores: Path) -> str:
    """Markdown of one ``scores.tsv``: genes by name, methods by falling Pearson correlation, FOCUS in bold."""
    with scores.open(newline="", encoding="utf-8") as stream:
        rows = list(csv.DictReader(stream, delimiter="\t"))
    rows.sort(key=lambda row: (row["genes"], -float(row["pcc_mean"] or "nan"), row["method"]))
    lines = [f"| genes | method | {' | '.join(COLUMNS)} |", "|---|---|" + "---:|" * len(COLUMNS)]
    for row in rows:
        method = f"**{row['method']}**" if row["method"].startswith("focus") else row["method"]
        cells = " | ".join(cell(row) for cell in COLUMNS.values())
        lines.append(f"| {row['genes']} ({row['n_genes']}) | {method} | {cells} |")
    return "\n".join(lines) + "\n"


def refresh(page: str, root: Path) -> str:
    """Fill every block of `page` from the runs under `root`.

    Raises
    ------
    click.ClickException
        If a folder that the page names holds no scores, or a report no such section: a page is of one piece or
        not written.
    """

    def fill(match: re.Match) -> str:
        scores = root / match["folder"] / "scores.tsv"
        if not scores.is_file():
            raise click.ClickException(f"{scores} is missing: run what makes it first")
        return f"{match[1]}\n{table(scores)}\n{match[3]}"

    def copy(match: re.Match) -> str:
        report = root / match["file"]
        text = report.read_text(encoding="utf-8") if report.is_file() else ""
        parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
        sections = dict(zip(parts[1::2], parts[2::2]))
        if match["title"] not in sections:
            raise click.ClickException(f"{report} has no section {match['title']!r}: run the benchmark first")
        return f"{match[1]}\n{sections[match['title']].strip()}\n\n{match[4]}"

    return SECTION.sub(copy, BLOCK.sub(fill, page))


@click.command()
@click.argument("page", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option("--root", type=click.Path(path_type=Path), default=".", show_default=True, help="Where the runs lie.")
def main(page: Path, root: Path) -> None:
    """Refresh the score tables of PAGE.

    Example: python benchmarks/refresh_tables.py docs/results.md
    """
    page.write_text(refresh(page.read_text(encoding="utf-8"), root), encoding="utf-8")


if __name__ == "__main__":
    main()

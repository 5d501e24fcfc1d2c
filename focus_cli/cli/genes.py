"""``focus genes``."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH, gene_table_option
from focus_cli.cli.printing import print_json, print_rows


@click.command("genes")
@click.argument("panel", metavar="PANEL.txt|FILE.h5ad|SAMPLE_DIR|REF_DIR", type=PATH)
@click.option("--reference", type=PATH, help="Genes to match with: any input that the command accepts.")
@click.option("--species", type=click.Choice(["human", "mouse"]), help="Species.  [default: inferred from the names]")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@gene_table_option
def command(panel: Path, reference: Path | None, species: str | None, as_json: bool) -> None:
    """Report which genes are recognised, under which names, and which are in a reference.

    Nothing is written. PANEL.txt has one gene per line, or is a table with named columns.

    \b
        focus genes panel.txt
        focus genes samples/S1 --reference reference
        focus genes cells.h5ad --reference other.h5ad --json
    """
    from focus_cli.genes import gene_report, read_var, report_warnings

    report = gene_report(read_var(panel), read_var(reference) if reference is not None else None, species)
    if as_json:
        print_json(report)
        return
    _show(report, report_warnings(report))


def _show(report: dict, warnings: list[str]) -> None:
    from focus_cli.genes import report_lines

    print_rows([*report_lines(report), *(("[yellow]note[/yellow]", warning) for warning in warnings)])

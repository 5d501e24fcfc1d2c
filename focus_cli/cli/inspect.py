"""Describe raw data or a slide: platform, locations, genes, image, µm per pixel, problems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from focus_cli.cli.options import PATH, gene_table_option, reader_options
from focus_cli.cli.printing import print_json, print_rows


@click.command("inspect")
@click.argument("path", type=PATH)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")
@reader_options
@gene_table_option
@click.pass_context
def command(
    ctx: click.Context,
    path: Path,
    as_json: bool,
    **reader: Any,
) -> None:
    """Describe raw data or a slide: platform, locations, genes, image, µm per pixel, problems.

    Reads and checks the data and writes nothing. The exit code is 0 if `focus preprocess` can read them. For a slide
    file it prints levels and scale, whether it is an H&E, the shares of tissue, pen marks, folds and blur, and the
    stains.

    \b
        focus inspect outs/
        focus inspect outs/ --bin-um 16 --json
        focus inspect ST-cnts/C2.tsv.gz
        focus inspect slide.svs
    """
    from focus_cli.core.storage import is_sample

    if is_sample(path):
        report = _describe_sample(path)
    else:
        report = _describe_raw(path, reader)
    if as_json:
        print_json(report)
    else:
        _show(report)
    if report["problems"]:
        ctx.exit(report["problems"][0]["exit_code"])


def _describe_raw(path: Path, reader: dict[str, Any]) -> dict:
    from focus_cli.histology.slides import describe_slide, is_slide_file

    if is_slide_file(path):
        return describe_slide(path, reader["mpp"])
    from focus_cli.platforms import describe

    return describe(path, **reader)


def _describe_sample(path: Path) -> dict:
    from dataclasses import asdict

    from focus_cli.core.errors import FocusError
    from focus_cli.core.storage import open_sample

    stored = open_sample(path)
    info, problems = stored.info, []
    try:
        stored.read()
    except FocusError as error:
        problems.append({"message": error.message, "hint": error.hint or "", "exit_code": error.exit_code})
    return {
        "path": str(path),
        "kind": "sample",
        "platform": info.platform.name,
        "version": info.platform.version,
        "evidence": ["sample.json"],
        "sample_id": info.sample_id,
        "locations": info.n_locations,
        "in_tissue": info.n_locations,
        "genes": info.n_genes,
        "mpp": info.mpp,
        "footprint": asdict(info.footprint),
        "image": asdict(info.image) if info.image else None,
        "warnings": info.warnings,
        "problems": problems,
    }


def _slide_lines(report: dict):
    yield "slide", report["path"]
    if "width" not in report:
        return
    yield "size", f"{report['width']:,} × {report['height']:,} px"
    steps = ", ".join(f"1:{level['downsample']:g}" for level in report["levels"])
    yield "levels", f"{len(report['levels'])} ({steps})"
    yield "µm per pixel", f"{report['mpp']:.4g} ({report['mpp_origin']})" if report["mpp"] else "unknown"
    if "quality" not in report:
        return
    quality = report["quality"]
    yield "extent", "{:,.0f} × {:,.0f} µm".format(*report["extent_um"])
    yield "H&E", f"no: {quality['histology']}" if quality["histology"] else "yes"
    yield "tissue", f"{quality['tissue']:.1%} of the slide"
    yield "pen marks", f"{quality['pen']:.1%} of the slide"
    yield "folds", f"{quality['fold']:.1%} of the tissue"
    if quality["blur"] is not None:
        yield "out of focus", f"{quality['blur']:.0%} of the tissue (sharpness {quality['sharpness']:.2f})"
    if quality["stains"]:
        for name, vector in zip(("haematoxylin", "eosin"), quality["stains"]):
            yield name, "R {:.2f}  G {:.2f}  B {:.2f} of its optical density".format(*vector)
    else:
        yield "stains", quality["stains_reason"]


def _lines(report: dict):
    if report["kind"] == "slide":
        yield from _slide_lines(report)
        return
    yield "platform", " ".join(filter(None, [report["platform"], report["version"]]))
    yield "recognised by", ", ".join(report["evidence"])
    if report["kind"] == "sample":
        yield "sample", f"{report['sample_id']} (made by focus preprocess)"
    if "locations" in report:
        yield "locations", f"{report['locations']:,} ({report['in_tissue']:,} in tissue)"
        yield "genes", f"{report['genes']:,}"
        if "gene_names" in report:
            from focus_cli.genes import report_lines

            yield from report_lines(report["gene_names"])[1:]
        if "counts" in report:
            yield "counts", f"{report['counts']:,} (median {report['median_counts']:,.0f} in tissue)"
        shape = report["footprint"]
        yield "footprint", f"{shape['shape']} of {shape['size_um']:g} µm, {shape['pitch_um']:g} µm apart"
        if "extent_um" in report:
            yield "extent", "{:,.0f} × {:,.0f} µm".format(*report["extent_um"])
        yield "µm per pixel", f"{report['mpp']:.4g}"
        image = report["image"]
        if image:
            size = f"{image['width']} × {image['height']} px" if image["width"] else "size not in header"
            yield "image", f"{image['path']} ({size}, {image['mpp']:.4g} µm per pixel)"
        else:
            yield "image", "none"


def _show(report: dict) -> None:
    from rich.console import Console

    rows = [*_lines(report), *(("[yellow]note[/yellow]", warning) for warning in report["warnings"])]
    for problem in report["problems"]:
        rows.append(("[red]problem[/red]", problem["message"]))
        if problem["hint"]:
            rows.append(("hint", problem["hint"]))
    print_rows(rows)
    if not report["problems"]:
        Console(highlight=False).print("[green]no problem found[/green]")

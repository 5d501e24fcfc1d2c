"""One section of the report: what is known of one enhanced file, as numbers, words and small pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.h5ad.matrices import CountSummary, read_columns, summarise_counts
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.resources import Size, check_memory
from focus_cli.reporting.analyses.build import build_panel
from focus_cli.reporting.analyses.opened import AlignedResult
from focus_cli.reporting.analyses.panel import Panel, Picture
from focus_cli.reporting.analyses.words import ORDER
from focus_cli.reporting.charts import Histogram, ends, histogram, short
from focus_cli.reporting.context import (
    Fact,
    Geometry,
    alignment_facts,
    by_type,
    footprint_words,
    orientation_table,
    platform_words,
    state_names,
    warnings_of,
)
from focus_cli.reporting.genes import choose_genes, find_genes, read_expression, states_expression
from focus_cli.reporting.maps import EXPRESSION, STATES, UNCERTAINTY, Canvas, Frame, data_uri, gradient, limits
from focus_cli.reporting.placement import PlacedPicture, placement_pictures
from focus_cli.reporting.run_record import RunRecord, run_record
from focus_cli.reporting.viewer import Viewer, gene_layers, make_viewer, sample_layers, viewer_genes

N_STATES = 6
_RAW_LABEL = "raw, log1p CP10k"


@dataclass(frozen=True)
class Map:
    """One picture of values over the tissue with its colour bar."""

    caption: str
    image: str  # data: address; empty where there is nothing to draw
    low: str = ""
    high: str = ""
    gradient: str = ""
    note: str = ""


@dataclass(frozen=True)
class GeneRow:
    """One gene before and after."""

    name: str
    measured: bool
    requested: bool
    facts: list[tuple[str, str]]
    maps: list[Map]


@dataclass
class SampleSection:
    """Everything that the template shows of one sample."""

    anchor: str
    sample_id: str
    file_name: str
    badge: str
    is_focus: bool
    facts: list[Fact]
    tissue: str
    has_image: bool
    aspect: str
    scale_bar: tuple[float, str] | None
    squares: bool
    overview: list[Map]
    quality: list[Histogram]
    alignment: list[Fact]
    orientations: tuple[list[str], list[list[str]]] | None
    genes: list[GeneRow]
    states: list[Map]
    state_bars: list[tuple[str, float]]
    warnings: list[str]
    run: RunRecord
    placed: PlacedPicture | None = None
    turned: list[PlacedPicture] = field(default_factory=list)
    refined_run: RunRecord | None = None
    refined_facts: list[Fact] = field(default_factory=list)
    panels: list[Panel] = field(default_factory=list)
    viewer: Viewer | None = None


def sample_section(
    file: SpatialFile,
    refined: SpatialFile | None,
    *,
    anchor: str,
    requested: list[str],
    side: int,
    analyses: Sequence[AlignedResult] = (),
    categories: dict[str, list[str]] | None = None,
    viewer_bytes: float = 0.0,
    samples: int = 1,
    picture: Callable[[Frame, int], np.ndarray] | None = None,
) -> SampleSection:
    """Collect one section.

    Parameters
    ----------
    file
        The enhanced (or any spatial) file.
    refined
        The refined file of the same sample, if there is one.
    anchor
        Name of the section inside the page.
    requested
        Genes to show first.
    side
        Longer side of a map in pixels.
    analyses
        Analysis results of the locations of the file.
    categories
        All categories of the analysis results of the page, by column of obs.
    viewer_bytes
        Size of the layers of the slide viewer; 0 for no viewer.
    samples
        How many samples share the page.
    picture
        A finer picture of the slide than the stored one.
    """
    locations = len(file.obs) + (len(refined.obs) if refined is not None else 0)
    check_memory("report", Size(locations, len(file.var), 0), lower="leave the refined file out")
    focus = file.focus
    measured = file.measured
    counts = file.counts()
    summary = summarise_counts(counts) if counts is not None else None
    totals = _totals(file, summary)
    empty = summary is not None and not summary.totals.any()
    if empty:
        summary = None
    geometry = Geometry.of(file, side)
    canvas = Canvas(geometry.frame, file.xy, geometry.drawn_px, geometry.square)
    choice = choose_genes(file, summary, totals, measured, requested)
    trust = _column(file.obs, keys.OBS_RELIABILITY)
    section = SampleSection(
        anchor=anchor,
        sample_id=sample_name(file),
        file_name=file.path.name,
        badge={"enhanced": "enhanced", "refined": "refined"}.get(file.kind, "not a FOCUS file"),
        is_focus=file.is_focus,
        facts=_facts(file, measured, summary, trust, geometry),
        tissue=geometry.tissue,
        has_image=bool(geometry.tissue),
        aspect=f"{geometry.frame.columns} / {geometry.frame.rows}",
        scale_bar=geometry.scale_bar,
        squares=geometry.square,
        overview=_overview(canvas, totals, trust, _column(file.obs, keys.OOD_SCORE), geometry),
        quality=_quality(file, summary, totals, trust, measured),
        alignment=alignment_facts(focus),
        orientations=orientation_table(focus),
        genes=_genes(file, refined, canvas, choice, measured, summary, geometry),
        states=[],
        state_bars=[],
        warnings=_warnings(file, measured, counts is None, empty, refined),
        run=run_record(focus),
    )
    section.panels = [build_panel(a, categories or {}) for a in sorted(analyses, key=lambda a: _rank(a.kind))]
    for panel in section.panels:
        panel.maps = [_picture_map(canvas, p) for p in panel.pictures]
    if not any(panel.kind == "celltypes" for panel in section.panels):
        section.states, section.state_bars = _states(file, canvas)
    if viewer_bytes > 0:
        spoken_of = find_genes(file, [g for panel in section.panels for g in panel.genes])
        columns = viewer_genes(file, choice.columns, list(spoken_of.values()))
        layers = [layer for panel in section.panels for layer in panel.layers]
        layers += gene_layers(file, columns, totals, measured) + sample_layers(file, totals)
        section.viewer = make_viewer(file, geometry, layers, budget=viewer_bytes, picture=picture, samples=samples)
    if section.alignment or section.orientations:
        section.placed, section.turned = placement_pictures(file)
    if refined is not None:
        section.refined_run = run_record(refined.focus)
        section.refined_facts = [
            Fact(
                "refined locations",
                f"{len(refined.obs):,}",
                f"{len(refined.obs) / len(file.obs):.1f} per location",
            )
        ]
    return section


def _rank(kind: str) -> tuple[int, str]:
    return (ORDER.index(kind) if kind in ORDER else len(ORDER), kind)


def _picture_map(canvas: Canvas, picture: Picture) -> Map:
    if picture.colours is not None:
        return Map(picture.caption, data_uri(canvas.paint_colours(picture.colours)))
    pixels = canvas.paint(picture.values, picture.colormap, picture.low, picture.high)
    return Map(picture.caption, data_uri(pixels), *ends(picture.low, picture.high), gradient(picture.colormap))


def sample_name(file: SpatialFile) -> str:
    """The sample's id: as FOCUS wrote it, else the library id, else the file's name."""
    if file.focus.get("sample_id"):
        return str(file.focus["sample_id"])
    return next((library for library, _, _ in file.images()), file.path.stem)


def _column(table: Any, key: str) -> np.ndarray | None:
    if key not in table:
        return None
    import pandas as pd

    values = pd.to_numeric(table[key], errors="coerce").to_numpy(dtype=float)
    return values if np.isfinite(values).any() else None


def _totals(file: SpatialFile, summary: CountSummary | None) -> np.ndarray:
    stored = _column(file.obs, keys.TOTAL_COUNTS)
    seen = summary.totals if summary is not None else np.zeros(len(file.obs))
    # A file that keeps some genes only still knows the counts over the whole panel.
    return seen if stored is None else np.maximum(np.nan_to_num(stored), seen)


def _facts(
    file: SpatialFile,
    measured: np.ndarray,
    summary: CountSummary | None,
    trust: np.ndarray | None,
    geometry: Geometry,
) -> list[Fact]:
    facts = [
        Fact("platform", platform_words(file.focus), ""),
        Fact("locations", f"{len(file.obs):,}", footprint_words(geometry)),
        Fact("genes measured", f"{int(measured.sum()):,}", "on the panel"),
        Fact("genes imputed", f"{int((~measured).sum()):,}", "inferred, not measured"),
    ]
    if geometry.mpp:
        facts.append(Fact("µm per px", f"{geometry.mpp:.3g}", "full-resolution image"))
    if summary is not None:
        facts.append(Fact("counts", short(float(np.median(summary.totals))), "median per location"))
        facts.append(Fact("genes", short(float(np.median(summary.detected))), "median per location"))
    if trust is not None:
        facts.append(Fact("reliability", f"{np.nanmedian(trust):.2f}", "median of locations, 0 to 1"))
    return [f for f in facts if f.value]


def _map(
    canvas: Canvas,
    values: np.ndarray,
    caption: str,
    colormap: str,
    note: str = "",
    floor: float | None = None,
) -> Map:
    low, high = limits(values)
    if floor is not None:
        low = floor
        high = high if high > low else low + 1.0
    pixels = canvas.paint(values, colormap, low, high)
    return Map(caption, data_uri(pixels), *ends(low, high), gradient(colormap), note)


def _overview(
    canvas: Canvas, totals: np.ndarray, trust: np.ndarray | None, ood_score: np.ndarray | None, geometry: Geometry
) -> list[Map]:
    maps = [Map("H&E", "")] if geometry.tissue else []
    if totals.any():
        maps.append(_map(canvas, totals, "Counts per location", EXPRESSION))
    else:
        maps.append(_map(canvas, np.zeros(len(totals)), "Locations (no counts)", EXPRESSION))
    if trust is not None:
        maps.append(_map(canvas, trust, "Reliability of locations", UNCERTAINTY))
    if ood_score is not None:
        note = f"{np.mean(ood_score > 1):.0%} of the tissue is unlike any in training (above 1)"
        maps.append(_map(canvas, ood_score, "Out-of-distribution score", UNCERTAINTY, note, floor=0.0))
    return maps


def _quality(
    file: SpatialFile,
    summary: CountSummary | None,
    totals: np.ndarray,
    trust: np.ndarray | None,
    measured: np.ndarray,
) -> list[Histogram]:
    plots: list[Histogram | None] = []
    if summary is not None:
        plots.append(histogram("Counts per location", {"all": totals}, unit="counts", log=True))
        plots.append(histogram("Genes per location", {"all": summary.detected}, unit="genes detected", log=True))
    if trust is not None:
        plots.append(histogram("Reliability of locations", {"all": trust}, unit="0 to 1", span=(0.0, 1.0)))
    genes = _column(file.var, keys.VAR_RELIABILITY)
    if genes is not None:
        groups = {"measured": genes[measured], "imputed": genes[~measured]}
        plots.append(histogram("Reliability of genes", groups, unit="0 to 1", of="genes", span=(0.0, 1.0)))
    return [p for p in plots if p is not None]


def _genes(
    file: SpatialFile,
    refined: SpatialFile | None,
    canvas: Canvas,
    choice: Any,
    measured: np.ndarray,
    summary: CountSummary | None,
    geometry: Geometry,
) -> list[GeneRow]:
    names = [str(file.var.index[c]) for c in choice.columns]
    std_node = file.matrix(keys.STD) if file.is_focus else None
    std = read_columns(std_node, choice.columns) if std_node is not None and len(names) else None
    finer = _refined_maps(refined, names, geometry) if refined is not None else {}
    trust = _column(file.var, keys.VAR_RELIABILITY)
    caption = "enhanced, depth taken out" if states_expression(file) else "enhanced, log1p CP10k"
    rows = []
    for i, (name, column) in enumerate(zip(names, choice.columns)):
        maps, facts = [], []
        if trust is not None and np.isfinite(trust[column]):
            facts.append(("reliability", f"{trust[column]:.2f}"))
        if summary is not None and measured[column]:
            share = 100 * summary.gene_detected[column] / len(file.obs)
            facts.append(("detected in", f"{share:.2g} % of locations" if share < 1 else f"{share:.0f} % of locations"))
        before, after = choice.moran_raw[i], choice.moran_enhanced[i]
        if file.is_focus and np.isfinite(after):
            change = f"{before:.2f} → {after:.2f}" if np.isfinite(before) else f"{after:.2f}"
            facts.append(("Moran's I", change))
        elif np.isfinite(before):
            facts.append(("Moran's I", f"{before:.2f}"))
        if not measured[column]:
            maps.append(Map(_RAW_LABEL, "", note="not on the panel: nothing was measured"))
        elif choice.raw is None:
            maps.append(Map(_RAW_LABEL, "", note="the file holds no counts"))
        else:
            maps.append(_map(canvas, choice.raw[:, i], _RAW_LABEL, EXPRESSION))
        if file.is_focus:
            maps.append(_map(canvas, choice.enhanced[:, i], caption, EXPRESSION))
            if std is not None:
                maps.append(_map(canvas, std[:, i], "standard deviation", UNCERTAINTY))
            if name in finer:
                maps.append(finer[name])
        rows.append(GeneRow(name, bool(measured[column]), i < choice.requested, facts, maps))
    return rows


def _refined_maps(refined: SpatialFile, names: list[str], geometry: Geometry) -> dict[str, Map]:
    place = {str(g): i for i, g in enumerate(refined.var.index)}
    shared = [n for n in names if n in place]
    values = read_expression(refined, np.array([place[n] for n in shared])) if shared else None
    if values is None:
        return {}
    fine = Geometry.of(refined, geometry.side, frame=geometry.frame, with_image=False)
    canvas = Canvas(geometry.frame, refined.xy, fine.drawn_px, square=True)
    caption = f"refined, {fine.pitch_words} grid" if fine.pitch_words else "refined"
    return {n: _map(canvas, values[:, i], caption, EXPRESSION) for i, n in enumerate(shared)}


def _states(file: SpatialFile, canvas: Canvas) -> tuple[list[Map], list[tuple[str, float]]]:
    table = file.obsm(keys.STATE_ATTENTION)
    if table is None:
        return [], []
    names, values = by_type(state_names(table, file.focus), np.asarray(table, dtype=np.float32))
    mean = values.mean(axis=0, dtype=np.float64)
    order = np.lexsort((np.arange(len(mean)), -mean))
    maps = [_map(canvas, values[:, s], names[s], STATES, floor=0.0) for s in order[:N_STATES]]
    bars = [(names[s], round(100 * float(mean[s]), 2)) for s in order[:N_STATES]]
    rest = 100 * float(mean[order[N_STATES:]].sum())
    if len(order) > N_STATES:
        bars.append((f"{len(order) - N_STATES} others", round(rest, 2)))
    return maps, bars


def _warnings(
    file: SpatialFile, measured: np.ndarray, no_counts: bool, empty: bool, refined: SpatialFile | None
) -> list[str]:
    warnings = warnings_of(file.focus)
    if not file.is_focus:
        warnings.append("This file was not written by FOCUS: no estimates, no spread, no provenance.")
    elif file.kind == "refined":
        warnings.append("Nothing was measured on this grid: it is finer than the locations of the array.")
    elif no_counts:
        warnings.append(f"The file has no layer {keys.COUNTS!r}: raw maps cannot be shown.")
    elif empty:
        warnings.append("The sample has no counts: every value is predicted from the image.")
    if file.is_focus and file.matrix(keys.STD) is None:
        warnings.append(f"The file has no layer {keys.STD!r}: the spread of the estimates cannot be shown.")
    if (~measured).any():
        share = 100 * (~measured).mean()
        warnings.append(f"{share:.0f} % of the genes are imputed: inferred, no measurement stands behind them.")
    if refined is not None:
        warnings += [w for w in warnings_of(refined.focus) if w not in warnings]
    return warnings

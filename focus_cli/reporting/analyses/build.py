"""An analysis result as a panel: one function per kind; what is missing in an analysis result is left out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.h5ad.matrices import read_columns
from focus_cli.reporting.analyses.opened import AlignedResult
from focus_cli.reporting.analyses.panel import Bar, Panel, Picture, Table
from focus_cli.reporting.analyses.tables import cell, order_of, table_of
from focus_cli.reporting.analyses.words import HINTS, TITLES
from focus_cli.reporting.context import Fact, mapping, number, warnings_of
from focus_cli.reporting.layers import (
    SHARE,
    SIGNED,
    Layer,
    category_layer,
    colours_of,
    in_order,
    number_layer,
    shares_of,
)
from focus_cli.reporting.run_record import run_record

N_TYPES, N_PAIRS, N_ROWS, N_WHY_GENES = 12, 8, 25, 6
_NOT_FACTS = {"kind", "provenance", "warnings", "fields", "space", "sample_id", "mpp", "platform", "resolution_um"} | {
    "footprint_shape",
    "footprint_um",
    "pitch_um",
}
_TABLE_BY = ("q", "q_counts", "q_measured", "q_value", "fdr", "padj", "p", "p_counts", "pvalue")
_DOMAIN_COLUMNS = {keys.DOMAIN, keys.DOMAIN_CONFIDENCE, keys.DOMAIN_BOUNDARY}
_NAN = float("nan")


def build_panel(analysis: AlignedResult, categories: dict[str, list[str]]) -> Panel:
    """What is shown of one analysis result.

    Parameters
    ----------
    analysis
        The analysis result beside its sample.
    categories
        Column of obs → all categories in the report, so that a domain has one colour on the whole page.
    """
    kind = analysis.kind
    panel = Panel(
        kind=kind,
        title=TITLES.get(kind, kind.replace("_", " ").capitalize()),
        hint=HINTS.get(kind, ""),
        file_name=analysis.file.path.name,
        warnings=warnings_of(analysis.file.focus),
        run=run_record(analysis.file.focus),
    )
    if analysis.n_missing:
        panel.warnings.append(
            f"It lacks {analysis.n_missing:,} of the {len(analysis.rows):,} locations; they stay empty."
        )
    panel.facts = _settings(analysis.file.focus)
    _BUILD.get(kind, _other)(panel, analysis, categories)
    return panel


def categories_of(analyses: list[AlignedResult]) -> dict[str, list[str]]:
    """Column of obs → every category that occurs in any of the analysis results, in natural order."""
    found: dict[str, set[str]] = {}
    for analysis in analyses:
        for column in analysis.file.obs.columns:
            values = analysis.file.obs[column]
            if values.dtype == object or str(values.dtype) in ("category", "string", "str"):
                found.setdefault(column, set()).update(str(v) for v in values.dropna().unique())
    return {column: in_order(names) for column, names in found.items()}


def _settings(focus: dict[str, Any]) -> list[Fact]:
    facts = []
    for key, value in sorted(focus.items()):
        if key in _NOT_FACTS or isinstance(value, (dict, list)) or value in ("", None):
            continue
        words = cell(key, value)
        if len(words) <= 24:
            facts.append(Fact(_label(key), words))
    return facts[:8]


def _label(key: str) -> str:
    """A name of a setting for a reader: n_tested is tested, reach_um is reach, µm."""
    return key.removeprefix("n_").replace("_um", ", µm").replace("_", " ")


def _category(
    analysis: AlignedResult, column: str, group: str, name: str, categories: dict[str, list[str]]
) -> Layer | None:
    if column not in analysis.file.obs:
        return None
    return category_layer(group, name, analysis.words(analysis.file.obs[column]), names=categories.get(column))


def _number(analysis: AlignedResult, column: str, group: str, name: str, **how: Any) -> Layer | None:
    if column not in analysis.file.obs:
        return None
    return number_layer(group, name, analysis.numbers(analysis.file.obs[column]), **how)


def _median_by(layer: Layer, values: np.ndarray | None) -> dict[str, float]:
    if values is None:
        return {}
    found = {}
    for code, name in enumerate(layer.names):
        mine = values[layer.codes == code]
        mine = mine[np.isfinite(mine)]
        if len(mine):
            found[name] = float(np.median(mine))
    return found


def _groups(panel: Panel, layer: Layer, confidence: np.ndarray | None, heading: str) -> None:
    """A legend with shares and confidence, and a picture."""
    sure = _median_by(layer, confidence)
    panel.bar_headings = (heading, "share", *(("median confidence",) if sure else ()), "locations")
    for name, colour, count, share in shares_of(layer):
        more = ((f"{sure[name]:.2f}" if name in sure else "–",) if sure else ()) + (f"{count:,}",)
        panel.bars.append(Bar(name, share, colour, more=more))
    panel.pictures.append(Picture(layer.name, _colours(layer)))


def _colours(layer: Layer) -> np.ndarray:
    from matplotlib.colors import to_rgb

    table = np.array([*(to_rgb(c) for c in layer.colours), (_NAN,) * 3])
    return table[np.minimum(layer.codes, len(layer.names))]


def _keep(panel: Panel, *layers: Layer | None) -> None:
    panel.layers += [layer for layer in layers if layer is not None]


def _domains(panel: Panel, analysis: AlignedResult, categories: dict[str, list[str]]) -> None:
    layer = _category(analysis, keys.DOMAIN, panel.title, "Domain", categories)
    sure = _number(analysis, keys.DOMAIN_CONFIDENCE, panel.title, "Confidence of the domain", span=(0.0, 1.0))
    edge = _flag(analysis, keys.DOMAIN_BOUNDARY, panel.title, "Boundary between domains")
    _keep(panel, layer, sure, edge, *_rest(panel, analysis, _DOMAIN_COLUMNS, categories))
    if layer is not None:
        confidence = analysis.numbers(analysis.file.obs[keys.DOMAIN_CONFIDENCE]) if sure is not None else None
        _groups(panel, layer, confidence, "domain")
        if confidence is not None:
            panel.pictures.append(Picture("Confidence", None, confidence, "cividis", 0.0, 1.0))


def _flag(analysis: AlignedResult, column: str, group: str, name: str) -> Layer | None:
    """Where a column of true and false is true; a column of shares is shown as it is."""
    if column not in analysis.file.obs:
        return None
    values = analysis.file.obs[column]
    if values.dtype != bool:
        return _number(analysis, column, group, name, span=(0.0, 1.0), colormap=SHARE)
    found = category_layer(group, name, [name if v else None for v in analysis.words(values)], title=False)
    return found


def _celltypes(panel: Panel, analysis: AlignedResult, categories: dict[str, list[str]]) -> None:
    main = _category(analysis, keys.CELL_TYPE, panel.title, "Most abundant type", categories)
    sure = _number(analysis, keys.CELL_TYPE_CONFIDENCE, panel.title, "Confidence of the type", span=(0.0, 1.0))
    _keep(panel, main)
    table = analysis.file.obsm(keys.TYPES)
    if table is not None:
        names = [str(c) for c in getattr(table, "columns", range(np.shape(table)[1]))]
        shares = analysis.numbers(np.asarray(table, dtype=np.float32))
        ends = [_table_numbers(analysis, f"{keys.TYPES}_{end}", shares.shape) for end in ("low", "high")]
        mean = np.nanmean(shares, axis=0) if len(shares) else np.zeros(len(names))
        order = np.lexsort((np.arange(len(names)), -np.nan_to_num(mean)))
        types = categories.get(keys.CELL_TYPE, [])
        colour = dict(zip(types, colours_of(types)))
        interval = ends[0] is not None and ends[1] is not None
        panel.bar_headings = ("cell type", "mean share", *(("middle location's interval",) if interval else ()))
        for i in order[:N_TYPES]:
            more: tuple[str, ...] = ()
            if interval:
                more = (f"{np.nanmedian(ends[0][:, i]):.0%} to {np.nanmedian(ends[1][:, i]):.0%}",)
            panel.bars.append(Bar(names[i], float(mean[i]), colour.get(names[i], ""), more=more))
            span = (0.0, max(0.05, float(np.nanpercentile(shares[:, i], 99))))
            views = [("share", shares), *((v, e) for v, e in zip(("low end", "high end"), ends) if e is not None)]
            for view, values in views:
                _keep(panel, number_layer(panel.title, names[i], values[:, i], view=view, span=span, colormap=SHARE))
        rest = float(mean[order[N_TYPES:]].sum())
        if len(order) > N_TYPES:
            blank = ("",) if interval else ()
            panel.bars.append(Bar(f"{len(order) - N_TYPES} others", rest, more=blank))
        for i in order[:5]:
            top = max(0.05, float(np.nanpercentile(shares[:, i], 99)))
            panel.pictures.append(Picture(names[i], None, shares[:, i], SHARE, 0.0, top))
    _keep(panel, sure, *_rest(panel, analysis, {keys.CELL_TYPE, keys.CELL_TYPE_CONFIDENCE}, categories))
    if main is not None:
        panel.pictures.insert(0, Picture("Most abundant type", _colours(main)))
        if not panel.bars:
            confidence = analysis.numbers(analysis.file.obs[keys.CELL_TYPE_CONFIDENCE]) if sure is not None else None
            panel.pictures.clear()
            _groups(panel, main, confidence, "cell type")


def _table_numbers(analysis: AlignedResult, key: str, shape: tuple[int, ...]) -> np.ndarray | None:
    table = analysis.file.obsm(key)
    if table is None:
        return None
    values = analysis.numbers(np.asarray(table, dtype=np.float32))
    return values if values.shape == shape else None


def _annotation(panel: Panel, analysis: AlignedResult, categories: dict[str, list[str]]) -> None:
    layer = _category(analysis, keys.ANNOTATION, panel.title, "Annotation", categories)
    sure = _number(analysis, keys.ANNOTATION_CONFIDENCE, panel.title, "Confidence of the annotation", span=(0.0, 1.0))
    _keep(panel, layer)
    if layer is not None:
        confidence = analysis.numbers(analysis.file.obs[keys.ANNOTATION_CONFIDENCE]) if sure is not None else None
        _groups(panel, layer, confidence, "class")
    table = analysis.file.obsm(keys.ANNOTATION_PROBABILITY)
    if table is not None:
        values = analysis.numbers(np.asarray(table, dtype=np.float32))
        names = [str(c) for c in getattr(table, "columns", range(values.shape[1]))]
        for i, name in enumerate(names[:N_TYPES]):
            layer = number_layer(panel.title, f"Probability: {name}", values[:, i], span=(0.0, 1.0), colormap=SHARE)
            _keep(panel, layer)
            if len(names) == 2 and i == 1:
                panel.pictures.append(Picture(f"Probability of {name}", None, values[:, i], SHARE, 0.0, 1.0))
    _keep(panel, sure, *_rest(panel, analysis, {keys.ANNOTATION, keys.ANNOTATION_CONFIDENCE}, categories))
    _scores(panel, analysis.file.focus.get("head_scores"))
    if keys.ANNOTATION_ABSTAIN in analysis.file.obs:
        share = float(np.mean(analysis.file.obs[keys.ANNOTATION_ABSTAIN].to_numpy(dtype=float)))
        if share > 0:
            panel.warnings.append(f"The classifier abstains on {share:.0%} of the locations: unlike its training.")


def _scores(panel: Panel, scores: Any) -> None:
    """Scores of the classifier on held-out donors or blocks."""
    if not isinstance(scores, list) or not all(isinstance(row, dict) for row in scores):
        return
    rows = []
    for row in scores:
        row_cells = [str(row.get("class", ""))]
        for name in ("auroc", "ap"):
            value, low, high = (number(row.get(k)) for k in (name, f"{name}_low", f"{name}_high"))
            ends = f" ({low:.2f} to {high:.2f})" if low is not None and high is not None else ""
            row_cells.append("–" if value is None else f"{value:.2f}{ends}")
        prevalence, n = number(row.get("prevalence")), number(row.get("n"))
        row_cells += ["–" if prevalence is None else f"{prevalence:.0%}", "–" if n is None else f"{n:,.0f}"]
        rows.append(row_cells)
    headings = ["class", "AUROC", "average precision", "prevalence", "labelled"]
    title = "Scores of the classifier on held-out labelled locations"
    panel.tables.append(Table(title, headings, rows, [False] + [True] * 4))


def _rest(
    panel: Panel, analysis: AlignedResult, taken: set[str], categories: dict[str, list[str]]
) -> list[Layer | None]:
    """Layers of all other columns of obs."""
    found: list[Layer | None] = []
    for column in analysis.file.obs.columns:
        if column in taken or column in (keys.IN_TISSUE, keys.ARRAY_ROW, keys.ARRAY_COL):
            continue
        name = column.replace("_", " ").capitalize()
        if analysis.file.obs[column].dtype == bool:
            found.append(_flag(analysis, column, panel.title, name))
        elif column in categories:
            if len(categories[column]) <= 60:
                found.append(_category(analysis, column, panel.title, name, categories))
        else:
            found.append(_number(analysis, column, panel.title, name))
    return found


def _table(panel: Panel, analysis: AlignedResult, first: str, what: str) -> np.ndarray:
    var = analysis.file.var
    rows = order_of(var, list(_TABLE_BY))
    by = next((c for c in _TABLE_BY if c in var), "")
    ranked = f" by {by.replace('_', ' ')}" if by else ""
    title = f"The first {min(N_ROWS, len(rows))} of {len(rows):,} {what}{ranked}"
    if len(rows):
        panel.tables.append(table_of(var, rows[:N_ROWS], title=title, first=first))
    return rows


def _patterns(panel: Panel, analysis: AlignedResult, categories: dict[str, list[str]]) -> None:
    rows = _table(panel, analysis, "gene", "genes")
    panel.genes = [str(g) for g in analysis.file.var.index[rows[:10]]]
    niche = _category(analysis, keys.NICHE, panel.title, "Niche", categories)
    _keep(panel, niche)
    made_of = mapping(analysis.file.focus.get("niche_composition"))
    if made_of:
        shares = "proportions" in str(analysis.file.focus.get("niches_of", "proportions"))
        heading, form = ("largest mean shares", "{} {:.0%}") if shares else ("largest mean scores", "{} {:.2g}")
        rows_of = [
            [n, ", ".join(form.format(*part) for part in _largest(mapping(made_of[n])))] for n in in_order(made_of)
        ]
        panel.tables.append(Table("What niches are made of", ["niche", heading], rows_of, [False, False]))
    if niche is not None:
        _groups(panel, niche, None, "niche")


def _largest(shares: dict[str, Any]) -> list[tuple[str, float]]:
    known = [(str(k), v) for k, v in shares.items() if isinstance(v, (int, float))]
    return sorted(known, key=lambda item: (-item[1], item[0]))[:5]


def _interactions(panel: Panel, analysis: AlignedResult, categories: dict[str, list[str]]) -> None:
    rows = _table(panel, analysis, "pair", "pairs")
    var = analysis.file.var
    for column in ("ligand", "receptor"):
        if column in var:
            for text in var[column].iloc[rows[:N_PAIRS]]:
                panel.genes += [g for g in str(text).split("_") if g not in panel.genes]
    x = analysis.file.matrix(None)
    if x is None or not len(rows):
        return
    top = rows[:N_PAIRS]
    values = analysis.numbers(read_columns(x, top))
    for i, row in enumerate(top):
        name = str(var.index[row])
        if not np.nan_to_num(values[:, i]).any():
            continue  # no map of this pair was made
        _keep(panel, number_layer(panel.title, name, values[:, i], unit="local score", colormap=SHARE))
        if len(panel.pictures) < 4:
            high = float(np.nanpercentile(values[:, i], 99))
            panel.pictures.append(Picture(name, None, values[:, i], SHARE, 0.0, high if high > 0 else 1.0))


def _why(panel: Panel, analysis: AlignedResult, categories: dict[str, list[str]]) -> None:
    import h5py

    var, handle = analysis.file.var, analysis.file.handle
    node = handle.get("layers")
    parts = sorted(node) if isinstance(node, h5py.Group) else []
    genes = list(range(min(N_WHY_GENES, len(var))))
    panel.genes = [str(var.index[g]) for g in genes]
    if parts and genes:
        stack = {p: analysis.numbers(read_columns(analysis.file.matrix(p), np.array(genes))) for p in parts}
        weight = {p: float(np.nanmean(np.abs(v))) for p, v in stack.items()}
        total = sum(weight.values()) or 1.0
        panel.bar_headings = ("source", "share of all movement", "mean size")
        for part in sorted(parts, key=lambda p: (-weight[p], p)):
            panel.bars.append(Bar(part.replace("_", " "), weight[part] / total, more=(f"{weight[part]:.3g}",)))
        for i, gene in enumerate(panel.genes):
            every = np.concatenate([v[:, i] for v in stack.values()])
            reach = float(np.nanpercentile(np.abs(every), 99)) or 1.0
            for part in sorted(parts, key=lambda p: (-weight[p], p)):
                layer = number_layer(
                    panel.title,
                    f"{gene}, why",
                    stack[part][:, i],
                    view=part.replace("_", " "),
                    span=(-reach, reach),
                    symmetric=True,
                    colormap=SIGNED,
                    unit="log2",
                )
                _keep(panel, layer)
                if i == 0:
                    words = f"{gene}: {part.replace('_', ' ')}"
                    panel.pictures.append(Picture(words, None, stack[part][:, i], SIGNED, -reach, reach))
    _why_values(panel, analysis)
    _keep(panel, *_rest(panel, analysis, set(), categories))


def _why_values(panel: Panel, analysis: AlignedResult) -> None:
    """The largest parts of single values, and which neighbours they came from."""
    table = analysis.file.uns(keys.UNS_WHY)
    if table is None or not {"gene", "location", "signal", "part", "contribution"} <= set(
        getattr(table, "columns", ())
    ):
        return
    rows = []
    for (gene, location), part in list(table.groupby(["gene", "location"], sort=False, observed=True))[:N_WHY_GENES]:
        top = part.reindex(part["contribution"].abs().sort_values(ascending=False, kind="stable").index)[:5]
        rows += [
            [str(gene), str(location), str(r["signal"]), str(r["part"]), f"{r['contribution']:+.3f}"]
            for _, r in top.iterrows()
        ]
    headings = ["gene", "location", "signal", "part", "contribution, log2"]
    numeric = [False] * 4 + [True]
    panel.tables.append(Table("Single values: their five largest parts", headings, rows, numeric))
    near = analysis.file.obsm(keys.WHY_NEIGHBOURS)
    pairs = analysis.file.focus.get("pairs")
    if near is None or not isinstance(pairs, list) or np.shape(near)[1] != len(pairs):
        return
    values = analysis.numbers(np.asarray(near, dtype=np.float64))
    for i, pair in enumerate(pairs[:N_WHY_GENES]):
        pair = mapping(pair)
        layer = number_layer(
            panel.title,
            f"{pair.get('gene')} at {pair.get('location')}: from which neighbours",
            np.where(values[:, i] == 0, np.nan, values[:, i]),
            symmetric=True,
            colormap=SIGNED,
            unit="log2",
        )
        _keep(panel, layer)


def _embedding(panel: Panel, analysis: AlignedResult, categories: dict[str, list[str]]) -> None:
    for key, caption in ((keys.LOCATION, "Of the location"), (keys.NEIGHBOURHOOD, "Of its surroundings")):
        values = analysis.file.obsm(key)
        if values is not None and np.ndim(values) == 2 and min(np.shape(values)) >= 3:
            panel.pictures.append(Picture(caption, three_colours(analysis.numbers(values))))


def three_colours(values: np.ndarray) -> np.ndarray:
    """The three leading principal components as red, green and blue, each from its 2nd to its 98th percentile."""
    seen = np.isfinite(values).all(axis=1)
    out = np.full((len(values), 3), np.nan)
    if seen.sum() < 4:
        return out
    centred = values[seen] - values[seen].mean(axis=0)
    _, vectors = np.linalg.eigh(centred.T @ centred)
    axes = vectors[:, ::-1][:, :3]
    axes *= np.sign(axes[np.abs(axes).argmax(axis=0), range(3)])  # the sign is free: the same one every time
    scores = centred @ axes
    low, high = np.percentile(scores, [2, 98], axis=0)
    out[seen] = np.clip((scores - low) / np.maximum(high - low, 1e-12), 0, 1)
    return out


def _other(panel: Panel, analysis: AlignedResult, categories: dict[str, list[str]]) -> None:
    _keep(panel, *_rest(panel, analysis, set(), categories))
    for layer in panel.layers:
        if layer.names and not panel.bars:
            _groups(panel, layer, None, layer.name)
        elif not layer.names and len(panel.pictures) < 4:
            values = layer.floor + layer.codes.astype(float) / 254 * (layer.ceiling - layer.floor)
            values[layer.codes == 255] = np.nan
            panel.pictures.append(Picture(layer.name, None, values, layer.colormap, layer.low, layer.high))
    if len(analysis.file.var):
        _table(panel, analysis, "name", "rows")


_BUILD: dict[str, Callable[[Panel, AlignedResult, dict[str, list[str]]], None]] = {
    "domains": _domains,
    "celltypes": _celltypes,
    "annotation": _annotation,
    "patterns": _patterns,
    "interactions": _interactions,
    "why": _why,
    "embedding": _embedding,
}

"""What is known of a table's genes: coverage, collisions, disagreements, names that a spreadsheet has mangled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from focus_cli.genes.identity import (
    Evidence,
    GeneNames,
    is_known,
    mouse_in_capitals,
    read_gene_names,
    resolve,
    species_mix,
    species_of,
)
from focus_cli.genes.mangled import mangled_names
from focus_cli.genes.matching import match_genes
from focus_cli.genes.table import SPECIES, GeneTable, load_table

LISTED = 20  # names that are listed of each kind
_FEW_KNOWN, _ENOUGH = 0.2, 5  # a smaller share of known names is reported, of at least so many genes


def gene_report(var: pd.DataFrame, reference: pd.DataFrame | None = None, species: str | None = None) -> dict[str, Any]:
    """Coverage and collisions of a table's genes.

    Parameters
    ----------
    var
        An AnnData's ``var``; not changed.
    reference
        Another ``var``, to match with.
    species
        The species, where it is known; otherwise determined from the names.

    Returns
    -------
    dict
        JSON-safe, every list sorted. ``n_genes``, ``species``, ``species_mix`` (genes of each, where there are
        several), ``n_with_id``; ``n_known``: genes that the tables know, of any species where it is not known;
        ``recognised`` with the number of genes by each `Evidence`; the lists ``ambiguous`` (name → genes), ``mangled``
        (name → symbols), ``duplicated`` (symbol → rows), ``several_rows`` (gene → names), ``disagreements`` (id,
        symbol, the entry of the table for each), ``unknown`` (the first few) and ``n_unknown``; with a reference
        ``matched``.
    """
    names = read_gene_names(var)
    stated, species = bool(species), species or species_of(names)
    labels = np.where(names.symbol == "", names.ensembl, names.symbol)
    report: dict[str, Any] = {
        "n_genes": len(var),
        "species": species,
        "species_mix": species_mix(names) if not species else {},
        "in_capitals": species == "mouse" and not stated and mouse_in_capitals(names),
        "lower_case": bool(names.symbol.any()) and all(name == name.lower() for name in names.symbol.tolist()),
        "n_with_id": int((names.ensembl != "").sum()),
        "recognised": {},
        "ambiguous": {},
        "mangled": {},
        "duplicated": _duplicated(names),
        "several_rows": {},
        "disagreements": [],
        "n_known": 0,
        "n_unknown": 0,
        "unknown": [],
    }
    if not species:
        tables = [resolve(names, load_table(one))[0] >= 0 for one in SPECIES]
        spelled = [bool(name) and is_known(name) for name in names.symbol.tolist()]
        known = tables[0] | tables[1] | np.array(spelled, dtype=bool)
        report["n_known"] = int(known.sum())
        unknown = sorted(set(labels[~known].tolist()))
        report["n_unknown"], report["unknown"] = len(unknown), unknown[:LISTED]
    unsettled = labels
    if species in SPECIES:
        table = load_table(species)
        rows, evidence = resolve(names, table)
        # Some aliases look like dates (Oct-4): a name that the table knows is no date.
        unsettled = labels[~np.isin(evidence, (Evidence.SYMBOL, Evidence.PREVIOUS, Evidence.ALIAS, Evidence.SPELLING))]
    report["mangled"] = mangled_names(sorted(set(unsettled.tolist())))
    if species in SPECIES:
        kinds = (Evidence.ID, Evidence.SYMBOL, Evidence.PREVIOUS, Evidence.ALIAS, Evidence.SPELLING)
        report["recognised"] = {kind.name.lower(): int((evidence == kind).sum()) for kind in kinds}
        report["n_known"] = sum(report["recognised"].values())
        doubtful = sorted(set(names.symbol[evidence == Evidence.AMBIGUOUS].tolist()))
        report["ambiguous"] = {name: table.candidates(name) for name in doubtful[:LISTED]}
        report["n_ambiguous"] = len(doubtful)
        unknown = sorted(set(labels[evidence == Evidence.NONE].tolist()) - report["mangled"].keys())
        report["n_unknown"], report["unknown"] = len(unknown), unknown[:LISTED]
        report["several_rows"] = _several_rows(labels, rows, table)
        report["disagreements"] = _disagreements(names, rows, evidence, table)
    if reference is not None:
        report["matched"] = _matched(var, reference)
    return report


def _duplicated(names: GeneNames) -> dict[str, int]:
    counts = pd.Series(names.symbol[names.symbol != ""]).value_counts()
    return {str(name): int(n) for name, n in counts[counts > 1].sort_index().items()}


def _several_rows(labels: np.ndarray, rows: np.ndarray, table: GeneTable) -> dict[str, list[str]]:
    """Genes that the table's rows name more than once, under different names."""
    known = pd.DataFrame({"row": rows[rows >= 0], "name": labels[rows >= 0]}).drop_duplicates()
    known = known[known["row"].duplicated(keep=False)]
    return {
        str(table.symbol[row] or table.ensembl[row]): sorted(map(str, part))
        for row, part in known.groupby("row")["name"]
    }


def _disagreements(names: GeneNames, rows: np.ndarray, evidence: np.ndarray, table: GeneTable) -> list[dict[str, str]]:
    """Rows whose id is one gene and whose symbol is the approved one of another."""
    found = []
    for row in np.flatnonzero(evidence == Evidence.ID).tolist():
        by_symbol = table.by_symbol.get(str(names.symbol[row]))
        # Several ids may share a symbol, and an id may have no approved one: neither is a disagreement.
        approved = table.symbol[rows[row]]
        if by_symbol is not None and approved and table.symbol[by_symbol] != approved:
            found.append(
                {
                    "id": str(names.ensembl[row]),
                    "symbol": str(names.symbol[row]),
                    "symbol_of_id": str(table.symbol[rows[row]]),
                    "id_of_symbol": str(table.ensembl[by_symbol]),
                }
            )
    return sorted(found, key=lambda one: (one["symbol"], one["id"]))


def _matched(var: pd.DataFrame, reference: pd.DataFrame) -> dict[str, Any]:
    rows = match_genes(var, reference)
    ours, theirs = read_gene_names(var), read_gene_names(reference)
    found = np.flatnonzero(rows >= 0)
    same_id = (ours.ensembl[found] == theirs.ensembl[rows[found]]) & (ours.ensembl[found] != "")
    same_symbol = (ours.symbol[found] == theirs.symbol[rows[found]]) & ~same_id
    table = found[~same_id & ~same_symbol]
    left = var.index.astype(str)[rows < 0]
    return {
        "n_reference": len(reference),
        "species": species_of(theirs),
        "n_matched": len(found),
        "by_id": int(same_id.sum()),
        "by_symbol": int(same_symbol.sum()),
        "by_table": len(table),
        "through_table": {str(var.index[i]): str(reference.index[rows[i]]) for i in table[:LISTED].tolist()},
        "n_unmatched": len(left),
        "unmatched": sorted(left)[:LISTED],
    }


def report_lines(report: dict[str, Any]) -> list[tuple[str, str]]:
    """The report's figures as (title, text), for people."""
    n = report["n_genes"]
    lines = [("genes", f"{n:,}, {report['n_with_id']:,} with an Ensembl id")]
    if mix := report["species_mix"]:
        lines.append(("species", f"several: {_counts(mix)} genes"))
    else:
        lines.append(("species", report["species"] or "cannot be determined from the names"))
    if report["recognised"]:
        how = [f"{count:,} by {kind}" for kind, count in report["recognised"].items() if count]
        lines.append(("recognised", f"{report['n_known']:,} of {n:,} ({', '.join(how) or 'none'})"))
    elif not report["species"]:
        lines.append(("recognised", f"{report['n_known']:,} of {n:,}, as genes of {' or '.join(SPECIES)}"))
    else:
        lines.append(("recognised", f"not looked for: there is no table of {report['species']}"))
    if report["n_unknown"]:
        lines.append(("unknown", f"{report['n_unknown']:,}: {_few(report['unknown'], report['n_unknown'])}"))
    if matched := report.get("matched"):
        how = [f"{matched[f'by_{kind}']:,} by {kind}" for kind in ("id", "symbol", "table") if matched[f"by_{kind}"]]
        lines.append(("in reference", f"{matched['n_matched']:,} of {n:,} ({', '.join(how) or 'none'})"))
        if matched["through_table"]:
            pairs = [f"{ours} = {theirs}" for ours, theirs in matched["through_table"].items()]
            lines.append(("by table", _few(pairs, matched["by_table"])))
        if matched["n_unmatched"]:
            lines.append(
                ("not in it", f"{matched['n_unmatched']:,}: {_few(matched['unmatched'], matched['n_unmatched'])}")
            )
    return lines


def report_warnings(report: dict[str, Any]) -> list[str]:
    """What is wrong with the genes' names, one line each."""
    warnings = panel_warnings(report)
    if report["mangled"]:
        shown = [f"{name} (was {' or '.join(was)}?)" if was else name for name, was in report["mangled"].items()]
        looks = _n(shown, "gene name looks", "gene names look")
        warnings.append(f"{looks} mangled by a spreadsheet: {_few(shown, len(shown))}")
    if report["ambiguous"]:
        shown = [f"{name} ({' or '.join(genes[:3])})" for name, genes in report["ambiguous"].items()]
        n = report["n_ambiguous"]
        warnings.append(f"{n:,} gene name{'s mean' if n > 1 else ' means'} several genes: {_few(shown, n)}")
    if report["duplicated"]:
        shown = [f"{name} ({rows})" for name, rows in report["duplicated"].items()]
        warnings.append(
            f"{_n(shown, 'symbol is that', 'symbols are those')} of several rows: {_few(shown, len(shown))}"
        )
    if report["several_rows"]:
        shown = [f"{gene} ({', '.join(names)})" for gene, names in report["several_rows"].items()]
        warnings.append(f"{_n(shown, 'gene comes', 'genes come')} under several names: {_few(shown, len(shown))}")
    if report["disagreements"]:
        shown = [f"{d['id']} is {d['symbol_of_id']}, not {d['symbol']}" for d in report["disagreements"]]
        pairs = _n(shown, "id and its symbol disagree", "ids and their symbols disagree")
        warnings.append(f"{pairs} (the id decides): {_few(shown, len(shown))}")
    return warnings


def panel_warnings(report: dict[str, Any]) -> list[str]:
    """What is wrong with the panel as a whole, one line each: names that are unknown, several species."""
    warnings, n = [], report["n_genes"]
    if mix := report["species_mix"]:
        names = list(mix)
        warnings.append(
            f"the panel is of several species ({_counts(mix)} genes), and FOCUS uses genes of one: state which with "
            f"focus preprocess --species {' or '.join(names[:2])}, and give a reference of the same"
        )
    if report["in_capitals"]:
        warnings.append("symbols are in capitals and fit the mouse better than the human: taken for mouse genes")
    unknown = n - report["n_known"]
    if report["species"] in ("", *SPECIES) and n >= _ENOUGH and report["n_known"] < _FEW_KNOWN * n:
        few = f"only {report['n_known']:,}" if report["n_known"] else "none"
        warnings.append(
            f"{few} of {n:,} gene names are known (unknown: "
            f"{_few(report['unknown'], unknown, 3)}): genes are matched by exactly equal names only; put symbols or "
            "Ensembl ids of human or mouse into var_names, gene_symbols or gene_ids"
        )
    elif not report["species"] and not report["species_mix"] and report["lower_case"] and n >= _ENOUGH:
        warnings.append("symbols are in small letters, which identify no species: human writes TP53, mouse Trp53")
    return warnings


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _n(shown: list[str], one: str, many: str) -> str:
    return f"{len(shown):,} {one if len(shown) == 1 else many}"


def _few(names: list[str], n: int, shown: int = 5) -> str:
    return ", ".join(names[:shown]) + (", …" if n > shown else "")

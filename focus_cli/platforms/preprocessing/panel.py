"""The genes of a sample before it is stored: what is unknown of them is stated, one species of several is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from focus_cli.genes import SPECIES, gene_report, load_table, panel_warnings, read_gene_names, species_mix

if TYPE_CHECKING:
    from anndata import AnnData


def one_species(adata: AnnData, species: str) -> tuple[AnnData, list[str]]:
    """Keep the genes of the stated species where a panel is of several.

    Parameters
    ----------
    adata
        Locations × genes.
    species
        In the user's words; "" if not stated.

    Returns
    -------
    adata
        A copy without the genes of other species, or `adata` itself.
    warnings
        What was left out, and what is wrong with the panel as a whole: see `focus_cli.genes.panel_warnings`.
    """
    names, stated = read_gene_names(adata.var), species.strip().lower()
    mix = species_mix(names)
    if stated in mix:
        kept = names.species == stated
        if not (names.species != "").any():  # symbols alone identify the species
            known = load_table(stated).known_names
            kept = np.array([name in known for name in names.symbol.tolist()], dtype=bool)
        others = ", ".join(other for other in mix if other != stated)
        n = int((~kept).sum())
        line = f"the panel is of several species: {n:,} of {adata.n_vars:,} genes ({others}) were left out"
        return adata[:, kept].copy(), [line]
    report = gene_report(adata.var)
    warnings = panel_warnings(report)
    if stated in SPECIES and report["species"] not in ("", stated):
        warnings.append(f"--species {stated} is stated, and the genes are of {report['species']}")
    return adata, warnings

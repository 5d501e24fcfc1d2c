"""Which gene is which: Ensembl ids, symbols of today and of yesterday, two species. Names are read, never changed."""

from focus_cli.genes.forms import unique_names
from focus_cli.genes.identity import (
    Evidence,
    GeneNames,
    gene_table,
    read_gene_names,
    resolve,
    share_of_genes,
    species_mix,
    species_of,
)
from focus_cli.genes.matching import common_names, match_genes
from focus_cli.genes.orthologues import require_one_species, to_species
from focus_cli.genes.report import gene_report, panel_warnings, report_lines, report_warnings
from focus_cli.genes.table import SPECIES, GeneTable, gene_table_inputs, load_table, use_gene_table

__all__ = [
    "SPECIES",
    "Evidence",
    "GeneNames",
    "GeneTable",
    "common_names",
    "gene_report",
    "gene_table",
    "gene_table_inputs",
    "load_table",
    "match_genes",
    "panel_warnings",
    "read_gene_names",
    "report_lines",
    "report_warnings",
    "require_one_species",
    "resolve",
    "share_of_genes",
    "species_mix",
    "species_of",
    "to_species",
    "unique_names",
    "use_gene_table",
]

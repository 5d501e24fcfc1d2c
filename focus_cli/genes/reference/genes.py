"""Gene names of a reference; the rules are those of `focus_cli.genes`, which every stage shares."""

from focus_cli.genes import GeneNames, gene_table, match_genes, read_gene_names

__all__ = ["GeneNames", "gene_table", "match_genes", "read_gene_names"]

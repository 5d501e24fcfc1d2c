"""The scRNA-seq reference: gene names, cells, cell states."""

from focus_cli.genes.reference.build import Reference, build_reference, is_reference, open_reference
from focus_cli.genes.reference.cells import require_h5ad
from focus_cli.genes.reference.genes import GeneNames, match_genes, read_gene_names

__all__ = [
    "GeneNames",
    "Reference",
    "build_reference",
    "is_reference",
    "match_genes",
    "open_reference",
    "read_gene_names",
    "require_h5ad",
]

from .build import Reference as Reference
from .build import build_reference as build_reference
from .build import is_reference as is_reference
from .build import open_reference as open_reference
from .build import reference_for as reference_for
from .cells import require_h5ad as require_h5ad
from .genes import GeneNames as GeneNames
from .genes import match_genes as match_genes
from .genes import read_gene_names as read_gene_names
from .prototypes import log_normalise as log_normalise

__all__ = [
    "GeneNames",
    "Reference",
    "build_reference",
    "is_reference",
    "log_normalise",
    "match_genes",
    "open_reference",
    "read_gene_names",
    "reference_for",
    "require_h5ad",
]

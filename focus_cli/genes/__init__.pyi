from .files import read_gene_list as read_gene_list
from .files import read_text as read_text
from .files import read_var as read_var
from .forms import unique_names as unique_names
from .identity import Evidence as Evidence
from .identity import GeneNames as GeneNames
from .identity import gene_table as gene_table
from .identity import read_gene_names as read_gene_names
from .identity import resolve as resolve
from .identity import share_of_genes as share_of_genes
from .identity import species_mix as species_mix
from .identity import species_of as species_of
from .matching import common_names as common_names
from .matching import match_genes as match_genes
from .orthologues import require_one_species as require_one_species
from .orthologues import species_pair as species_pair
from .orthologues import to_species as to_species
from .orthologues import to_species_of as to_species_of
from .orthologues import use_orthologues as use_orthologues
from .report import gene_report as gene_report
from .report import panel_warnings as panel_warnings
from .report import report_lines as report_lines
from .report import report_warnings as report_warnings
from .table import SPECIES as SPECIES
from .table import GeneTable as GeneTable
from .table import gene_table_inputs as gene_table_inputs
from .table import load_table as load_table
from .table import use_gene_table as use_gene_table

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
    "read_gene_list",
    "read_gene_names",
    "read_text",
    "read_var",
    "report_lines",
    "report_warnings",
    "require_one_species",
    "resolve",
    "share_of_genes",
    "species_mix",
    "species_of",
    "species_pair",
    "to_species",
    "to_species_of",
    "unique_names",
    "use_gene_table",
    "use_orthologues",
]

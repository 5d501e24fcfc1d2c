from .locate import find_profile as find_profile
from .locate import shipped_config as shipped_config
from .new_study import write_study as write_study
from .schemas import write_schemas as write_schemas
from .scores import gather_scores as gather_scores
from .scores import summarise as summarise
from .scores import write_scored_genes as write_scored_genes
from .starting import check_run as check_run
from .starting import start_run as start_run
from .starting import with_samples as with_samples

__all__ = [
    "check_run",
    "find_profile",
    "gather_scores",
    "shipped_config",
    "start_run",
    "summarise",
    "with_samples",
    "write_schemas",
    "write_scored_genes",
    "write_study",
]

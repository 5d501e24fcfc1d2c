"""The spatial co-expression prior: which genes move together over tissue, and the field that carries them."""

from focus_cli.model.priors.coexpression import SpatialPrior, fit_prior
from focus_cli.model.priors.field import Pooling, build_pooling
from focus_cli.model.priors.section import PriorSection
from focus_cli.model.priors.statistics import PanelStatistics, panel_statistics
from focus_cli.model.priors.store import read_prior, write_prior

__all__ = [
    "PanelStatistics",
    "Pooling",
    "PriorSection",
    "SpatialPrior",
    "build_pooling",
    "fit_prior",
    "panel_statistics",
    "read_prior",
    "write_prior",
]

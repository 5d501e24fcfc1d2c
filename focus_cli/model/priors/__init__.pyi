from .build import build_prior as build_prior
from .coexpression import fit_prior as fit_prior
from .covariance import Covariance as Covariance
from .covariance import shrinkage as shrinkage
from .covariance import top_eigenvectors as top_eigenvectors
from .field import Pooling as Pooling
from .field import build_pooling as build_pooling
from .section import PriorSection as PriorSection
from .spatial_prior import SpatialPrior as SpatialPrior
from .statistics import REFERENCE_EXPOSURE as REFERENCE_EXPOSURE
from .statistics import PanelStatistics as PanelStatistics
from .statistics import panel_statistics as panel_statistics
from .statistics import residual_scale as residual_scale
from .store import read_prior as read_prior
from .store import write_prior as write_prior
from .transfer import MIN_SHARED_GENES as MIN_SHARED_GENES
from .transfer import adopt_names as adopt_names
from .transfer import extend_prior as extend_prior
from .transfer import reference_states as reference_states
from .transfer import transfer_error as transfer_error
from .transfer import transfer_loadings as transfer_loadings
from .transfer import vectors_by_cell as vectors_by_cell

__all__ = [
    "MIN_SHARED_GENES",
    "REFERENCE_EXPOSURE",
    "Covariance",
    "PanelStatistics",
    "Pooling",
    "PriorSection",
    "SpatialPrior",
    "adopt_names",
    "build_pooling",
    "build_prior",
    "extend_prior",
    "fit_prior",
    "panel_statistics",
    "read_prior",
    "reference_states",
    "residual_scale",
    "shrinkage",
    "top_eigenvectors",
    "transfer_error",
    "transfer_loadings",
    "vectors_by_cell",
    "write_prior",
]

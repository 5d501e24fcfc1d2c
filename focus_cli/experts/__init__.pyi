from .factors import PrincipalComponents as PrincipalComponents
from .image import ImageRidge as ImageRidge
from .image import ImageRidgeResiduals as ImageRidgeResiduals
from .inputs import NotRunnable as NotRunnable
from .inputs import Points as Points
from .inputs import Shares as Shares
from .inputs import Visible as Visible
from .local import NEIGHBOURS as NEIGHBOURS
from .local import GeneMean as GeneMean
from .local import InverseDistance as InverseDistance
from .local import OwnCounts as OwnCounts
from .local import interpolation_weights as interpolation_weights
from .mixture import weights_by_group as weights_by_group

__all__ = [
    "NEIGHBOURS",
    "GeneMean",
    "ImageRidge",
    "ImageRidgeResiduals",
    "InverseDistance",
    "NotRunnable",
    "OwnCounts",
    "Points",
    "PrincipalComponents",
    "Shares",
    "Visible",
    "interpolation_weights",
    "weights_by_group",
]

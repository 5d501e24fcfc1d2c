from .factors import PrincipalComponents as PrincipalComponents
from .image import ImageRidge as ImageRidge
from .image import ImageRidgeResiduals as ImageRidgeResiduals
from .inputs import NotApplicable as NotApplicable
from .inputs import Points as Points
from .inputs import Shares as Shares
from .inputs import Visible as Visible
from .local import GeneMean as GeneMean
from .local import InverseDistance as InverseDistance
from .local import Nearest as Nearest
from .local import Neighbours as Neighbours
from .local import OwnCounts as OwnCounts
from .mixture import weights_by_group as weights_by_group

__all__ = [
    "GeneMean",
    "ImageRidge",
    "ImageRidgeResiduals",
    "InverseDistance",
    "Nearest",
    "Neighbours",
    "NotApplicable",
    "OwnCounts",
    "Points",
    "PrincipalComponents",
    "Shares",
    "Visible",
    "weights_by_group",
]

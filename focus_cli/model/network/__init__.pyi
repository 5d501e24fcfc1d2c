from .config import PRESETS as PRESETS
from .config import ModelConfig as ModelConfig
from .flow import DEFAULT_STEPS as DEFAULT_STEPS
from .flow import integrate as integrate
from .image_maps import ImageMaps as ImageMaps
from .image_maps import LinearMap as LinearMap
from .likelihood import share_link as share_link
from .likelihood import share_link_and_slope as share_link_and_slope
from .network import EXPOSURE_UNIT as EXPOSURE_UNIT
from .network import Condition as Condition
from .network import FocusNet as FocusNet
from .network import Nodes as Nodes
from .network import Query as Query
from .network import every as every

__all__ = [
    "DEFAULT_STEPS",
    "EXPOSURE_UNIT",
    "PRESETS",
    "Condition",
    "FocusNet",
    "ImageMaps",
    "LinearMap",
    "ModelConfig",
    "Nodes",
    "Query",
    "every",
    "integrate",
    "share_link",
    "share_link_and_slope",
]

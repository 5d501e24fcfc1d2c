from .pack import pack_model as pack_model
from .shipped import NANO as NANO
from .shipped import shipped_model as shipped_model

__all__ = [
    "NANO",
    "pack_model",
    "shipped_model",
]

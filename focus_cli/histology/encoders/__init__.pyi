from .presets import PRESETS as PRESETS
from .registry import is_shipped_name as is_shipped_name
from .registry import list_encoders as list_encoders
from .registry import open_encoder as open_encoder

__all__ = [
    "PRESETS",
    "is_shipped_name",
    "list_encoders",
    "open_encoder",
]

from .encoder import Encoder as Encoder
from .encoder import EncoderInfo as EncoderInfo

__all__ = ["Encoder", "EncoderInfo"]

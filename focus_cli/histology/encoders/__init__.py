"""Tile encoders behind one small interface: tiles in, features out."""

from focus_cli.histology.encoders.info import Encoder, EncoderInfo
from focus_cli.histology.encoders.registry import is_shipped_name, list_encoders, open_encoder

__all__ = ["Encoder", "EncoderInfo", "is_shipped_name", "list_encoders", "open_encoder"]

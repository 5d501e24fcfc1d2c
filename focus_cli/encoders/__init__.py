"""Tile encoders behind one small interface: tiles in, features out."""

from focus_cli.encoders.info import Encoder, EncoderInfo
from focus_cli.encoders.registry import list_encoders, open_encoder

__all__ = ["Encoder", "EncoderInfo", "list_encoders", "open_encoder"]

"""Slides read by physical scale and cut into tiles; tissue, stain, and whether a picture is an H&E at all."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Slides read by physical scale and cut into tiles; tissue, stain, and whether an image is an H&E."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

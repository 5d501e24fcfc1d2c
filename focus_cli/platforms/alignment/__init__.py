"""Positions of locations on the image: extents, orientation, shifts, and registration of a separate H&E image."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

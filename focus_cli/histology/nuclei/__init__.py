"""Nuclei of a slide: where cells are, for queries at the scale of cells."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Simple methods, each on the share of a location's counts: what inference combines, and what scores compare with."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

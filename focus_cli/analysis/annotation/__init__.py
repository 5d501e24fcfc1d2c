"""Annotations from a handful of labelled locations: a small calibrated head on frozen representations."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

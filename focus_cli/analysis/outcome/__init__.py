"""Outcomes of patients from their slides: attention pooling, judged by nested cross-validation over donors."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

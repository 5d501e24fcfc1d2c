"""Spatial domains: which pieces of tissue are alike, over all samples of a cohort."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""An enhanced file and its analysis results as one thing for other programs: AnnData, SpatialData, Vitessce."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

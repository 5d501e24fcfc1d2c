"""Hold-outs, metrics and baselines: the protocol of every score, as code."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

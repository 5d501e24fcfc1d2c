"""The benchmark: hold-outs of sections, methods that predict them, and their scores."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

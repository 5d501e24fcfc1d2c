"""Simple methods that every result is shown beside; see docs/evaluation.md for what each one is."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""The spatial co-expression prior: which genes move together over tissue, and the field that carries them."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

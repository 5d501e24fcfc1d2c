"""Hide part of a sample: what the method may see goes to one place, the truth to another."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

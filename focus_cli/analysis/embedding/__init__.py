"""What a location, its neighbourhood and a whole section are, as vectors of one space per model."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Raw vendor folders → one sample in memory; one file per platform."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

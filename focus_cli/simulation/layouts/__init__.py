"""One writer for each platform: the files, names and formats of its vendor."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

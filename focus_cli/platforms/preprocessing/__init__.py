"""From a raw vendor folder to a stored sample, checked against its image."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

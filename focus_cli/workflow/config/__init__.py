"""One model of a whole run: its configuration and the sheet of its samples."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""What a run needs of the machine, checked before hours are spent: one file for each kind of check."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

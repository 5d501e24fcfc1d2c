"""Which gene is which: Ensembl ids, symbols of today and of yesterday, two species. Names are read, never changed."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

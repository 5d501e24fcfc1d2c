"""Why an estimate is what it is: what came from the image, the reference, own counts, and those of neighbours."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

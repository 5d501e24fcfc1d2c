"""From a stored sample to the network's conditions: image features, neighbours' statistics, cell states."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

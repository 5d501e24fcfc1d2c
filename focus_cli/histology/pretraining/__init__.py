"""Self-supervised pretraining of a vision transformer on tiles of slides: self-distillation with masked images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

"""Ligands and receptors that are expressed side by side more than their own patterns explain."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

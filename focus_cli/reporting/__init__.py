"""HTML reports, figures, and what a file is: ``write_report``, ``write_overview`` and ``explain``."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

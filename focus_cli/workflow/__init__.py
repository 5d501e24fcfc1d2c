"""Plan, configuration and start of a run: the parts that the Snakefile and ``focus run`` add to Snakemake."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

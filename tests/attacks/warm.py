"""Imported once by the process that others are forked from: all that any verb imports, and what it loads of its own.

No verb is run here, as it would start threads: a process forked from one with threads can wait for ever.
"""

from __future__ import annotations

import importlib
import pkgutil

import focus_cli

_OTHERS = (
    "PIL.Image", "h5py", "imagecodecs", "jinja2", "matplotlib.pyplot", "pyarrow.parquet", "running", "scipy.stats",
    "skimage.measure", "sklearn.cluster", "sklearn.decomposition", "sklearn.linear_model", "sklearn.mixture",
    "sklearn.neighbors", "tifffile", "torch._dynamo", "zarr",
)  # fmt: skip

for _name in _OTHERS:
    importlib.import_module(_name)
for _module in pkgutil.walk_packages(focus_cli.__path__, "focus_cli."):
    if not _module.name.endswith("__main__"):
        importlib.import_module(_module.name)
importlib.import_module("PIL.Image").init()

from focus_cli.analysis.annotation import fitting as _annotation  # noqa: E402
from focus_cli.analysis.celltypes import estimate as _celltypes  # noqa: E402
from focus_cli.genes.table import SPECIES, load_table  # noqa: E402

for _species in SPECIES:
    _table = load_table(_species)
    for _part in ("by_id", "by_symbol", "by_previous", "by_alias", "by_spelling", "known_names"):
        getattr(_table, _part)

# What is attacked is the reading; learning would be most of the time.
_annotation.STRENGTHS = _annotation.STRENGTHS[:2]
_learn = _celltypes.learn


def _learn_little(features, truth, seed, steps, advance):
    return _learn(features, truth, seed, min(steps, 20), advance)


_celltypes.learn = _learn_little

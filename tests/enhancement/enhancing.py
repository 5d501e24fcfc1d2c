"""How the tests of this room run the stage, and how they look at what it wrote."""

from __future__ import annotations

import anndata
import h5py
import numpy as np

from focus_cli.enhancement import enhance
from focus_cli.enhancement.stage import EnhanceOptions

DENSE = ("mean_counts", "std", "q05", "q95")


def run(cohort, out, *, sample=None, reference=True, **options):
    """Enhance with the cohort's model; return what was written."""
    enhance(
        sample or cohort.sample,
        out,
        model=cohort.model,
        reference=cohort.reference if reference else None,
        options=EnhanceOptions(**options),
    )
    return anndata.read_h5ad(out)


def arrays(path) -> dict[str, bytes]:
    """Bytes of every dataset of a file."""
    found = {}

    def visit(name, item):
        if isinstance(item, h5py.Dataset):
            found[name] = np.asarray(item).tobytes() if item.dtype.kind != "O" else str(item[()]).encode()

    with h5py.File(path) as file:
        file.visititems(visit)
    return found

"""The part of an AnnData that a reader needs, wherever it is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.core import keys


@dataclass(frozen=True)
class Matrix:
    """One matrix of the file: where it lies, its features, and how to read it, or its first rows, as CSR."""

    where: str
    var: pd.DataFrame
    load: Callable[[], sparse.csr_matrix]
    head: Callable[[int], sparse.csr_matrix]

    @property
    def is_counts_layer(self) -> bool:
        """Whether it is ``layers["counts"]``."""
        return self.where.endswith(f" layers[{keys.COUNTS!r}]")


@dataclass(frozen=True)
class AnnTable:
    """The part of an AnnData that a reader needs; `matrices` in the order in which raw counts are looked for."""

    name: str
    obs: pd.DataFrame
    matrices: list[Matrix]
    obsm: dict[str, Any] = field(default_factory=dict)
    uns: dict[str, Any] = field(default_factory=dict)
    transposed: bool = False  # positions are in varm
    within: tuple[str, ...] = ()  # elements with positions within fields of view

    def take(self, rows: np.ndarray) -> AnnTable:
        """The same of some locations, in the order of `rows`."""
        if len(rows) == len(self.obs) and np.array_equal(rows, np.arange(len(rows))):
            return self
        return replace(
            self,
            obs=self.obs.iloc[rows],
            matrices=[replace(m, load=lambda load=m.load: take_rows(load(), rows)) for m in self.matrices],
            obsm={
                k: v.iloc[rows] if isinstance(v, pd.DataFrame) else np.asarray(v)[rows] for k, v in self.obsm.items()
            },
        )


def take_rows(matrix: sparse.csr_matrix, rows: np.ndarray) -> sparse.csr_matrix:
    if len(rows) and rows.max() >= matrix.shape[0]:
        return matrix  # it does not fit the table, which is refused
    return matrix[rows]

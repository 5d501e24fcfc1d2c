"""Which cells of the reference gave a gene its vector: a regression over cells is a sum over cells."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from focus_cli.core import keys
from focus_cli.enhancement.inference import Inference
from focus_cli.model.priors import reference_states, vectors_by_cell

VECTOR = "the gene's vector"
SAMPLE_FACTORS = f"{VECTOR}, on sample-specific factors"
CORRECTION = f"{VECTOR}, as the network corrects it"
ALIKE = 0.99  # cosine with the vector in use, above which the given reference is the one that it came from


class VectorCells:
    """Splits what a gene's vector does by the cell types of the reference that it was computed from."""

    def __init__(self, run: Inference, n_factors: int) -> None:
        self.run, self.n_factors = run, n_factors

    @cached_property
    def _by_cell(self) -> tuple[np.ndarray, dict[int, np.ndarray]]:
        run = self.run
        return vectors_by_cell(run.prior, reference_states(run.reference, run.prior.var), run.genes.prior_rows)

    @cached_property
    def _types(self) -> np.ndarray:
        return self.run.reference.cells.obs[keys.CELL_TYPE].astype(str).to_numpy()

    def split(self, gene: int, contribution: np.ndarray) -> dict[str, float]:
        """Parts of what a vector does.

        Parameters
        ----------
        gene
            Column of the estimate.
        contribution
            K + L: what each entry of the vector does; zero for a gene whose vector no reference gave.

        Returns
        -------
        Names and contributions; by cell type where the vector can be computed again from the given reference.
        """
        network, own = contribution[: self.n_factors], float(contribution[self.n_factors :].sum())
        found = {SAMPLE_FACTORS: own} if len(contribution) > self.n_factors else {}
        by_type = self._of_types(gene) if self.run.reference is not None and np.abs(network).sum() > 0 else None
        if by_type is None:
            return {VECTOR: float(network.sum())} | found
        loading = self.run.decoder.loadings[gene, : self.n_factors].numpy().astype(np.float64)
        per_unit = np.divide(network, loading, out=np.zeros_like(network), where=np.abs(loading) > 1e-9)
        parts = {f"{VECTOR}: {name}": float(per_unit @ part) for name, part in by_type.items()}
        return parts | {CORRECTION: float(network.sum() - sum(parts.values()))} | found

    def _of_types(self, gene: int) -> dict[str, np.ndarray] | None:
        """Cell type → its part of the gene's vector, K; None where another reference gave it."""
        row = int(self.run.genes.prior_rows[gene])
        cells, parts = self._by_cell
        if row not in parts:
            return None
        again, vector = parts[row].sum(axis=0), self.run.prior.loadings[row].astype(np.float64)
        size = np.linalg.norm(again) * np.linalg.norm(vector)
        if size == 0 or again @ vector < ALIKE * size:
            return None
        scale = (again @ vector) / (again @ again)
        types = self._types[cells]
        return {name: scale * parts[row][types == name].sum(axis=0) for name in np.unique(types)}

"""Gene programs: what each cell type expresses, and how its states bend that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from focus_cli.simulation.streams import stream
from focus_cli.simulation.tissue import CELL_TYPES, STATES, Cells

# Counts per cell and gene of an average cell, at an efficiency of one.
MEAN_MOLECULES = 6.0
# RNA content beside the average cell, as CELL_TYPES.
RNA_CONTENT = (1.5, 1.1, 0.5, 0.45, 0.5, 0.55, 1.0, 0.4)

_SHARES = {"marker": 0.45, "activity": 0.09, "niche": 0.08, "axis": 0.08}  # the rest: housekeeping genes
# The type that shares a quarter of another's markers, as CELL_TYPES.
_KIN = (1, 0, 3, 2, 5, 4, 4, 2)
# Which types a state acts on, as STATES.
_RESPONDERS = ((0, 1, 6), (2, 3, 4, 6), tuple(range(len(CELL_TYPES))))


@dataclass(frozen=True)
class Programs:
    """The genes of a study and how cells express them; the same for every section.

    Attributes
    ----------
    symbols, gene_ids
        str (genes,). Made up: they name no real gene.
    program
        str (genes,): ``marker: T cell``, ``state: niche`` or ``housekeeping``.
    measured
        bool (genes,): on the panel of the spatial platform. The reference holds every gene.
    log_profile
        float32 (types, genes): natural log of a cell's counts with its states at 0.
    slopes
        float32 (states, types, genes): what one unit of a state adds to that.
    """

    symbols: np.ndarray
    gene_ids: np.ndarray
    program: np.ndarray
    measured: np.ndarray
    log_profile: np.ndarray
    slopes: np.ndarray

    @property
    def n_genes(self) -> int:
        """Number of genes, on the panel or not."""
        return len(self.symbols)

    def rates(self, kind: np.ndarray, states: np.ndarray, amount: np.ndarray) -> np.ndarray:
        """Counts per cell and gene at an efficiency of one.

        Parameters
        ----------
        kind, states, amount
            As in `Cells`.

        Returns
        -------
        float32 (cells, genes)
        """
        log_rate = self.log_profile[kind]
        for k in range(len(STATES)):
            log_rate += states[:, k, None] * self.slopes[k][kind]
        np.exp(log_rate, out=log_rate)
        log_rate *= amount[:, None]
        return log_rate

    def rates_of(self, cells: Cells, which: np.ndarray | slice) -> np.ndarray:
        """`rates` of some cells of a section."""
        return self.rates(cells.kind[which], cells.states[which], cells.amount[which])


def make_programs(seed: int, n_panel: int) -> Programs:
    """Draw the gene programs of a study.

    Parameters
    ----------
    seed
        Seed of the study.
    n_panel
        Genes on the spatial platform's panel. A third as many again are in the reference alone, so that a
        quarter of all genes is outside the panel, in every program alike.
    """
    rng = stream(seed, "programs")
    n = n_panel + round(n_panel / 3)
    n_types = len(CELL_TYPES)
    program = _assign(rng, n)
    measured = _choose_panel(rng, program, n_panel)

    is_marker = np.char.startswith(program, "marker")
    base = rng.normal(0.0, 0.9, n) - 1.6 * is_marker
    log_profile = base + rng.normal(0.0, 0.15, (n_types, n))
    slopes = np.zeros((len(STATES), n_types, n))
    for t, name in enumerate(CELL_TYPES):
        own = np.flatnonzero(program == f"marker: {name}")
        fold = rng.uniform(1.8, 3.6, len(own))
        log_profile[t, own] += fold
        shared = rng.random(len(own)) < 0.25
        log_profile[_KIN[t], own[shared]] += 0.6 * fold[shared]
        # Some markers vary within their type, as real ones do.
        varying = own[rng.random(len(own)) < 0.3]
        slopes[rng.integers(len(STATES), size=len(varying)), t, varying] = rng.normal(0, 0.4, len(varying))
    for k, state in enumerate(STATES):
        own = np.flatnonzero(program == f"state: {state}")
        sign = np.where(rng.random(len(own)) < 0.7, 1, -1)
        strength = sign * rng.uniform(0.5, 1.0, len(own))
        slopes[k][np.ix_(np.array(_RESPONDERS[k]), own)] = strength
    content = MEAN_MOLECULES * n * np.array(RNA_CONTENT)
    log_profile += np.log(content / np.exp(log_profile).sum(axis=1))[:, None]

    number = np.arange(1, n + 1)
    return Programs(
        symbols=np.array([f"G{i:04d}" for i in number]),
        gene_ids=np.array([f"ENSG{i:011d}" for i in number]),
        program=program,
        measured=measured,
        log_profile=log_profile.astype(np.float32),
        slopes=slopes.astype(np.float32),
    )


def donor_programs(programs: Programs, seed: int, section: int) -> Programs:
    """The programs of one section's donor: every gene a little up or down, in all cells alike."""
    shift = stream(seed, "donor", section).normal(0.0, 0.1, programs.n_genes)
    fields = {name: getattr(programs, name) for name in Programs.__dataclass_fields__}
    fields["log_profile"] = (programs.log_profile + shift).astype(np.float32)
    return Programs(**fields)


def _assign(rng: np.random.Generator, n: int) -> np.ndarray:
    names: list[str] = []
    for share, value in _SHARES.items():
        many = round(value * n)
        if share == "marker":
            names += [f"marker: {CELL_TYPES[i % len(CELL_TYPES)]}" for i in range(many)]
        else:
            names += [f"state: {share}"] * many
    names += ["housekeeping"] * (n - len(names))
    return rng.permutation(np.array(names))


def _choose_panel(rng: np.random.Generator, program: np.ndarray, n_panel: int) -> np.ndarray:
    """Keep about three quarters of every program, `n_panel` genes in all."""
    order = rng.permutation(len(program))
    # The rank within a program, as a share of it, spreads the choice evenly over programs.
    rank = np.empty(len(program))
    for name in np.unique(program):
        own = order[program[order] == name]
        rank[own] = (np.arange(len(own)) + 0.5) / len(own)
    measured = np.zeros(len(program), dtype=bool)
    measured[np.argsort(rank, kind="stable")[:n_panel]] = True
    return measured

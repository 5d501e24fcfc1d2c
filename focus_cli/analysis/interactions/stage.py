"""The stage behind ``focus interactions``: an enhanced file and a table → pairs that are found side by side."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import sparse

from focus_cli.analysis.interactions.colocalisation import counted_together, explained_together, neighbourhood
from focus_cli.analysis.interactions.pairs import columns_of, read_pairs
from focus_cli.analysis.significance.distances import distance_classes, pairs_within, spacing
from focus_cli.analysis.significance.pvalues import q_values
from focus_cli.analysis.significance.section_test import SectionTest, SectionTestOptions, open_section_test
from focus_cli.analysis.significance.states import combined
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.progress import print_message
from focus_cli.core.statistics import FDR

KIND = "interactions"
REACH_UM = 50.0  # where locations lie closer than that; else direct neighbours
NO_SIGNAL = "A pair found side by side has not been shown to signal: tissue structure alone brings genes together."
MAX_REACH = 12.0  # spacings: beyond it a graph of all pairs is no longer small


@dataclass(frozen=True)
class InteractionOptions(SectionTestOptions):
    """How pairs are tested; see ``focus interactions --help``."""

    reach_um: float | None = None
    maps: int = 50


def find_interactions(
    enhanced: Path,
    out: Path,
    *,
    pairs: Path,
    sample: Path | None = None,
    model: Path | None = None,
    reference: Path | None = None,
    options: InteractionOptions | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Test pairs of a ligand and a receptor.

    Parameters
    ----------
    enhanced
        A file of ``focus enhance``.
    out
        The ``.h5ad`` to write, an analysis result of kind ``"interactions"``.
    pairs
        See `read_pairs`.
    sample, model, reference
        What `enhanced` was made of. With sample and model, pairs are also tested on the part that the state of the
        tissue, inferred without either gene, explains.

    Returns
    -------
    The table of pairs.

    Raises
    ------
    FocusError
        Of the kind that fits. Nothing is written then.
    """
    options = options or InteractionOptions()
    made_of = {"sample": sample, "model": model, "reference": reference}
    with open_section_test(
        KIND, enhanced, out, **made_of, others={"pairs": pairs}, options=options, overwrite=overwrite
    ) as section:
        table = read_pairs(pairs)
        ligands, receptors = columns_of(table, pd.Index(section.genes))
        there = np.array([(a >= 0).all() and (b >= 0).all() for a, b in zip(ligands, receptors, strict=True)])
        if not there.any():
            raise BadInputError(
                f"none of the {len(table):,} pairs of {pairs} is in {enhanced} "
                f"(pairs: {table['ligand'].iloc[0]}, …; file: {section.genes[0]}, …)",
                hint="take a table of the same species and kind of gene names",
            )
        kept = np.flatnonzero(there)
        table, ligands, receptors = table.iloc[kept], [ligands[i] for i in kept], [receptors[i] for i in kept]
        tests = _Tests(section, options)
        var = tests.table(table, ligands, receptors)
        section.write(
            {
                "reach_um": round(float(tests.reach_um), 3),
                "n_tested": int(var["p"].notna().sum()),
                "n_not_in_file": int((~there).sum()),
                "n_not_measured": int((~var["measured"]).sum()),
                "n_one_gene": int(var["one_gene"].sum()),
                "n_too_few_counts": int((var["measured"] & ~var["one_gene"] & var["p"].isna()).sum()),
                "scale_of_X": "√(ligand × receptor), per 10,000 counts within reach; only of pairs with q < 0.05",
            },
            warnings=(NO_SIGNAL,),
            var=var,
            x=tests.maps(var, ligands, receptors, len(section.file.obs)),
        )
    found = int((var["q"] < FDR).sum())
    print_message(
        f"interactions: {found:,} of {int(var['p'].notna().sum()):,} pairs at a false discovery rate of 5 % → {out}"
    )
    return var


def _reach(xy_um: np.ndarray, options: InteractionOptions) -> tuple[float, float]:
    """Range of a ligand and distance of neighbours, µm."""
    size = spacing(xy_um)
    reach = options.reach_um or max(REACH_UM, size)
    if reach > MAX_REACH * size:
        raise UsageError(
            f"--reach-um {reach:g} spans {reach / size:.0f} locations in each direction",
            hint=f"up to {MAX_REACH * size:g}, or coarser bins",
        )
    return reach, size


class _Tests:
    """The tests of one section."""

    def __init__(self, section: SectionTest, options: InteractionOptions) -> None:
        self.observed, self.options = section.observed, options
        self.reach_um, size_um = _reach(self.observed.xy_um, options)
        self.hidden = section.hidden
        self.around = neighbourhood(pairs_within(self.observed.xy_um, self.reach_um))
        self.classes = distance_classes(self.observed.xy_um, section.locations, size_um, options.seed)

    def table(self, pairs: pd.DataFrame, ligands: list[np.ndarray], receptors: list[np.ndarray]) -> pd.DataFrame:
        """One row for each pair; p is NaN where a subunit has too few observed."""
        totals, n = self.observed.gene_totals, len(pairs)
        fewest = np.array(
            [min(totals[a].min(), totals[b].min()) for a, b in zip(ligands, receptors, strict=True)], np.int64
        )
        # A gene agrees with itself whatever the tissue: pairs of a gene and itself are no question to this test.
        same = np.array([bool(np.intersect1d(a, b).size) for a, b in zip(ligands, receptors, strict=True)])
        tested = np.flatnonzero((fewest >= self.options.min_counts) & ~same)
        # Every pair of subunits is tested; the weakest represents the pair.
        parts = [(i, a, b) for i in tested for a in ligands[i] for b in receptors[i]]
        owner, left, right = (
            (np.array(column, np.int64) for column in zip(*parts, strict=True))
            if parts
            else [np.zeros(0, np.int64)] * 3
        )
        known = sorted(set(map(tuple, np.column_stack([left, right]).tolist())))
        place = {pair: row for row, pair in enumerate(known)}
        row = np.array([place[pair] for pair in zip(left.tolist(), right.tolist(), strict=True)], np.int64)
        first, second = np.array(known, np.int64).reshape(-1, 2).T
        found = {"counts": counted_together(self.observed, first, second, self.around, self.classes)} if known else {}
        if self.hidden is not None and known:
            found["estimates"] = explained_together(
                self.observed, first, second, self.around, self.classes, self.hidden
            )
        columns = {}
        for name in ("counts", "estimates"):
            r, p = np.full(n, np.nan), np.full(n, np.nan)
            if name in found:
                r[tested], p[tested] = _weakest(owner, found[name].r[row], found[name].p[row], tested)
            columns[name] = (r, p)
        counts, estimates = columns["counts"], columns["estimates"]
        p = combined(counts[1], estimates[1], self.hidden)
        var = pd.DataFrame(
            {"p": p, "q": q_values(p), "statistic": counts[0], "p_counts": counts[1], "q_counts": q_values(counts[1])},
            index=pairs.index,
        )
        if self.hidden is not None:
            var["statistic_estimates"], var["p_estimates"] = estimates
            var["q_estimates"] = q_values(estimates[1])
        var[keys.TOTAL_COUNTS] = fewest
        var["measured"] = fewest > 0
        var["one_gene"] = same
        return pd.concat([var, pairs], axis=1)

    def maps(
        self, var: pd.DataFrame, ligands: list[np.ndarray], receptors: list[np.ndarray], n: int
    ) -> sparse.csr_matrix:
        """Local scores of the clearest pairs, CSR float32 (n, pairs); nothing for the others."""
        q = var["q"].to_numpy()
        clear = np.flatnonzero(q < FDR)
        clear = clear[np.argsort(var["p"].to_numpy()[clear], kind="stable")][: self.options.maps]
        counts, totals = self.observed.counts, self.observed.totals
        depth = self.around @ totals
        columns = []
        for pair in clear:
            sides = []
            for genes in (ligands[pair], receptors[pair]):
                near = np.asarray((self.around @ counts[:, genes]).todense(), np.float64)
                sides.append(keys.TARGET_SUM * near.min(axis=1) / depth)
            score = sparse.csc_matrix(np.sqrt(sides[0] * sides[1])[:, None].astype(np.float32))
            columns.append(
                sparse.csc_matrix(
                    (score.data, self.observed.rows[score.indices], score.indptr), shape=(n, 1), dtype=np.float32
                )
            )
        if not len(clear):
            return sparse.csr_matrix((n, len(var)), dtype=np.float32)
        some = sparse.hstack(columns, format="csc")
        spread = sparse.csr_matrix(
            (np.ones(len(clear), np.float32), (np.arange(len(clear)), clear)), (len(clear), len(var))
        )
        return (some @ spread).tocsr()


def _weakest(owner: np.ndarray, r: np.ndarray, p: np.ndarray, tested: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of the pairs of subunits of each pair the one with the largest p; NaN where one was not tested."""
    worst = np.where(np.isnan(p), np.inf, p)
    order = np.lexsort((worst, owner))
    last = np.searchsorted(owner[order], tested, side="right") - 1
    at = order[last]
    return r[at], p[at]

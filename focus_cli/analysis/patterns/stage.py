"""The stage behind ``focus patterns``: an enhanced file → spatially variable genes and niches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.analysis.patterns.autocorrelation import autocorrelation
from focus_cli.analysis.patterns.niches import Niches, find_niches
from focus_cli.analysis.patterns.state_test import state_test
from focus_cli.analysis.significance.counts import ObservedCounts
from focus_cli.analysis.significance.distances import spacing
from focus_cli.analysis.significance.pvalues import cauchy_combination, q_values
from focus_cli.analysis.significance.section_test import SectionTestOptions, open_section_test
from focus_cli.analysis.significance.states import HiddenGeneStates, combined
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.h5ad.analysis_result import same_locations
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.progress import print_message
from focus_cli.core.statistics import FDR

KIND = "patterns"
NICHE_SPACINGS = 2.5
_LARGEST = 1e15  # squares of it are still numbers in single precision


@dataclass(frozen=True)
class PatternOptions(SectionTestOptions):
    """How genes are tested and niches found; see ``focus patterns --help``."""

    n_niches: int | None = None
    niche_um: float | None = None


def find_patterns(
    enhanced: Path,
    out: Path,
    *,
    sample: Path | None = None,
    model: Path | None = None,
    reference: Path | None = None,
    celltypes: Path | None = None,
    options: PatternOptions | None = None,
    overwrite: bool = False,
) -> pd.DataFrame:
    """Test every measured gene for a spatial pattern, and describe the surroundings of every location.

    Parameters
    ----------
    enhanced
        A file of ``focus enhance``.
    out
        The ``.h5ad`` to write, an analysis result of kind ``"patterns"``.
    sample, model, reference
        What `enhanced` was made of. With sample and model genes are also tested against the state of the tissue,
        inferred without them.
    celltypes
        Analysis result of ``focus celltypes`` for the niches; by default the latent state of `enhanced` is used.

    Returns
    -------
    The table of genes that were tested.

    Raises
    ------
    FocusError
        Of the kind that fits. Nothing is written then.
    """
    options = options or PatternOptions()
    made_of = {"sample": sample, "model": model, "reference": reference}
    others = {"celltypes": celltypes}
    with open_section_test(
        KIND, enhanced, out, **made_of, others=others, options=options, overwrite=overwrite
    ) as section:
        composition, source = _composition(section.file, celltypes)
        tested = np.flatnonzero(section.observed.gene_totals >= options.min_counts)
        if not len(tested):
            raise BadInputError(f"no gene of {enhanced} has {options.min_counts} counts", hint="lower --min-counts")
        print_message(f"patterns: {len(tested):,} genes with at least {options.min_counts} counts")
        var = _test(section.observed, tested, section.hidden)
        var.index = pd.Index(section.genes[tested])
        known = section.file.var
        if keys.VAR_RELIABILITY in known:
            var[keys.VAR_RELIABILITY] = known[keys.VAR_RELIABILITY].to_numpy()[tested]
        niches = _niches(section.file, composition, options)
        obs = pd.DataFrame({keys.NICHE: niches.label}, index=section.file.obs.index)
        section.write(_facts(section.observed, tested, niches, source), obs=obs, var=var)
    print_message(f"patterns: {int((var['q'] < FDR).sum()):,} genes at a false discovery rate of 5 % → {out}")
    return var


def _test(observed: ObservedCounts, tested: np.ndarray, hidden: HiddenGeneStates | None) -> pd.DataFrame:
    near = autocorrelation(observed, tested)
    counts = cauchy_combination(near.p)
    table = {"statistic": near.moran, "p_counts": counts, "q_counts": q_values(counts)}
    estimates = None
    if hidden is not None:
        state = state_test(observed, tested, hidden)
        estimates = state.p
        table |= {"statistic_estimates": state.explained, "p_estimates": estimates, "q_estimates": q_values(estimates)}
    table |= {keys.TOTAL_COUNTS: observed.gene_totals[tested].astype(np.int64)}
    table |= {"locations": observed.gene_locations[tested], "dispersion": observed.dispersion[tested]}
    p = combined(counts, estimates, hidden)
    return pd.DataFrame({"p": p, "q": q_values(p)} | table)


def _composition(file: SpatialFile, celltypes: Path | None) -> tuple[pd.DataFrame, str]:
    """What niches are made of, and its name."""
    if celltypes is not None:
        with SpatialFile(celltypes) as types:
            table = types.obsm(keys.TYPES)
            if not isinstance(table, pd.DataFrame):
                raise BadInputError(
                    f"{celltypes} has no table obsm[{keys.TYPES!r}]", hint="name a file of focus celltypes"
                )
            _check_finite(table, f"obsm[{keys.TYPES!r}] of {celltypes}")
            return table.iloc[same_locations(types, file)].set_axis(file.obs.index, axis=0), keys.TYPES
    values = file.obsm(keys.LATENT)
    if values is None or not np.shape(values)[1]:
        raise BadInputError(
            f"{file.path} has no obsm[{keys.LATENT!r}], of which niches are made",
            hint="give --celltypes, or a file written by focus enhance",
        )
    _check_finite(values, f"obsm[{keys.LATENT!r}] of {file.path}")
    parts = [f"factor {i + 1}" for i in range(np.shape(values)[1])]
    return pd.DataFrame(np.asarray(values), index=file.obs.index, columns=parts), keys.LATENT


def _check_finite(values: pd.DataFrame | np.ndarray, name: str) -> None:
    """Refuse what no distance can be taken of: no numbers, missing, infinite, or so large that squares overflow."""
    try:
        usable = bool((np.abs(np.asarray(values, np.float64)) < _LARGEST).all())
    except (TypeError, ValueError):
        usable = False
    if not usable:
        raise BadInputError(f"{name} holds values that are no finite numbers", hint="write the file again")


def _niches(file: SpatialFile, composition: pd.DataFrame, options: PatternOptions) -> Niches:
    xy_um = file.xy_um
    radius = options.niche_um or NICHE_SPACINGS * spacing(xy_um)
    return find_niches(composition, xy_um, radius, n_niches=options.n_niches, seed=options.seed)


def _facts(observed: ObservedCounts, tested: np.ndarray, niches: Niches, source: str) -> dict:
    measured = int((observed.gene_totals > 0).sum())
    top = {
        name: {str(k): round(float(v), 4) for k, v in row.sort_values(ascending=False, kind="stable")[:5].items()}
        for name, row in niches.composition.iterrows()
    }
    return {
        "n_tested": len(tested),
        "n_too_few_counts": measured - len(tested),
        "n_not_measured": len(observed.gene_totals) - measured,
        "niches_of": source,
        "niche_silhouette": round(niches.silhouette, 4),
        "niche_composition": top,
    }

"""``focus patterns``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from focus_cli.cli.options import PATH
from focus_cli.cli.section_test import section_test


@section_test(
    "patterns",
    click.option("--celltypes", type=PATH, help="Analysis result of `focus celltypes` to define niches from."),
    click.option("--n-niches", type=click.IntRange(min=2, max=50), help="Number of niches.  [default: by silhouette]"),
    click.option(
        "--niche-um",
        type=click.FloatRange(min=0, min_open=True),
        help="Radius of a location's surroundings, µm.  [default: 2.5 spacings]",
    ),
    too_few="Genes with fewer counts in the section are not tested.",
)
def command(
    enhanced: Path,
    out: Path,
    sample: Path | None,
    model: Path | None,
    reference: Path | None,
    celltypes: Path | None,
    overwrite: bool,
    **options: Any,
) -> None:
    """Find spatially variable genes and niches.

    Tests use raw counts, never estimates. The null hypothesis is that a gene's share of the counts is the same at all
    locations. With --sample and --model, a gene is also tested given the tissue state, which is predicted from the
    other genes and the H&E; this finds more genes at the same false discovery rate.

    \b
        focus patterns enhanced.h5ad --out patterns.h5ad
        focus patterns enhanced.h5ad --sample samples/S1 --model model --reference reference --out patterns.h5ad
        focus patterns enhanced.h5ad --celltypes celltypes.h5ad --n-niches 6 --out patterns.h5ad
    """
    from focus_cli.analysis.patterns import PatternOptions, find_patterns

    made_of = {"sample": sample, "model": model, "reference": reference}
    find_patterns(enhanced, out, **made_of, celltypes=celltypes, options=PatternOptions(**options), overwrite=overwrite)

"""``focus interactions``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import rich_click as click

from focus_cli.cli.options import PATH
from focus_cli.cli.section_test import section_test


@section_test(
    "interactions",
    click.option(
        "--pairs",
        type=PATH,
        required=True,
        help="Table (.csv, .tsv) with the columns ligand and receptor; CellChatDB and CellPhoneDB as in COMMOT.",
    ),
    click.option(
        "--reach-um",
        type=click.FloatRange(min=0, min_open=True),
        help="Range of a ligand, µm.  [default: 50, or to the direct neighbours]",
    ),
    click.option(
        "--maps",
        type=click.IntRange(min=0),
        default=50,
        show_default=True,
        help="Number of pairs whose local scores are written.",
    ),
    too_few="Pairs with fewer counts of any subunit in the section are not tested.",
)
def command(
    enhanced: Path,
    out: Path,
    sample: Path | None,
    model: Path | None,
    reference: Path | None,
    pairs: Path,
    overwrite: bool,
    **options: Any,
) -> None:
    """Find ligands and receptors that are co-localised.

    A pair is significant if its counts are co-localised more than those of two unrelated genes with such patterns would
    be by chance. Estimates are used with their error, never as data. Co-localisation does not show signalling.

    \b
        focus interactions enhanced.h5ad --pairs CellChatDB.ligrec.human.csv --out interactions.h5ad
        focus interactions enhanced.h5ad --pairs pairs.csv --sample samples/S1 --model model --out interactions.h5ad
    """
    from focus_cli.analysis.interactions import InteractionOptions, find_interactions

    made_of = {"sample": sample, "model": model, "reference": reference}
    find_interactions(enhanced, out, **made_of, pairs=pairs, options=InteractionOptions(**options), overwrite=overwrite)

"""Gene sets of pathways and programmes, in the GMT format of MSigDB and Enrichr."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.genes import match_genes, read_text

MIN_GENES = 3  # of a set that are known, for it to say anything


def read_gene_sets(path: Path) -> dict[str, list[str]]:
    """Read a GMT file: a set per line, its name, a description and its genes, parted by tabs.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If a line has no gene, a name comes twice, or the file holds no set.
    """
    if not Path(path).exists():
        raise MissingResourceError(f"no such file: {path}", hint="gene sets in GMT format")
    sets: dict[str, list[str]] = {}
    for number, line in enumerate(read_text(path).splitlines(), 1):
        if not line.strip():
            continue
        name, _, *genes = [field.strip() for field in line.split("\t")] + [""] * 2
        genes = [gene for gene in genes if gene]
        if not genes:
            raise BadInputError(
                f"{path}: line {number} holds no gene", hint="GMT: name, description, genes, parted by tabs"
            )
        if name in sets:
            raise BadInputError(f"{path}: the set {name!r} comes twice", hint="give each set its own name")
        sets[name] = genes
    if not sets:
        raise BadInputError(f"{path} holds no gene set", hint="GMT: name, description, genes, parted by tabs")
    return sets


def set_directions(sets: Mapping[str, Sequence[str]], genes: pd.DataFrame) -> np.ndarray:
    """Directions of the sets in gene space, of unit length, sets × genes.

    Sets with fewer than three known genes are left out. `genes` is a table by name, with Ensembl ids under
    ``gene_ids``; the members of a set are found in it as everywhere in FOCUS, by symbols of any time or by ids.

    Raises
    ------
    BadInputError
        If none is left.
    """
    members = pd.DataFrame(index=sorted({gene for members in sets.values() for gene in members}))
    place = dict(zip(members.index, match_genes(members, genes, exclusive=False).tolist()))
    rows = []
    for members in sets.values():
        known = sorted({place[gene] for gene in members if place[gene] >= 0})
        if len(known) >= MIN_GENES:
            row = np.zeros(len(genes), np.float32)
            row[known] = 1 / np.sqrt(len(known))
            rows.append(row)
    if not rows:
        raise BadInputError(
            f"none of the {len(sets)} gene sets has {MIN_GENES} genes among those measured or in the reference",
            hint="use sets of the same species and the same kind of gene names",
        )
    return np.stack(rows)

"""How much RNA tissue gives, as one more thing that domains look at.

Shares of molecules, on which embeddings and estimates rest, do not hold how many molecules there were. These differ
between tissues: dense tumour gives many, fat few, and domains are found worse without them (Bhuva et al. 2024,
doi:10.1186/s13059-024-03241-7). How many a whole section gives is chemistry and sequencing: its median is taken off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from focus_cli.analysis.domains.section import Section
from focus_cli.analysis.domains.vectors import tissue_vectors
from focus_cli.analysis.embedding.neighbourhood import neighbourhoods


def depth_around(section: Section) -> np.ndarray | None:
    """Log molecules less the section's median under every kernel, float32 (n, widths); None where none were counted."""
    if section.molecules is None:
        return None
    counted = (section.molecules > 0) & section.usable
    if not counted.any():
        return None
    log = np.log(np.where(section.molecules > 0, section.molecules, 1))
    # A location without molecules is described by those around it.
    log = np.where(section.molecules > 0, log - np.median(log[counted]), 0).astype(np.float32)[:, None]
    around = neighbourhoods(section.xy_um, log, counted.astype(np.float64), section.widths_um)
    return tissue_vectors(log, around, section.widths_um, section.footprint_um)


def beside(sections: Sequence[Section]) -> list[Section]:
    """Sections with their depth as further columns, as long as the leading axis of the vectors.

    Returns
    -------
    list of Section
        The same sections where one of them has no molecules.
    """
    depths = [depth_around(section) for section in sections]
    if any(depth is None for depth in depths):
        return list(sections)
    pooled = np.concatenate([s.vectors[s.usable] for s in sections]).astype(np.float64)
    leading = np.sqrt(np.linalg.eigvalsh(np.cov(pooled.T).reshape(pooled.shape[1], -1))[-1])
    spread = np.concatenate([d[s.usable] for s, d in zip(sections, depths)]).astype(np.float64)
    length = np.sqrt(np.linalg.eigvalsh(np.cov(spread.T).reshape(spread.shape[1], -1))[-1])
    if not length > 0:
        return list(sections)
    scaled = [(depth * (leading / length)).astype(np.float32) for depth in depths]
    return [
        replace(
            section,
            vectors=np.concatenate([section.vectors, depth], axis=1),
            draws=[np.concatenate([draw, depth], axis=1) for draw in section.draws],
        )
        for section, depth in zip(sections, scaled)
    ]

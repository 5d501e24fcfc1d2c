"""T1: hold out all counts of a section or of one side of it."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from focus_cli.core.errors import UsageError
from focus_cli.evaluation.genes import SPATIAL_RULE, spatial_genes
from focus_cli.evaluation.holdout.parts import Source, Split, outside_distance, require_genes, visible_sample
from focus_cli.evaluation.normalise import row_sums
from focus_cli.evaluation.truth import make_truth


def cut_section(
    xy_um: np.ndarray,
    test_fraction: float,
    buffer_um: float,
    region: tuple[float, float, float, float] | None,
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray]:
    """Which locations are the test part, and which the training part.

    Without a region the section is cut across its longer axis; the random generator chooses which end is
    the test part. Locations within `buffer_um` of the edge of the test part form the buffer.

    Returns
    -------
    ``(test, train)``, boolean (n,) each.
    """
    if region is not None:
        distance = outside_distance(xy_um, region)
        return distance == 0, distance > buffer_um
    if test_fraction >= 1:
        return np.ones(len(xy_um), dtype=bool), np.zeros(len(xy_um), dtype=bool)
    axis = int(np.argmax(np.ptp(xy_um, axis=0)))
    along = xy_um[:, axis] * (1 if rng.integers(2) else -1)
    edge = np.quantile(along, 1 - test_fraction)
    test = along >= edge
    # The buffer starts at the outermost test location, which may lie beyond the quantile.
    return test, along < along[test].min() - buffer_um


def split_histology(
    source: Source,
    test_fraction: float,
    buffer_um: float,
    region: tuple[float, float, float, float] | None,
) -> Split:
    """Empty the counts of the test part and of the buffer around it.

    The locations stay: one with a total of 0 is not measured. So the same folder trains a model (on what is
    left) and is enhanced by it.

    Raises
    ------
    UsageError
        If the fraction or the buffer makes no sense, or no location is left to test or to train on.
    """
    if not 0 < test_fraction <= 1:
        raise UsageError(f"--test-fraction must lie above 0 and not above 1, got {test_fraction}")
    if buffer_um < 0:
        raise UsageError(f"--buffer-um must not be negative, got {buffer_um}")
    test, train = cut_section(source.xy_um, test_fraction, buffer_um, region, source.rng)
    split = region is not None or test_fraction < 1
    if not test.any() or (split and not train.any()):
        raise UsageError(
            f"this split leaves {int(test.sum())} locations to test and {int(train.sum())} to train on",
            hint="change --region, --test-fraction or --buffer-um",
        )
    shown = sparse.diags(train.astype(np.float32)) @ source.counts
    if source.asked_genes is not None:
        genes, rule = source.positions(source.asked_genes), "a given list"
    else:
        # Without visible counts the list is computed from the hidden ones: which genes are scored is then
        # known from the truth, their values are not.
        part = train if split else test
        chosen = spatial_genes(source.counts[part], source.xy_um[part], source.n_genes)
        genes = require_genes(chosen)
        where = "training" if split else "hidden"
        rule = f"{len(genes)} genes with the {SPATIAL_RULE}, on the {where} locations"
    hidden = source.counts[test]
    truth = make_truth(
        hidden,
        source.adata[test],
        task="histology",
        genes=list(source.adata.var_names[genes]),
        rule=rule,
        seed=source.seed,
        sample_id=source.info.sample_id,
        exposure=row_sums(hidden),
        exposure_of="all genes",
        n_test=int(test.sum()),
        n_train=int(train.sum()),
        n_buffer=int((~test & ~train).sum()),
        buffer_um=float(buffer_um) if split else 0.0,
    )
    settings = {"test_fraction": test_fraction, "buffer_um": buffer_um, "region": region}
    return Split(visible_sample(source.adata, shown), truth, settings=settings)

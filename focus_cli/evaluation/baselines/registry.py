"""All baselines, in the order of the tables."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from focus_cli.evaluation.baselines.cohort import cohort_ridge
from focus_cli.evaluation.baselines.image import ridge, ridge_residuals
from focus_cli.evaluation.baselines.inputs import Inputs, NotRunnable
from focus_cli.evaluation.baselines.reference import reference_projection, reference_ridge
from focus_cli.evaluation.baselines.smoothing import knn_smoothing, pca_smoothing, visible
from focus_cli.evaluation.baselines.spage import spage
from focus_cli.evaluation.baselines.spatial import gene_mean, inverse_distance, nearest
from focus_cli.evaluation.prediction import Prediction

BASELINES: dict[str, Callable[[Inputs], Prediction]] = {
    "gene_mean": gene_mean,
    "nearest": nearest,
    "inverse_distance": inverse_distance,
    "ridge": ridge,
    "ridge_residuals": ridge_residuals,
    "reference_projection": reference_projection,
    "reference_ridge": reference_ridge,
    "spage": spage,
    "cohort_ridge": cohort_ridge,
    "visible": visible,
    "knn_smoothing": knn_smoothing,
    "pca_smoothing": pca_smoothing,
}


def run_baselines(inputs: Inputs, skipped: dict[str, str]) -> Iterator[Prediction]:
    """Yield the prediction of every baseline that its inputs allow, one at a time.

    Parameters
    ----------
    inputs
        Inputs of the baselines.
    skipped
        Filled with the name of each baseline that cannot run and why.
    """
    for name, baseline in BASELINES.items():
        try:
            prediction = baseline(inputs)
        except NotRunnable as reason:
            skipped[name] = str(reason)
        else:
            yield prediction

"""Few numbers of each donor to its outcome: Cox regression of lifelines, logistic regression of scikit-learn."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from focus_cli.analysis.outcome.target import Target
from focus_cli.core.errors import BadInputError, MissingResourceError

_MIN_SCALE = 1e-9


@dataclass(frozen=True)
class Linear:
    """A linear score of standardised numbers.

    Attributes
    ----------
    mean, scale, weight
        float64 (c,).
    intercept
        0 for survival: a log hazard has none.
    """

    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    intercept: float = 0.0

    def score(self, values: np.ndarray) -> np.ndarray:
        """Log hazard relative to the mean donor, or log odds of the positive class, float64 (n,)."""
        return (np.asarray(values, np.float64) - self.mean) / self.scale @ self.weight + self.intercept


def require_lifelines() -> None:
    """Refuse where the library of survival statistics is absent, before any work.

    Raises
    ------
    MissingResourceError
        Naming how to install it.
    """
    try:
        import lifelines  # noqa: F401
    except ImportError as error:
        raise MissingResourceError(
            "survival needs the library lifelines", hint='pip install "focus-st[after]"'
        ) from error


def fit_linear(values: np.ndarray, target: Target, penalty: float) -> Linear:
    """Fit with a ridge penalty on standardised numbers.

    Parameters
    ----------
    values
        (n, c).
    penalty
        The mean log likelihood of a donor is held against penalty · ‖w‖² / 2.

    Raises
    ------
    BadInputError
        If the regression does not converge.
    """
    values = np.asarray(values, np.float64)
    mean, scale = values.mean(axis=0), np.maximum(values.std(axis=0), _MIN_SCALE)
    standard = (values - mean) / scale
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if target.time is None:
            from sklearn.linear_model import LogisticRegression

            model = LogisticRegression(C=1 / (penalty * len(values)), max_iter=1000).fit(standard, target.event)
            return Linear(mean, scale, model.coef_[0], float(model.intercept_[0]))
        weight = cox_fit(standard, target, penalty).params_.to_numpy()
    return Linear(mean, scale, weight)


def cox_fit(values: np.ndarray, target: Target, penalty: float, strata: np.ndarray | None = None):
    """lifelines' Cox regression with Efron's ties; its columns are named 0, 1, …

    Raises
    ------
    BadInputError
        If it does not converge.
    """
    import pandas as pd
    from lifelines import CoxPHFitter
    from lifelines.exceptions import ConvergenceError

    table = pd.DataFrame(values, columns=[str(i) for i in range(values.shape[1])])
    table = table.assign(time=target.time, event=target.event.astype(int))
    options = {}
    if strata is not None:
        table, options = table.assign(fold=strata), {"strata": ["fold"]}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return CoxPHFitter(penalizer=penalty).fit(table, "time", "event", **options)
    except (ConvergenceError, np.linalg.LinAlgError, ValueError) as error:
        raise BadInputError(
            f"the Cox regression does not converge: {str(error).splitlines()[0]}",
            hint="leave out covariates with the same values, or add donors",
        ) from error

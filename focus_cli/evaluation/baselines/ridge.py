"""Ridge regression from sufficient statistics: memory does not grow with the number of locations.

scikit-learn's RidgeCV holds a dense residual of locations × genes for every penalty, 2 GB each on a Visium
HD section; the same solution follows from Gram matrices, with targets that stay sparse.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

_PENALTIES = np.logspace(-4, 1, 8)  # times the number of training locations
_ROWS = 8192


@dataclass(frozen=True)
class _Sums:
    n: float
    x: np.ndarray
    y: np.ndarray
    xx: np.ndarray
    xy: np.ndarray
    yy: np.ndarray

    def __sub__(self, other: _Sums) -> _Sums:
        return _Sums(*(a - b for a, b in zip(self._parts(), other._parts())))

    def __add__(self, other: _Sums) -> _Sums:
        return _Sums(*(a + b for a, b in zip(self._parts(), other._parts())))

    def _parts(self) -> tuple:
        return self.n, self.x, self.y, self.xx, self.xy, self.yy


@dataclass(frozen=True)
class Ridge:
    """A fitted model: ``x @ coef + intercept``; coef float64 (F, G), penalty per gene (G,)."""

    coef: np.ndarray
    intercept: np.ndarray
    penalty: np.ndarray

    def columns(self, x: np.ndarray, genes: np.ndarray) -> np.ndarray:
        """Predictions for some genes, float32 (n, len(genes))."""
        return (x @ self.coef[:, genes].astype(np.float32) + self.intercept[genes]).astype(np.float32)


def fit_ridge(x: np.ndarray, y: sparse.csr_matrix, folds: np.ndarray) -> Ridge:
    """Fit ridge regression with a penalty for each gene chosen by cross-validation on the training data.

    Parameters
    ----------
    x
        Features, float32 (n, F); standardise them before.
    y
        Targets, CSR (n, G).
    folds
        Fold of each row, counted from 0 without gaps, (n,).

    Returns
    -------
    The fit on all rows with the penalties of least squared error over the folds.
    """
    parts = [_sums(x, y, np.flatnonzero(folds == fold)) for fold in np.unique(folds)]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    error = np.zeros((len(_PENALTIES), y.shape[1]))
    if len(parts) > 1:
        for part in parts:
            _validate(whole - part, part, error)
    best = np.argmin(error, axis=0) if len(parts) > 1 else np.full(y.shape[1], len(_PENALTIES) // 2)
    values, rotated, basis = _decompose(whole)
    penalty = _PENALTIES[best] * whole.n
    coef = basis @ (rotated / (values[:, None] + penalty))
    return Ridge(coef, (whole.y - coef.T @ whole.x) / whole.n, penalty)


def _sums(x: np.ndarray, y: sparse.csr_matrix, rows: np.ndarray) -> _Sums:
    n_features, n_genes = x.shape[1], y.shape[1]
    total = _Sums(
        0.0,
        np.zeros(n_features),
        np.zeros(n_genes),
        np.zeros((n_features, n_features)),
        np.zeros((n_features, n_genes)),
        np.zeros(n_genes),
    )
    for start in range(0, len(rows), _ROWS):
        here = rows[start : start + _ROWS]
        a, b = x[here].astype(np.float64), y[here].astype(np.float64)
        squares = np.asarray(b.multiply(b).sum(axis=0)).ravel()
        total = total + _Sums(
            float(len(here)), a.sum(axis=0), np.asarray(b.sum(axis=0)).ravel(), a.T @ a, (b.T @ a).T, squares
        )
    return total


def _decompose(sums: _Sums) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Eigenvalues, X'Y in the eigenbasis, and the basis, of the centred Gram matrix."""
    gram = sums.xx - np.outer(sums.x, sums.x) / sums.n
    cross = sums.xy - np.outer(sums.x, sums.y) / sums.n
    values, basis = np.linalg.eigh(gram)
    return np.maximum(values, 0), basis.T @ cross, basis


def _validate(train: _Sums, test: _Sums, error: np.ndarray) -> None:
    """Add the squared error on the test fold to `error` (penalties, genes)."""
    if train.n < 2:
        return
    values, rotated, basis = _decompose(train)
    # Everything in the eigenbasis of the training part, where a penalty is a division.
    gram = basis.T @ test.xx @ basis
    cross = basis.T @ test.xy
    x_train, x_test = basis.T @ train.x, basis.T @ test.x
    for i, penalty in enumerate(_PENALTIES):
        w = rotated / (values[:, None] + penalty * train.n)
        b = (train.y - w.T @ x_train) / train.n
        error[i] += (
            test.yy
            + test.n * b**2
            + (w * (gram @ w)).sum(axis=0)
            - 2 * (w * cross).sum(axis=0)
            - 2 * b * test.y
            + 2 * b * (w.T @ x_test)
        )


def random_folds(n: int, seed: int, n_folds: int = 5) -> np.ndarray:
    """Folds of nearly equal size, drawn at random, (n,)."""
    return np.random.default_rng(seed).permutation(np.arange(n) % min(n_folds, n))


def block_folds(blocks: np.ndarray, seed: int, n_folds: int = 5) -> np.ndarray:
    """Folds made of whole spatial blocks, (n,), counted from 0 without gaps."""
    n_blocks = int(blocks.max()) + 1
    return random_folds(n_blocks, seed, n_folds)[blocks]

r"""The space that a model spans: axes that mean the same in every sample that is embedded with it.

The latent :math:`z \sim N(0, I)` of a location states how gene shares deviate from their baseline,
:math:`p_j (1 + W_j \cdot z)`. Two latents are as far apart as the counts that they expect are:

.. math:: d^2(z, z') = (z - z')^T G (z - z'), \qquad G = \sum_j v_j v_j^T, \qquad v_j = W_j\, p_j\, b_j

with the standardised residual's scale :math:`b_j` (`focus_cli.model.priors.statistics`), over the genes that the
model's own training measured. So the metric does not depend on the sample's panel. The axes of G, the longest first,
are the coordinates; an image adds the principal axes of the tissue that the model was trained on. Either block is
divided by the standard deviation of its first axis, so that none outweighs the other by its number of columns
(multiple factor analysis:
Escofier & Pagès 1994, doi:10.1016/0167-9473(94)90135-X).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.provenance import hash_file
from focus_cli.model.priors import residual_scale
from focus_cli.model.training import TrainedModel

MODES = ("joint", "expression", "histology")
MAX_IMAGE_AXES = 16
KEPT = 2e-3  # of the first axis' variance: what a prior holds at its floor (1e-3) was not found in any tissue
_FILES = (keys.WEIGHTS, keys.PRIOR_ARRAYS, keys.PRIOR_JSON, keys.IMAGE_SPACE)


@dataclass(frozen=True)
class Space:
    """Axes of a model.

    Attributes
    ----------
    name
        The same text for the same model, signals and widths, and for no other.
    expression
        float32, K × P: latent → coordinates.
    image_centre, image
        float32, F and F × R: standardised image features → coordinates; R is 0 without an image.
    """

    name: str
    expression: np.ndarray
    image_centre: np.ndarray
    image: np.ndarray

    def locations(self, latent: np.ndarray, features: np.ndarray | None) -> np.ndarray:
        """Coordinates of locations.

        Parameters
        ----------
        latent
            float32 (n, K), of the model.
        features
            float32 (n, F), standardised image features; None for a space without an image.

        Returns
        -------
        np.ndarray
            float32 (n, D).
        """
        parts = [latent @ self.expression]
        if self.image.shape[1]:
            parts.append((features - self.image_centre) @ self.image)
        return np.concatenate(parts, axis=1).astype(np.float32)

    def known(self, latent_sd: np.ndarray) -> np.ndarray:
        """Share of the prior variance of the expression's coordinates that is no longer open, float32 (n,), 0 to 1."""
        weight = (self.expression.astype(np.float64) ** 2).sum(axis=1)
        open_share = (latent_sd.astype(np.float64) ** 2) @ weight / max(weight.sum(), 1e-12)
        return np.clip(1 - open_share, 0, 1).astype(np.float32)


def model_space(model: TrainedModel, path: Path, mode: str, widths_um: tuple[float, ...]) -> Space:
    """The space of a model.

    Parameters
    ----------
    path
        The model's folder, whose content names the space.
    mode
        One of `MODES`.
    widths_um
        Of the neighbourhoods' kernels.

    Raises
    ------
    BadInputError
        If the model's genes do not vary.
    """
    expression = _expression_axes(model)
    centre, image = np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
    if mode != "expression":
        centre, image = _image_axes(model)
    widths = ",".join(f"{width:g}" for width in widths_um)
    return Space(f"{model_digest(path)}/{mode}/{widths}um", expression, centre, image)


def model_digest(path: Path) -> str:
    """Twelve hexadecimal digits that name a model by its weights, its prior and how it sees the image."""
    files = [Path(path) / name for name in _FILES]
    return hashlib.sha256("".join(hash_file(f) for f in files if f.is_file()).encode()).hexdigest()[:12]


def _expression_axes(model: TrainedModel) -> np.ndarray:
    prior = model.prior
    known = prior.measured if prior.measured.any() else np.ones(len(prior.genes), bool)
    p = prior.baseline[known]
    v = prior.loadings[known].astype(np.float64) * (p * residual_scale(p))[:, None]
    values, vectors = np.linalg.eigh(v.T @ v)
    values, vectors = values[::-1], _signed(vectors[:, ::-1])
    if not values[0] > 0:
        raise BadInputError("the model's factors hold no gene: it has no space", hint="train it on samples with counts")
    kept = values > KEPT * values[0]
    return (vectors[:, kept] * np.sqrt(values[kept] / values[0])).astype(np.float32)


def _image_axes(model: TrainedModel) -> tuple[np.ndarray, np.ndarray]:
    """Principal axes of the training tissue, taken from the landmarks' whitening."""
    met = model.image.ood_reference
    if met is None:
        return np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
    length = np.linalg.norm(met.whitening.astype(np.float64), axis=0)  # one over an axis' standard deviation
    order = np.argsort(length, kind="stable")[:MAX_IMAGE_AXES]
    order = order[length[order] < length[order[0]] * KEPT**-0.5]
    axes = _signed(met.whitening[:, order].astype(np.float64) / length[order])
    return met.centre.astype(np.float32), (axes * length[order[0]]).astype(np.float32)


def _signed(vectors: np.ndarray) -> np.ndarray:
    # The sign of an eigenvector is arbitrary: its largest entry is made positive.
    return vectors * np.sign(vectors[np.abs(vectors).argmax(axis=0), np.arange(vectors.shape[1])])

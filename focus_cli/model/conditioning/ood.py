"""Out-of-distribution score of tissue: the distance of its image features to those of the training tissue.

Features are taken as the network sees them, standardised within the slide: another scanner or a paler stain makes no
stranger, another organ does. They are averaged over the same area whatever the platform, or the bins of one would make
the spots of another look usual. The distance is that to the nearest neighbours in whitened features (Sun et al. 2022,
arXiv:2204.06507), in the unit of what training tissue itself shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from scipy.spatial import cKDTree

from focus_cli.core.random import stream
from focus_cli.model.conditioning.sample import SampleData, centre_and_ring

LANDMARKS = 2048
MAX_DIMENSIONS = 64
NEIGHBOURS = 5
QUANTILE = 0.99  # of training tissue lies within the border
REACH_UM = 33.0  # of the ring of six points that, with its centre, stands for the tissue around a place
_ROWS = 16384  # of image features at a time
_FLOOR = 1e-3  # of the largest variance: directions without any are noise


@dataclass(frozen=True)
class OodReference:
    """Landmarks of the training tissue.

    Attributes
    ----------
    centre
        float32, F.
    whitening
        float32, F × D.
    landmarks
        float32, R × D: features of training tissue, whitened.
    border
        Distance within which 99 % of the training tissue lies from other training tissue, array of one.
    """

    centre: np.ndarray
    whitening: np.ndarray
    landmarks: np.ndarray
    border: np.ndarray

    def arrays(self) -> dict[str, np.ndarray]:
        """By name, as they are stored."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @classmethod
    def of(cls, arrays: dict[str, np.ndarray]) -> OodReference:
        """From what `arrays` returned.

        Raises
        ------
        KeyError, ValueError
            If an array is missing, or their shapes do not fit.
        """
        made = cls(**{field.name: arrays[field.name] for field in fields(cls)})
        if made.whitening.shape != (len(made.centre), made.landmarks.shape[1]) or made.border.shape != (1,):
            raise ValueError("the landmarks of known tissue do not fit their axes")
        return made

    def score(self, features: np.ndarray) -> np.ndarray:
        """Distance to known tissue in units of the border: above 1 the tissue is unlike anything in training.

        Parameters
        ----------
        features
            float32 (n, F), as `tissue_around` gives them.

        Returns
        -------
        np.ndarray
            float32 (n,).
        """
        whitened = (features - self.centre) @ self.whitening
        distance, _ = cKDTree(self.landmarks).query(whitened, k=np.arange(1, NEIGHBOURS + 1))
        return (distance.mean(axis=1) / self.border[0]).astype(np.float32)


def tissue_around(data: SampleData, xy_um: np.ndarray) -> np.ndarray:
    """Mean image features of the tissue around positions (n × 2, µm), for `OodReference.score`: float32 (n, F)."""
    return data.features_within(xy_um, centre_and_ring(REACH_UM))


def ood_score_of(data: SampleData, ood_reference: OodReference | None, xy_um: np.ndarray) -> np.ndarray | None:
    """How far the tissue at places (n × 2, µm) is from any in training, float32 (n,).

    Returns
    -------
    np.ndarray or None
        None where the model was trained on no tissue, or the sample has no image.
    """
    if ood_reference is None or data.raster is None:
        return None
    ood_score = np.empty(len(xy_um), np.float32)
    for start in range(0, len(xy_um), _ROWS):
        rows = slice(start, start + _ROWS)
        ood_score[rows] = ood_reference.score(tissue_around(data, xy_um[rows]))
    return ood_score


def fit_ood_reference(samples: Sequence[SampleData], seed: int = 0) -> OodReference | None:
    """Choose landmarks from the measured locations of samples with an image, each sample alike.

    Returns
    -------
    OodReference or None
        None where there are fewer than twice `NEIGHBOURS` locations.
    """
    rng = stream(seed, "train/ood reference")
    share = max(2 * LANDMARKS // len(samples), 1)
    drawn = [_draw(data, share, rng) for data in samples]
    features = np.concatenate(drawn).astype(np.float64)
    if len(features) < 2 * NEIGHBOURS:
        return None
    centre = features.mean(axis=0)
    values, vectors = np.linalg.eigh(np.cov(features.T).reshape(len(centre), -1))
    values, vectors = values[::-1][:MAX_DIMENSIONS], vectors[:, ::-1][:, :MAX_DIMENSIONS]
    whitening = vectors / np.sqrt(values + _FLOOR * values[0] + 1e-12)
    whitened = (features - centre) @ whitening
    order = rng.permutation(len(whitened))
    known, other = whitened[order[::2]], whitened[order[1::2]]
    # Locations of the other half: a landmark is at distance 0 from itself.
    distance, _ = cKDTree(known).query(other, k=np.arange(1, NEIGHBOURS + 1))
    border = max(float(np.quantile(distance.mean(axis=1), QUANTILE)), 1e-6)
    return OodReference(*(a.astype(np.float32) for a in (centre, whitening, known, np.array([border]))))


def _draw(data: SampleData, most: int, rng: np.random.Generator) -> np.ndarray:
    rows = np.flatnonzero(data.exposure > 0)
    if len(rows) > most:
        rows = np.sort(rng.choice(rows, most, replace=False))
    return tissue_around(data, data.xy_um[rows])

"""The head: standardised features, one linear layer, a temperature. Plain arrays."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import log_softmax


@dataclass(frozen=True)
class Head:
    """A multinomial logistic regression.

    Attributes
    ----------
    classes
        Names, sorted.
    mean, scale
        Of the features in training, float32 (D,).
    weight, bias
        float32 (K, D) and (K,).
    temperature
        What logits are divided by before they become probabilities (Guo et al. 2017, ICML).
    """

    classes: tuple[str, ...]
    mean: np.ndarray
    scale: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    temperature: float = 1.0

    def standardise(self, features: np.ndarray) -> np.ndarray:
        """Features in the units of the fit, float32 (n, D)."""
        return ((features - self.mean) / self.scale).astype(np.float32)

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Scores before the temperature, float64 (n, K)."""
        return self.standardise(features).astype(np.float64) @ self.weight.T.astype(np.float64) + self.bias

    def log_probability(self, features: np.ndarray) -> np.ndarray:
        """Logarithm of the probability of each class, float64 (n, K)."""
        return log_softmax(self.logits(features) / self.temperature, axis=1)

    def arrays(self) -> dict[str, np.ndarray]:
        """What is stored."""
        return {"mean": self.mean, "scale": self.scale, "weight": self.weight, "bias": self.bias}

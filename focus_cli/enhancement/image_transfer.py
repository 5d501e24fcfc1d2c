"""How far the image map of a model holds on a slide without counts.

A map from morphology to expression that was learnt on some patients has the right pattern on another, and too large an
amplitude: stain, scanner and tumour differ. Where a slide has counts they correct the map; where it has none, the
out-of-distribution score of the slide is all that is known. Three things follow from it: the latents are shrunk
towards their mean; the image map replaces the whole network, whose trunk extrapolates less well; and on tissue far from
training a second map is added, which was fitted with a strong penalty.

The constants were chosen on slides of other patients and organs, see docs/model.md, "Slides without counts".
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from focus_cli.enhancement.infer import Latents

FAMILIAR = 0.63  # median out-of-distribution score up to which the amplitude is kept
DECAY = 6.0  # of the logarithm of the amplitude, per unit of the score beyond
LEAST = 0.1  # amplitude
TRUNK = 0.5  # share of the network's estimate beside that of its image map, on familiar tissue
UNFAMILIAR = 0.70  # score from which on the image map is used alone
FOREIGN = 0.6  # amplitude below which the map with the strong penalty is added
MOST_FOREIGN = 0.3  # weight of that map


@dataclass(frozen=True)
class ImageTransfer:
    """How the image is used on one slide.

    Attributes
    ----------
    score
        Median out-of-distribution score of the slide's tissue; NaN where the model has no reference for it.
    amplitude
        Factor of the latents.
    trunk
        Weight of the whole network; the rest is the weight of its image map alone.
    foreign
        Weight of the map with the strong penalty, which is added.
    variance
        float32, K: variance of each latent over the slide, as it was before it was shrunk.
    """

    score: float
    amplitude: float
    trunk: float
    foreign: float
    variance: np.ndarray | None = None

    @classmethod
    def of(cls, ood_score: np.ndarray | None) -> ImageTransfer:
        """From the out-of-distribution scores of a slide's locations (n,); None where there are none."""
        if ood_score is None or not len(ood_score):
            return cls(float("nan"), 1.0, TRUNK, 0.0)
        score = float(np.median(ood_score))
        amplitude = float(np.clip(np.exp(-DECAY * (score - FAMILIAR)), LEAST, 1.0))
        trunk = TRUNK * float(np.clip((UNFAMILIAR - score) / (UNFAMILIAR - FAMILIAR), 0.0, 1.0))
        return cls(score, amplitude, trunk, MOST_FOREIGN * float(np.clip(1 - amplitude / FOREIGN, 0.0, 1.0)))

    def mean(self, network, image_map, foreign_map):
        """Latents from those of the whole network, of its image map, and of the map with the strong penalty.

        Arrays or tensors of one shape.
        """
        return self.amplitude * (self.trunk * network + (1 - self.trunk) * image_map) + self.foreign * foreign_map

    def apply(self, latents: Latents, image_map: np.ndarray, foreign_map: np.ndarray) -> tuple[ImageTransfer, Latents]:
        """Latents of a slide as this states them.

        What the shrinkage takes from the variance of the mean over the slide is added to that of the spread: what is no
        longer explained is uncertain.

        Parameters
        ----------
        latents
            Of the whole network.
        image_map, foreign_map
            float32 (Q, K), of the two maps.

        Returns
        -------
        With the variance that it found on these latents, unless it had one; and the latents.
        """
        mean = self.mean(latents.mean, image_map, foreign_map).astype(np.float32)
        variance = self.variance
        if variance is None:
            variance = (self.trunk * latents.mean + (1 - self.trunk) * image_map).var(axis=0)
        sd = np.sqrt(latents.sd**2 + (1 - self.amplitude**2) * variance).astype(np.float32)
        samples = latents.samples
        if samples is not None:
            samples = (mean + (samples - latents.mean) * (sd / np.maximum(latents.sd, 1e-9))).astype(np.float32)
        return replace(self, variance=variance), replace(latents, mean=mean, sd=sd, samples=samples)

    def record(self) -> dict[str, float | None]:
        """For ``uns``, JSON-safe."""
        score = None if np.isnan(self.score) else round(self.score, 4)
        weights = {name: round(getattr(self, name), 4) for name in ("amplitude", "trunk", "foreign")}
        return {"ood_score": score, **weights}

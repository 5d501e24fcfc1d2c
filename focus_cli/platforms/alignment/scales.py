"""Is the image a smaller or larger copy of the one that the positions refer to? Measured on the data, at other scales.

The same two signals as for the orientation, and the share of the tissue that the locations cover: shrunk far enough,
any locations lie on tissue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from focus_cli.platforms.alignment.agreement import BLOCK_STEPS, Signals, block_draws, chance_variances
from focus_cli.platforms.alignment.extent import inside
from focus_cli.platforms.alignment.orientation import Agreement, orientation_frames, reorient

_COVER = 0.25  # weight of the share of the tissue that is covered
_COARSE = 0.10  # relative step of the scales that are searched
_FINE = (0.03, 0.01)
_REACH = 10.0  # copies are at most that much smaller or larger
# Of the right scale, sections of breast and kidney reach a total of 1.5 to 2 and gain 0.5 to 2 on one half too large or
# too small; at the right scale no other one gains.
_GAIN, _TOTAL = 0.3, 1.2
_SAME = 0.06  # factors this near to 1 are no other scale: small shifts look like them


@dataclass(frozen=True)
class ScaleFit:
    """How well locations and image fit if the image is a copy enlarged by `factor`.

    Attributes
    ----------
    factor
        Pixels of the image per pixel that the positions mean.
    total
        Sum of share on tissue, correlation and, with its weight, the tissue that is covered.
    agreement
        As for an orientation; what it gains is measured against the factor 1.
    """

    factor: float
    total: float
    agreement: Agreement

    @property
    def certain(self) -> bool:
        """Whether it is reason to refuse locations that fit the image as they are given, too."""
        return self.agreement.significant and self.agreement.gain >= _GAIN and self.total >= _TOTAL


class Scales:
    """Locations and image of which one side's scale is in doubt.

    Parameters
    ----------
    xy_um, counts, nuclei, tissue, um_per_px, pitch_um, signals
        As for `compare_orientations`; `um_per_px` as the positions state it.
    """

    def __init__(
        self,
        xy_um: np.ndarray,
        counts: np.ndarray,
        nuclei: np.ndarray,
        tissue: np.ndarray,
        *,
        um_per_px: float,
        pitch_um: float,
        signals: Signals | None = None,
    ) -> None:
        self._signals = signals or Signals.of(xy_um, counts, nuclei, tissue, um_per_px=um_per_px, pitch_um=pitch_um)
        self._tissue_um2 = max(float(tissue.sum()) * um_per_px**2, 1.0)

    def compare(self, factors: Sequence[float], seed: int = 0) -> list[ScaleFit]:
        """Measure the agreement at each factor, against that at 1.

        Parameters
        ----------
        factors
            Pixels of the image per pixel that the positions mean.
        seed
            Of the bootstrap.
        """
        signals = self._signals
        looks = [self._look(factor) for factor in (1.0, *factors)]
        draws = block_draws(signals.xy, BLOCK_STEPS * signals.spacing, seed)
        chance = chance_variances(signals.xy, signals.level, [density for *_, density in looks], signals.spacing)
        (given_on, given_like, _, on_given, _), fits = looks[0], []
        for factor, (on_tissue, correlation, within, on, _), variance in zip(factors, looks[1:], chance[1:]):
            error = (draws @ (on.astype(float) - on_given) / draws.sum(axis=1)).std()
            agreement = Agreement(
                orientation=f"at {factor:.3g} of the scale",
                inside=within,
                on_tissue=on_tissue,
                correlation=correlation,
                gain=on_tissue + correlation - given_on - given_like,
                sigma_tissue=(on_tissue - given_on) / max(float(error), 1 / len(signals.xy)),
                sigma_correlation=(correlation - given_like) / float(np.sqrt(variance + chance[0])),
            )
            fits.append(ScaleFit(float(factor), self._total(factor), agreement))
        return fits

    def search(self, seed: int = 0) -> ScaleFit | None:
        """The factor at which locations and image agree best; None where no other scale is better beyond doubt.

        Small factors, and those at which a flip or turn of the locations explains as much, are not reported.
        """
        n = round(np.log(_REACH) / np.log1p(_COARSE))
        best = max((float((1 + _COARSE) ** k) for k in range(-n, n + 1)), key=self._total)
        for step in _FINE:
            best = max((best * (1 + step) ** k for k in range(-4, 5)), key=self._total)
        if abs(np.log(best)) < _SAME:
            return None
        (fit,) = self.compare([best], seed)
        turned = max(self._total(1.0, orientation) for orientation in range(8))
        return fit if fit.agreement.significant and fit.total > turned else None

    def _place(self, factor: float, orientation: int = 0, frame: int = 0) -> np.ndarray:
        signals = self._signals
        height, width = signals.smooth.shape
        frames = orientation_frames(width, height, orientation)
        return reorient(signals.xy * factor / signals.um_per_px, *frames[min(frame, len(frames) - 1)], orientation)

    def _look(self, factor: float) -> tuple[float, float, float, np.ndarray, np.ndarray]:
        """Share on tissue, correlation, share inside, and both signals by location."""
        place = self._place(factor)
        on, density = self._signals.look(place)
        height, width = self._signals.smooth.shape
        within = float(inside(place, width, height).mean())
        return float(on.mean()), float(np.mean(self._signals.level * density)), within, on, density

    def _total(self, factor: float, orientation: int = 0) -> float:
        totals = []
        for frame in (0, 1):
            on, density = self._signals.look(self._place(factor, orientation, frame))
            covered = float(on.sum()) * (self._signals.spacing * factor) ** 2 / self._tissue_um2
            totals.append(float(on.mean() + np.mean(self._signals.level * density)) + _COVER * min(covered, 1.0))
        return max(totals)

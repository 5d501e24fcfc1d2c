"""A head of outcome on disk, and its prediction for a slide."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from focus_cli.analysis.heads.folder import HeadDocument, read_head
from focus_cli.analysis.heads.ood import OodSupport
from focus_cli.analysis.outcome.bags import Axes
from focus_cli.analysis.outcome.linear import Linear
from focus_cli.analysis.outcome.scorer import Scorer, raw_score
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage.schema import Document, Name, Text

KIND = "outcome"
_NET = ("v", "u", "w", "c", "b")


class TargetDocument(Document):
    """What the head predicts."""

    kind: Literal["survival", "class"]
    column: Text
    positive: str | None


class OutcomeDocument(HeadDocument):
    """``head.json`` of ``focus outcome fit``."""

    pooling: Literal["mean", "attention"]
    target: TargetDocument
    covariates: list[Name]
    levels: dict[str, list[str]]
    centre: float
    slope: float
    intercept: float
    scores: dict[str, Any]


@dataclass(frozen=True)
class OutcomeHead:
    """What was fitted.

    Attributes
    ----------
    document
        ``head.json``.
    axes, net, linear, centre
        As in `Scorer`.
    slope, intercept
        From a score to a calibrated log hazard or log odds, fitted on scores of donors that were left out.
    together
        Slide score and covariates in one regression, or None.
    ood
        Locations of the fit.
    """

    document: dict[str, Any]
    axes: Axes
    net: object | None
    linear: Linear | None
    centre: float
    slope: float
    intercept: float
    together: Linear | None
    ood: OodSupport

    def raw(self, features: np.ndarray) -> float:
        """Score of one slide's locations (n, D), about the mean of the donors of training."""
        projected = [self.axes.project(features)]
        return float(raw_score(self.document["pooling"], self.net, self.linear, projected)[0]) - self.centre

    def calibrated(self, raw: float) -> float:
        """Log hazard relative to the mean donor of training, or log odds of the positive class."""
        return self.slope * raw + self.intercept

    def look(self, features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Weights of locations in one slide.

        Parameters
        ----------
        features
            Locations (n, D).

        Returns
        -------
        attention
            Weight of each location times their number: 1 is its fair share. float32 (n,).
        contribution
            What each location adds to the score: they average to `raw`. float32 (n,).
        """
        projected = self.axes.project(features)
        if self.document["pooling"] == "mean":
            standard = (projected.astype(np.float64) - self.linear.mean) / self.linear.scale
            each = standard @ self.linear.weight + self.linear.intercept - self.centre
            return np.ones(len(features), np.float32), each.astype(np.float32)
        import torch

        with torch.no_grad():
            bag = torch.from_numpy(projected)
            weight = self.net.attend(bag[None], torch.ones(1, len(bag), dtype=torch.bool))[:, 0].double() * len(bag)
            value = self.net.c.double() @ bag.double().T  # (M, n)
            intercept = float(self.net.b.double().mean())
            attention, each = weight.mean(dim=0).numpy(), (weight * value).mean(dim=0).numpy()
        return attention.astype(np.float32), (each + intercept - self.centre).astype(np.float32)


def head_arrays(scorer: Scorer, together: Linear | None, ood: OodSupport) -> dict[str, np.ndarray]:
    """What goes into ``head.safetensors``."""
    arrays = {"mean": scorer.axes.mean, "scale": scorer.axes.scale, "axes": scorer.axes.axes}
    arrays["support"] = ood.support
    if scorer.net is not None:
        arrays |= {f"net.{name}": getattr(scorer.net, name).detach().numpy() for name in _NET}
    for prefix, linear in (("linear", scorer.linear), ("together", together)):
        if linear is not None:
            arrays |= {f"{prefix}.{name}": getattr(linear, name) for name in ("mean", "scale", "weight")}
            arrays[f"{prefix}.intercept"] = np.array([linear.intercept])
    return arrays


def load_head(path: Path) -> OutcomeHead:
    """Read a head's folder.

    Raises
    ------
    MissingResourceError, BadInputError
        If it is not there, of another kind, or its arrays do not fit its description.
    """
    document, arrays = read_head(path, KIND, OutcomeDocument)

    def linear(prefix: str, width: int) -> Linear:
        parts = [arrays[f"{prefix}.{name}"] for name in ("mean", "scale", "weight")]
        if any(part.shape != (width,) for part in parts):
            raise ValueError(f"shapes of {prefix}")
        if not (parts[1] > 0).all():
            raise ValueError(f"scale of {prefix}")
        return Linear(*parts, float(arrays[f"{prefix}.intercept"][0]))

    try:
        width, n_axes = sum(document["widths"].values()), arrays["axes"].shape[1]
        if arrays["axes"].shape[0] != width or arrays["support"].shape[1] != width:
            raise ValueError("widths")
        if not len(arrays["support"]) or any(arrays[n].shape != (width,) for n in ("mean", "scale")):
            raise ValueError("shapes of mean, scale or support")
        if not (arrays["scale"] > 0).all():
            raise ValueError("scale")
        axes = Axes(arrays["mean"], arrays["scale"], arrays["axes"])
        net = _net(arrays, n_axes) if document["pooling"] == "attention" else None
        return OutcomeHead(
            document,
            axes,
            net,
            None if net is not None else linear("linear", n_axes),
            *(float(document[name]) for name in ("centre", "slope", "intercept")),
            linear("together", 1 + len(document["covariates"])) if document["covariates"] else None,
            OodSupport(arrays["support"], float(document["border"])),
        )
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
        raise BadInputError(
            f"{path} is damaged: {keys.HEAD_JSON} and the arrays do not agree ({str(error).splitlines()[0]})",
            hint="fit it again with focus outcome fit",
        ) from error


def _net(arrays: dict[str, np.ndarray], n_axes: int):
    import torch

    from focus_cli.analysis.outcome.attention import GatedAttention

    members, _, hidden = arrays["net.v"].shape
    shapes = {"v": (members, n_axes, hidden), "u": (members, n_axes, hidden), "w": (members, hidden)}
    shapes |= {"c": (members, n_axes), "b": (members,)}
    if wrong := [name for name, shape in shapes.items() if arrays[f"net.{name}"].shape != shape]:
        raise ValueError(f"shape of net.{wrong[0]}")
    net = GatedAttention(members, n_axes, torch.Generator().manual_seed(0), hidden)
    net.load_state_dict({name: torch.from_numpy(arrays[f"net.{name}"].copy()) for name in _NET})
    return net.eval()

"""Sizes of the network. A preset is only numbers; the code is the same for all."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ModelConfig(BaseModel):
    """Hyperparameters that shape the weights.

    `n_features` (image features), `n_factors` (K), `n_scales` and `labels` (organs, platforms, species that were met)
    come from the data and the prior.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    width: int = Field(64, ge=8, le=1 << 14)
    layers: int = Field(2, ge=1, le=256)
    max_factors: int = Field(32, ge=1, le=4096)
    dropout: float = Field(0.1, ge=0, lt=1)
    n_features: int = Field(0, ge=0, le=1 << 16)
    n_factors: int = Field(0, ge=0, le=4096)
    n_scales: int = Field(5, ge=1, le=64)
    labels: tuple[str, ...] = Field((), max_length=10_000)


PRESETS: dict[str, ModelConfig] = {
    "nano": ModelConfig(width=96, layers=2, max_factors=32),
    "base": ModelConfig(width=1024, layers=8, max_factors=64),
    "large": ModelConfig(width=2560, layers=12, max_factors=128),
}

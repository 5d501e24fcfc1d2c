"""How a model is trained. Defaults are for the nano preset on two CPU cores."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from focus_cli.core.errors import UsageError
from focus_cli.core.settings import load_settings

# Settings that change how a run is carried out and, but for the order of sums, not what comes out of it.
MEANS = frozenset({"parallel", "view_workers"})


class TrainingConfig(BaseModel):
    """Optimisation and the mixture of masks (one mask mix, the same as at inference)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_steps: int = Field(1000, ge=1)
    batch_points: int = Field(1344, ge=1)
    steps_per_view: int = Field(6, ge=1)
    view_locations: int = Field(4096, ge=16)
    genes_per_view: int = Field(384, ge=1)
    learning_rate: float = Field(1e-3, gt=0)
    weight_decay: float = Field(0.02, ge=0)
    visible_share: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field((0.5, 0.8, 0.9), min_length=1)
    hide_genes: float = Field(0.4, ge=0, le=1)
    hide_locations: float = Field(0.5, ge=0, le=1)
    hide_all_locations: float = Field(0.2, ge=0, le=1)
    aggregate: float = Field(0.3, ge=0, le=1)
    drop_image: float = Field(0.15, ge=0, le=1)
    drop_reference: float = Field(0.15, ge=0, le=1)
    drop_platform: float = Field(0.2, ge=0, le=1)
    drop_labels: float = Field(0.3, ge=0, le=1)
    weight_prior: float = Field(1.0, ge=0)
    weight_counts: float = Field(1.0, ge=0)
    weight_flow: float = Field(0.3, ge=0)
    checkpoint_every: int = Field(200, ge=1)
    views_per_step: int | None = Field(None, ge=1)
    precision: Literal["float32", "bf16"] = "float32"
    parallel: Literal["ddp", "fsdp"] = "ddp"
    view_workers: int = Field(1, ge=1)


def share_of_views(config: TrainingConfig, processes: int) -> int:
    """Views that each of `processes` takes per step; a step averages ``views_per_step`` of them, by default one each.

    Raises
    ------
    UsageError
        If they cannot be shared evenly.
    """
    views = config.views_per_step or processes
    if views % processes:
        raise UsageError(
            f"training config: views_per_step {views} cannot be shared by {processes} processes",
            hint=f"set it to a multiple of {processes}, for instance {processes * max(1, round(views / processes))}",
        )
    return views // processes


def load_training_config(path: Path | None, **overrides) -> TrainingConfig:
    """Read a YAML file of training settings; options given on the command line win.

    Raises
    ------
    MissingResourceError
        If the file is not there.
    UsageError
        If it is no YAML mapping, or a key or value is not known.
    """
    return load_settings(TrainingConfig, "training", path, overrides)

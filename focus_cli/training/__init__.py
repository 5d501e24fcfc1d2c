"""Self-supervised training: masks, objective, loop, checkpoints."""

from focus_cli.training.adapt import adapt
from focus_cli.training.checkpoint import TrainedModel, is_model, load_model, save_model
from focus_cli.training.config import TrainingConfig, load_training_config
from focus_cli.training.fit import fit

__all__ = [
    "TrainedModel",
    "TrainingConfig",
    "adapt",
    "fit",
    "is_model",
    "load_model",
    "load_training_config",
    "save_model",
]

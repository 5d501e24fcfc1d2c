"""Self-supervised training: masks, objective, loop, checkpoints."""

from focus_cli.model.training.adaptation import adapt
from focus_cli.model.training.checkpoint import TrainedModel, is_model, load_model, save_model
from focus_cli.model.training.config import TrainingConfig, load_training_config
from focus_cli.model.training.fitting import fit

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

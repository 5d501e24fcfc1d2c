from .adaptation import adapt as adapt
from .checkpoint import TrainedModel as TrainedModel
from .checkpoint import is_model as is_model
from .checkpoint import load_model as load_model
from .checkpoint import save_model as save_model
from .config import TrainingConfig as TrainingConfig
from .config import load_training_config as load_training_config
from .fitting import fit as fit
from .stage import check_training as check_training
from .stage import train as train

__all__ = [
    "TrainedModel",
    "TrainingConfig",
    "adapt",
    "check_training",
    "fit",
    "is_model",
    "load_model",
    "load_training_config",
    "save_model",
    "train",
]

from .opening import CorpusSample as CorpusSample
from .opening import is_corpus as is_corpus
from .opening import open_corpus as open_corpus
from .pack import build_corpus as build_corpus
from .pack import verify_corpus as verify_corpus
from .training_samples import TrainingSample as TrainingSample
from .training_samples import open_training_samples as open_training_samples

__all__ = [
    "CorpusSample",
    "TrainingSample",
    "build_corpus",
    "is_corpus",
    "open_corpus",
    "open_training_samples",
    "verify_corpus",
]

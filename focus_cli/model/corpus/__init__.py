"""Corpora: samples packed for training, read a window at a time."""

from focus_cli.model.corpus.opening import CorpusSample, is_corpus, open_corpus
from focus_cli.model.corpus.pack import build_corpus, verify_corpus
from focus_cli.model.corpus.training_samples import TrainingSample, open_training_samples

__all__ = [
    "CorpusSample",
    "TrainingSample",
    "build_corpus",
    "is_corpus",
    "open_corpus",
    "open_training_samples",
    "verify_corpus",
]

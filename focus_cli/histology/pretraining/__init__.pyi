from .stage import pretrain as pretrain

__all__ = [
    "pretrain",
]

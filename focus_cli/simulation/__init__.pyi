from .study import simulate as simulate

__all__ = [
    "simulate",
]

from .stage import find_domains as find_domains

__all__ = [
    "find_domains",
]

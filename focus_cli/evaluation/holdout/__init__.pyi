from .run import hold_out as hold_out

__all__ = [
    "hold_out",
]

from .description import describe as describe
from .detection import PLATFORMS as PLATFORMS
from .detection import detect as detect
from .detection import read as read
from .sample import Detection as Detection
from .sample import RawSample as RawSample

__all__ = [
    "PLATFORMS",
    "Detection",
    "RawSample",
    "describe",
    "detect",
    "read",
]

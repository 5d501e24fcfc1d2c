"""Raw vendor folders → one sample in memory; one file per platform."""

from focus_cli.platforms.description import describe
from focus_cli.platforms.detect import PLATFORMS, detect, read
from focus_cli.platforms.sample import Detection, RawSample

__all__ = ["PLATFORMS", "Detection", "RawSample", "describe", "detect", "read"]

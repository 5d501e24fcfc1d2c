"""Why an estimate is what it is: what came from the image, the reference, own counts, and those of neighbours."""

from focus_cli.enhancement.attribution.stage import WhyOptions, why

__all__ = ["WhyOptions", "why"]

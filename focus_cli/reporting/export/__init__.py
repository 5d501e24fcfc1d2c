"""An enhanced file and its answers as one thing for other programs: AnnData, SpatialData, Vitessce."""

from focus_cli.reporting.export.stage import FORMATS, export

__all__ = ["FORMATS", "export"]

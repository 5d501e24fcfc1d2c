"""From a raw vendor folder to a stored sample, checked against its image."""

from focus_cli.preprocessing.stage import keep_locations, preprocess

__all__ = ["keep_locations", "preprocess"]

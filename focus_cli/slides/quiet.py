"""tifffile without its log on standard error: what is wrong with a file is stated by the refusal of the file."""

from __future__ import annotations

import logging

import tifffile

# A logger with a handler does not fall back to standard error; handlers that a program sets up still get everything.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

__all__ = ["tifffile"]

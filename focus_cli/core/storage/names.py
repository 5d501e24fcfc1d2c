"""Names that may become a part of a path."""

from __future__ import annotations

import re

_SAMPLE_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def is_sample_id(text: str) -> bool:
    """Whether a text is safe as the name of a folder or file: letters, digits, dot, dash and underscore."""
    return _SAMPLE_ID.fullmatch(text) is not None


def sample_id_of(file_name: str, otherwise: str) -> str:
    """A sample id out of the name of a file up to its first dot; `otherwise` where nothing of it is left."""
    safe = "".join(c if (c.isalnum() and c.isascii()) or c in "-_" else "_" for c in file_name.split(".")[0])
    return safe.strip("_-")[:100] or otherwise

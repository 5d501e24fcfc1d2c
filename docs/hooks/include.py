"""Pages that are files at the top of the repository: ``<!-- include: CHANGELOG.md -->`` is replaced by the file.

Links of an included file lead from the top of the repository; they are rewritten to lead from the page.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
_INCLUDE = re.compile(r"^<!-- include: ([\w.-]+) -->$", re.MULTILINE)
_LINK = re.compile(r"(\]\()(?![a-z]+:|#|/)([^)\s]+)(\))")


def on_page_markdown(markdown: str, page, **_) -> str:
    """Called by mkdocs for every page before it is turned into HTML; registered before ``links.py``."""
    here = posixpath.dirname(f"docs/{page.file.src_uri}")

    def included(match: re.Match) -> str:
        text = (REPO / match[1]).read_text(encoding="utf-8")
        return _LINK.sub(lambda link: f"{link[1]}{posixpath.relpath(link[2], here)}{link[3]}", text)

    return _INCLUDE.sub(included, markdown)

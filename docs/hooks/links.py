"""Links of the pages to files outside of ``docs/`` lead to the repository."""

from __future__ import annotations

import posixpath
import re

REPOSITORY = "https://github.com/focus-st/focus-st/blob/main/"
_LINK = re.compile(r"(\]\()(\.\.?/[^)\s#]+)((?:#[^)\s]*)?\))")


def on_page_markdown(markdown: str, page, **_) -> str:
    """Called by mkdocs for every page before it is turned into HTML."""
    here = posixpath.dirname(f"docs/{page.file.src_uri}")

    def lead(match: re.Match) -> str:
        target = posixpath.normpath(posixpath.join(here, match[2]))
        return match[0] if target.startswith("docs/") else f"{match[1]}{REPOSITORY}{target}{match[3]}"

    return _LINK.sub(lead, markdown)

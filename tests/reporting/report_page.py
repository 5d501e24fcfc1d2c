"""Read a report as a browser would: elements, text, addresses."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

_VOID = {"meta", "img", "input", "br", "hr", "link"}


class Page(HTMLParser):
    """Collects tags, visible text and addresses; refuses elements that are not closed in order."""

    def __init__(self, path: Path) -> None:
        super().__init__(convert_charrefs=True)
        self.source = path.read_text(encoding="utf-8")
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.ids: set[str] = set()
        self.classes: list[str] = []
        self._text: list[str] = []
        self._open: list[str] = []
        self.feed(self.source)
        self.close()
        assert not self._open, f"left open: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        told = dict(attrs)
        self.addresses += [v for k, v in attrs if k in ("src", "href", "action", "data", "srcset") and v]
        self.classes += (told.get("class") or "").split()
        if told.get("id"):
            assert told["id"] not in self.ids, f"id twice: {told['id']}"
            self.ids.add(told["id"])
        if tag not in _VOID and not self.get_starttag_text().endswith("/>"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self._open and self.get_starttag_text().endswith("/>") and self._open[-1] != tag:
            return
        assert self._open and self._open[-1] == tag, f"</{tag}> closes {self._open[-1:]}"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._open):
            self._text.append(data)

    @property
    def text(self) -> str:
        """All visible text with single spaces."""
        return " ".join(" ".join(self._text).split())

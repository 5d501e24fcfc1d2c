"""Searches pages, help texts and messages for the words of ``prose.txt``: ``python docs/hooks/prose.py``.

Searched are the prose of Markdown pages (code, link targets and comments left out), the text of report templates, and
the string literals and docstrings of ``focus_cli``.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPO = Path(__file__).resolve().parents[2]
VOCABULARY = Path(__file__).with_name("prose.txt")
PAGES = ("*.md", "config/*.md", "docs/**/*.md", "benchmarks/**/*.md")
TEMPLATES = ("focus_cli/**/*.html.j2",)
CODE = ("focus_cli/**/*.py",)

# A fence may be indented below a list item, and a code span may run over a line break but not over an empty line.
_FENCE = re.compile(r"^ *(```+).*?^ *\1 *$", re.MULTILINE | re.DOTALL)
_SPAN = re.compile(r"(`+)(?!`)(?:(?!\n\s*\n).)+?(?<!`)\1(?!`)", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_TARGET = re.compile(r"(?<=\])\([^)\s]*\)")
_ADDRESS = re.compile(r"https?://\S+")
_TAG = re.compile(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|<(?:script|style)\b.*?</(?:script|style)>|<[^<>]*>", re.DOTALL)


@dataclass(frozen=True)
class Entry:
    """One phrase of the vocabulary.

    Attributes
    ----------
    phrase
        Compiled expression, with word boundaries.
    instead
        Words to write instead.
    everywhere
        Whether code is searched too, or pages alone.
    """

    phrase: re.Pattern[str]
    instead: str
    everywhere: bool


@dataclass(frozen=True)
class Finding:
    """A phrase of the vocabulary in a file; ``line`` counts from 1."""

    line: int
    text: str
    instead: str


def read_vocabulary(text: str) -> list[Entry]:
    """Entries of a vocabulary file.

    Raises
    ------
    ValueError
        A line is neither empty, a comment, a section nor an entry.
    """
    entries, section = [], ""
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        if line in ("[everywhere]", "[pages]"):
            section = line[1:-1]
            continue
        phrase, arrow, instead = line.partition(" -> ")
        if not (section and arrow and instead.strip()):
            raise ValueError(f"not an entry of the vocabulary: {line!r}")
        spaced = phrase.strip().replace(" ", r"\s+")
        entries.append(Entry(re.compile(rf"\b(?:{spaced})\b", re.IGNORECASE), instead.strip(), section == "everywhere"))
    return entries


def _blank(pattern: re.Pattern[str], text: str) -> str:
    """``text`` with every match replaced by line breaks alone, so that lines keep their numbers."""
    return pattern.sub(lambda match: "\n" * match[0].count("\n") or " ", text)


def prose_of_page(text: str) -> str:
    """Prose of a Markdown page, on the same lines."""
    for pattern in (_COMMENT, _FENCE, _SPAN, _TARGET, _ADDRESS):
        text = _blank(pattern, text)
    return text


def prose_of_template(text: str) -> str:
    """Text of an HTML template, without tags and expressions, on the same lines."""
    return _blank(_TAG, text)


def strings_of_code(source: str) -> Iterator[tuple[int, str]]:
    """First line and text of every string literal, docstrings included; values within an f-string become ``{}``."""
    pending = [ast.parse(source)]
    while pending:
        node = pending.pop()
        children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.JoinedStr):
            yield node.lineno, "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
            children = [child for child in children if not isinstance(child, ast.Constant)]
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.lineno, node.value
        pending += children


def search(prose: str, entries: list[Entry], line: int = 1) -> list[Finding]:
    """Findings in ``prose``, which begins on ``line``, in their order."""
    found = [(match.start(), match[0], entry) for entry in entries for match in entry.phrase.finditer(prose)]
    return [
        Finding(line + prose.count("\n", 0, start), " ".join(text.split()), entry.instead)
        for start, text, entry in sorted(found, key=lambda at: at[0])
    ]


def search_repository(root: Path, entries: list[Entry]) -> Iterator[tuple[Path, Finding]]:
    """Findings in all pages, templates and modules below ``root``, in the order of files and lines."""
    everywhere = [entry for entry in entries if entry.everywhere]
    for path in _files(root, PAGES):
        yield from ((path, finding) for finding in search(prose_of_page(_text(path)), entries))
    for path in _files(root, TEMPLATES):
        yield from ((path, finding) for finding in search(prose_of_template(_text(path)), everywhere))
    for path in _files(root, CODE):
        strings = sorted(strings_of_code(_text(path)))
        for line, text in strings:
            yield from ((path, finding) for finding in search(_blank(_SPAN, text), everywhere, line))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _files(root: Path, patterns: tuple[str, ...]) -> list[Path]:
    return sorted({path for pattern in patterns for path in root.glob(pattern) if path.is_file()})


def main() -> int:
    """Print all findings; 1 if there are any."""
    entries = read_vocabulary(_text(VOCABULARY))
    findings = list(search_repository(REPO, entries))
    for path, finding in findings:
        print(f"{path.relative_to(REPO)}:{finding.line}: {finding.text!r}; write: {finding.instead}")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())

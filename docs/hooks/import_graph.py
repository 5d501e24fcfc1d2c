"""Draws the imports between the packages of ``focus_cli`` into ``docs/architecture``: ``make import-graph``.

The arrows are read from the code by grimp, the library behind import-linter. Every import counts, also
within functions and for type checking.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path

import grimp
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

DOCS = Path(__file__).resolve().parents[1]
PAGE, PICTURE = DOCS / "architecture.md", DOCS / "architecture" / "imports.svg"
_MARKS = ("<!-- imports: made by `make import-graph` -->\n", "<!-- end of imports -->")


def arrows() -> Counter[tuple[str, str]]:
    """Importing and imported package → number of imports."""
    graph = grimp.build_graph("focus_cli", cache_dir=None)
    packages = sorted(name for name in graph.find_children("focus_cli") if graph.find_children(name))
    found: Counter[tuple[str, str]] = Counter()
    for module in graph.modules:
        for imported in graph.find_modules_directly_imported_by(module):
            ends = [next((p for p in packages if f"{m}.".startswith(f"{p}.")), None) for m in (module, imported)]
            if None not in ends and ends[0] != ends[1]:
                found[tuple(end.removeprefix("focus_cli.") for end in ends)] += len(
                    graph.get_import_details(importer=module, imported=imported)
                )
    return found


def levels(found: Counter[tuple[str, str]]) -> list[list[str]]:
    """Packages by level: each imports from levels further down only; the lowest first.

    Raises
    ------
    SystemExit
        If packages import one another in a circle.
    """
    names = sorted({name for arrow in found for name in arrow})
    below: list[list[str]] = []
    placed: set[str] = set()
    while len(placed) < len(names):
        level = [n for n in names if n not in placed and all(b in placed for a, b in found if a == n)]
        if not level:
            sys.exit(f"a circle among: {', '.join(n for n in names if n not in placed)}")
        below.append(level)
        placed.update(level)
    return below


def draw(found: Counter[tuple[str, str]], below: list[list[str]]) -> None:
    """Draw packages by level, arrows downwards; their width grows with the number of imports."""
    plt.rcParams["svg.hashsalt"] = "focus"
    place = {}
    for y, level in enumerate(below):
        for i, name in enumerate(level):
            place[name] = (6 * (i + 0.5) / len(level) + 0.35 * (y % 2), 1.25 * y)
    figure, axes = plt.subplots(figsize=(9, 8))
    for (a, b), n in sorted(found.items()):
        faint = b == "core"
        axes.annotate(
            "",
            place[b],
            place[a],
            arrowprops={
                "arrowstyle": "-|>",
                "color": "#b0bec5" if faint else "#3949ab",
                "alpha": 0.6 if faint else 0.85,
                "linewidth": 0.6 + n**0.5 / 6,
                "shrinkA": 16,
                "shrinkB": 16,
                "connectionstyle": "arc3,rad=0.06",
            },
        )
    for name, (x, y) in place.items():
        axes.text(
            x, y, name, ha="center", va="center", fontsize=11,
            bbox={"boxstyle": "round,pad=0.45", "facecolor": "white", "edgecolor": "#3949ab"},
        )  # fmt: skip
    axes.set_xlim(-0.4, 6.8)
    axes.set_ylim(-0.7, 1.25 * len(below) - 0.4)
    axes.axis("off")
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, bbox_inches="tight", metadata={"Date": None})


def table(found: Counter[tuple[str, str]], below: list[list[str]]) -> str:
    """Levels and their arrows as Markdown."""
    lines = [
        f"{len(found)} arrows between {sum(map(len, below))} packages on {len(below)} levels, no circle.",
        "",
        "| level | package | imports from |",
        "|---|---|---|",
    ]
    for number in range(len(below), 0, -1):
        for name in below[number - 1]:
            to = sorted(imported for importer, imported in found if importer == name)
            lines.append(f"| {number} | `{name}` | {', '.join(to) or '–'} |")
    return "\n".join(lines) + "\n"


def page_with(text: str, made: str) -> str:
    """The page with `made` between the marks."""
    before, after = map(re.escape, _MARKS)
    return re.sub(f"(?<={before}).*?(?={after})", lambda _: f"\n{made}\n", text, count=1, flags=re.DOTALL)


def main() -> None:
    found = arrows()
    below = levels(found)
    draw(found, below)
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), table(found, below)), encoding="utf-8")
    print(f"{len(found)} arrows, {len(below)} levels")


if __name__ == "__main__":
    main()

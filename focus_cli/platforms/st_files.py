"""Which files make a section of legacy ST: the folders of a data set, or files side by side as GEO holds them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from focus_cli.core.errors import MissingResourceError, UsageError
from focus_cli.platforms import images
from focus_cli.platforms.array_names import TABLE_ENDINGS, TableHead, counts_by_place, peek_table, places
from focus_cli.platforms.checks import choose_region


class File(StrEnum):
    """Folders of a data set, and the endings of its files."""

    COUNTS = "ST-cnts"
    SPOTS = "ST-spotfiles"
    IMAGES = "ST-imgs"
    SELECTION = "_selection.tsv"


COUNT_ENDINGS = (".tsv.gz", ".tsv", ".csv.gz", ".csv", ".txt.gz", ".txt")
LOOKS_FOR = (
    f"a section of a legacy ST data set: DATASET/{File.COUNTS}/SECTION.tsv.gz or DATASET/SECTION, or a table of "
    "counts and its table of spots (…_stdata.tsv.gz, …_spot_data-selection-….tsv.gz)"
)
_MOST_TABLES = 1000  # of a folder that are looked at
_LARGEST_PLACE = 100  # on the arrays in use, of 33 × 35 and 64 × 78 spots
_ACCESSION = re.compile(r"GSM\d+", re.IGNORECASE)
# Words of a file's name that state what is in it, not which section it is.
_KINDS = re.compile(
    r"(GSM|GSE)\d+|st|stdata|data|spots?|spotdata|spotfiles?|selections?|selected|all|counts?|cnts|matrix|filtered|"
    r"raw|tissue|he|h&e|image|img",
    re.IGNORECASE,
)
_SPOT_NAMES = re.compile(r"spot|select|pixel", re.IGNORECASE)


@dataclass(frozen=True)
class Section:
    """The files of one section; `image` and `spots` may be None."""

    name: str
    counts: Path
    spots: Path | None
    image: Path | None


def sections(dataset: Path) -> dict[str, Path]:
    """Section id → counts file of a data set in folders, in sorted order."""
    found = {}
    for file in sorted((dataset / File.COUNTS).iterdir()):
        ending = next((e for e in COUNT_ENDINGS if file.name.endswith(e)), None)
        if ending and file.is_file():
            found.setdefault(file.name.removesuffix(ending), file)
    return found


def split_dataset(path: Path) -> tuple[Path, str | None] | None:
    """Data-set folder and section id that a path means; None where no folders of a data set are there."""
    if (path / File.COUNTS).is_dir():
        return path, None
    if path.name == File.COUNTS and path.is_dir():
        return path.parent, None
    if path.parent.name == File.COUNTS:
        ending = next((e for e in COUNT_ENDINGS if path.name.endswith(e)), "")
        return path.parent.parent, path.name.removesuffix(ending)
    if not path.exists() and (path.parent / File.COUNTS).is_dir():
        return path.parent, path.name
    return None


def side_by_side(path: Path) -> dict[str, Section]:
    """Name → section of the tables in a folder, or of the section that a file belongs to.

    Counts are the tables whose rows (or columns) are places on the array; a table of spots states the pixels of
    places. They belong together by what their names share beside the words for their kinds.
    """
    folder = path if path.is_dir() else path.parent
    if not folder.is_dir():
        return {}
    tables = sorted(p for p in folder.iterdir() if p.name.lower().endswith(TABLE_ENDINGS) and p.is_file())
    heads = {p: _peek(p) for p in tables[:_MOST_TABLES]}
    spots = [p for p, head in heads.items() if head is not None and _is_spots(p, head)]
    counts = [p for p, head in heads.items() if head is not None and p not in spots and _is_counts(head)]
    found: dict[str, Section] = {}
    for file in counts:
        own = _belonging(file, spots, alone=len(counts) == 1)
        if path.is_file() and path not in (file, *own):
            continue
        name = "_".join(_words(file)) or file.name.split(".")[0]
        if name in found:
            name = file.name.split(".")[0]
        found[name] = Section(name, file, _choose_spots(own), _picture(file, alone=len(counts) == 1))
    return dict(sorted(found.items()))


def find_section(path: Path, region: str | None = None) -> Section:
    """Find the files of the section that `path` and `region` mean.

    Raises
    ------
    UsageError
        If there are several sections and none, or an unknown one, is chosen; or several images belong to it.
    MissingResourceError
        If there is no such section.
    """
    split = split_dataset(path)
    if split is None:
        found = side_by_side(path)
        if not found:
            raise MissingResourceError(f"{path}: no counts of a legacy ST section", hint=f"give {LOOKS_FOR}")
        return found[choose_region(path, list(found), region)]
    dataset, name = split
    known = sections(dataset)
    if name is None:
        if not known:
            raise MissingResourceError(
                f"{dataset / File.COUNTS} holds no table of counts", hint="its tables are called SECTION.tsv.gz"
            )
        name = choose_region(path, list(known), region)
    if name not in known:
        raise MissingResourceError(
            f"{dataset / File.COUNTS}: no section {name!r} ({name}.tsv.gz is missing)",
            hint=f"its sections: {', '.join(known) or 'none'}",
        )
    stem = File.SELECTION.removesuffix(".tsv")
    files = (dataset / File.SPOTS / f"{name}{stem}{ending}" for ending in COUNT_ENDINGS)
    spots = next((p for p in files if p.is_file()), None)
    folders = (dataset / File.IMAGES / name[:1] / name, dataset / File.IMAGES / name)
    pictures = [p for folder in folders if folder.is_dir() for p in _pictures(folder)]
    return Section(name, known[name], spots, _one(pictures))


def _peek(path: Path) -> TableHead | None:
    try:
        return peek_table(path)
    except UsageError:  # an archive of several files
        return None


def _is_spots(path: Path, head: TableHead) -> bool:
    """Whether a table states places on the array and their pixels."""
    named = {column.lower() for column in head.columns}
    return bool(_SPOT_NAMES.search(path.name)) and {"x", "y", "pixel_x", "pixel_y"} <= named


def _is_counts(head: TableHead) -> bool:
    at = places(head.places) if counts_by_place(head) else None
    return at is not None and at.max() <= _LARGEST_PLACE


def _words(path: Path) -> list[str]:
    """What the name of a file states of the section: its words without those for its kind."""
    stem = re.sub(r"\.(tsv|csv|txt|gz|jpe?g|png|tiff?|svs)(?=\.|$)", "", path.name, flags=re.IGNORECASE)
    return [word for word in re.split(r"[._\s-]+", stem) if word and not _KINDS.fullmatch(word)]


def _belonging(counts: Path, others: list[Path], *, alone: bool) -> list[Path]:
    """Those of `others` that belong to a table of counts: by their words, else by accession, else the only ones."""
    key = sorted(word.lower() for word in _words(counts))
    same = [p for p in others if sorted(word.lower() for word in _words(p)) == key]
    accession = _ACCESSION.search(counts.name)
    if not same and accession:
        same = [p for p in others if accession[0].lower() in p.name.lower()]
    return same or (others if alone else [])


def _choose_spots(files: list[Path]) -> Path | None:
    """A selection by hand before the table of all spots."""
    chosen = [p for p in files if "select" in p.name.lower()] or files
    if len(chosen) > 1:
        raise UsageError(
            f"{chosen[0].parent}: several tables of spots: {', '.join(p.name for p in chosen[:5])}",
            hint="keep the one of the section in its folder",
        )
    return chosen[0] if chosen else None


def _pictures(folder: Path) -> list[Path]:
    return [p for p in sorted(folder.iterdir()) if p.suffix.lower() in images.SUFFIXES and not images.never_he(p)]


def _picture(counts: Path, *, alone: bool) -> Path | None:
    pictures = _belonging(counts, _pictures(counts.parent), alone=False)
    return _one(pictures) if pictures or not alone else images.find_he([counts.parent])


def _one(pictures: list[Path]) -> Path | None:
    if len(pictures) > 1:
        raise UsageError(
            f"{pictures[0].parent}: several images: {', '.join(p.name for p in pictures[:5])}",
            hint="choose one with --image",
        )
    return pictures[0] if pictures else None

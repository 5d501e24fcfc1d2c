"""Where the files of a 10x sample lie: an ``outs`` folder, files with the sample's name in front, or an aggregated run.

Space Ranger writes a matrix beside a folder ``spatial``. Files that were downloaded one by one, as from GEO, lie in one
folder and carry an accession and the sample's name in front of the same names, often gzipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from focus_cli.core.errors import MissingResourceError, UsageError


class File(StrEnum):
    """File and folder names that Space Ranger writes."""

    SPATIAL = "spatial"
    FILTERED = "filtered_feature_bc_matrix"
    RAW = "raw_feature_bc_matrix"
    POSITIONS_1 = "tissue_positions_list.csv"  # Space Ranger 1: no header
    POSITIONS_2 = "tissue_positions.csv"  # Space Ranger 2 and later: header
    POSITIONS_PARQUET = "tissue_positions.parquet"  # Visium HD
    SCALEFACTORS = "scalefactors_json.json"
    HIRES = "tissue_hires_image.png"
    LOWRES = "tissue_lowres_image.png"
    CYTASSIST = "cytassist_image.tiff"
    OUTS = "outs"


POSITIONS = (File.POSITIONS_2, File.POSITIONS_1, File.POSITIONS_PARQUET)
_POSITIONS = re.compile(r"tissue_positions?(_list)?\.(csv|tsv|txt|parquet)(\.gz)?$", re.IGNORECASE)
_H5 = re.compile(r"(?P<kind>filtered|raw)_feature_bc_matrix(_h5)?\.h5$", re.IGNORECASE)
_MEMBERS = {
    "matrix": re.compile(r"matrix\.mtx(\.gz)?$", re.IGNORECASE),
    "features": re.compile(r"(features|genes)\.tsv(\.gz)?$", re.IGNORECASE),
    "barcodes": re.compile(r"barcodes\.tsv(\.gz)?$", re.IGNORECASE),
}
_OTHERS = {
    "scalefactors": re.compile(r"scalefactors(_json)?\.json(\.gz)?$", re.IGNORECASE),
    "hires": re.compile(r"tissue_hires_image\.png(\.gz)?$", re.IGNORECASE),
    "lowres": re.compile(r"tissue_lowres_image\.png(\.gz)?$", re.IGNORECASE),
}
_PACKED = re.compile(
    r"(feature_bc_matrix(_h5)?\.h5\.gz|(spatial|feature_bc_matrix)\.(tar(\.gz)?|tgz|zip))$", re.IGNORECASE
)
# Words between the sample's name and the file's that belong to neither.
_BETWEEN = re.compile(r"(^|[_.\- ]+)(spatial|outs|(filtered|raw)(_feature_bc_matrix)?)?[_.\- ]*$", re.IGNORECASE)


@dataclass(frozen=True)
class Matrix:
    """A count matrix: an ``.h5`` file, a folder of three files, or those three by role in `members`."""

    path: Path
    filtered: bool
    members: dict[str, Path] = field(default_factory=dict)


@dataclass(frozen=True)
class Files:
    """The files of one sample; what is not there is None. `name` is what stands in front of their names."""

    folder: Path
    name: str = ""
    matrix: Matrix | None = None
    positions: Path | None = None
    scalefactors: Path | None = None
    hires: Path | None = None
    lowres: Path | None = None

    @property
    def complete(self) -> bool:
        """Whether counts and positions are there."""
        return self.matrix is not None and self.positions is not None

    def filled(self, other: Files) -> Files:
        """These files, and those of `other` for what is not there."""
        values = {name: getattr(self, name) or getattr(other, name) for name in _SLOTS}
        return Files(self.folder, self.name or other.name, **values)


_SLOTS = ("matrix", "positions", "scalefactors", "hires", "lowres")


def _own(name: str) -> tuple[str, bool]:
    """The sample's name in front of a file's name, and whether words between the two are "raw"."""
    raw = False
    while name:
        found = _BETWEEN.search(name)
        if found is None or found.start() == len(name):
            break
        raw |= (found.group(2) or "").lower().startswith("raw")
        name = name[: found.start()]
    return name, raw


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    """What lies in `folder` and in its ``spatial`` folders, with the sample's name in front of such a folder's."""
    inner = [p for p in _listed(folder) if p.is_dir() and re.search(r"(^|[_.\-])spatial$", p.name, re.IGNORECASE)]
    for spatial in inner:
        name, _ = _own(spatial.name)
        for path in _listed(spatial):
            if path.is_file():
                yield name, path
    for path in _listed(folder):
        if path.is_file() or path.is_dir():
            yield "", path


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def find_files(folder: Path) -> dict[str, Files]:
    """Every sample that has a matrix or positions in `folder`: its name, ``""`` without one, → its files."""
    found: dict[str, dict] = {}
    members: dict[tuple[str, bool], dict[str, Path]] = {}
    for name, path in _entries(folder):
        if path.is_dir():
            kind = re.search(r"(filtered|raw)_feature_bc_matrix$", path.name, re.IGNORECASE)
            if kind:
                own, _ = _own(path.name)
                _take_matrix(found.setdefault(own, {}), Matrix(path, kind.group(1).lower() == "filtered"))
        elif match := _H5.search(path.name):
            own, _ = _own(path.name[: match.start()])
            matrix = Matrix(path, match.group("kind").lower() == "filtered")
            _take_matrix(found.setdefault(own or name, {}), matrix)
        elif match := _POSITIONS.search(path.name):
            own, _ = _own(path.name[: match.start()])
            if own.lower() != "aggr":
                slots = found.setdefault(own or name, {})
                if "positions" not in slots or _rank(path) < _rank(slots["positions"]):
                    slots["positions"] = path
        else:
            for role, pattern in (*_MEMBERS.items(), *_OTHERS.items()):
                if match := pattern.search(path.name):
                    own, raw = _own(path.name[: match.start()])
                    if role in _MEMBERS:
                        members.setdefault((own or name, raw), {}).setdefault(role, path)
                    else:
                        found.setdefault(own or name, {}).setdefault(role, path)
    for (name, raw), roles in members.items():
        if len(roles) == len(_MEMBERS):
            _take_matrix(found.setdefault(name, {}), Matrix(roles["matrix"], not raw, roles))
    return {name: Files(folder, name, **slots) for name, slots in sorted(found.items())}


def picture_files(folder: Path) -> Files:
    """Scale factors and thumbnails alone, of a folder whose locations are of another kind."""
    found = find_files(folder).get("", Files(folder))
    return Files(folder, "", None, None, found.scalefactors, found.hires, found.lowres)


def _rank(path: Path) -> tuple:
    """Which of several positions tables is read: Space Ranger's names first, in the order of its versions."""
    plain = path.name.lower().removesuffix(".gz")
    ranked = [i for i, name in enumerate(POSITIONS) if plain.endswith(name)]
    return (ranked[0] if ranked else len(POSITIONS), path.name.lower().endswith(".gz"), path.name)


def _take_matrix(slots: dict, matrix: Matrix) -> None:
    """Filtered before raw, h5 before mtx folders before three files."""

    def rank(m: Matrix) -> tuple:
        return (not m.filtered, bool(m.members), m.path.is_dir(), m.path.name)

    if "matrix" not in slots or rank(matrix) < rank(slots["matrix"]):
        slots["matrix"] = matrix


def choose_files(folder: Path, region: str | None = None) -> tuple[Files, list[str]]:
    """The files of the sample that is meant.

    Parameters
    ----------
    folder
        Holds the matrix and the positions, or ``spatial``.
    region
        The name in front of the files of one sample; needed where several samples lie in the folder.

    Returns
    -------
    files
        Those of one sample; counts and positions are there.
    notes
        Which other samples were left aside.

    Raises
    ------
    UsageError
        If there are several samples and none, or an unknown one, is chosen.
    MissingResourceError
        If the matrix or the positions are not there.
    """
    found = find_files(folder)
    whole = {name: files for name, files in found.items() if files.complete}
    if region is not None and whole:
        name = region if region in whole else _meant(region, list(whole))
        if name is None:
            listed = ", ".join(filter(None, whole)) or "none: its files have no name in front"
            raise UsageError(f"{folder}: no sample {region!r}", hint=f"the samples are {listed[:300]}")
        return whole[name], []
    if "" in whole:
        others = [name for name, files in found.items() if name and files.matrix is not None]
        notes = [f"{folder.name}: files of {', '.join(others[:5])} were left aside"] if others else []
        return whole[""], notes
    if len(whole) > 1:
        names = list(whole)
        listed = ", ".join(names[:8]) + (", …" if len(names) > 8 else "")
        raise UsageError(f"{folder} holds {len(names)} samples ({listed})", hint="choose one with --region")
    if len(whole) == 1:
        (name, files), others = next(iter(whole.items())), found.get("")
        return (files.filled(others) if others else files), []
    files = _joined(folder, found)
    if region is not None and region != files.name and _meant(region, [files.name]) is None:
        raise UsageError(
            f"{folder}: no sample {region!r}", hint=f"it holds one sample, {files.name!r}: leave --region out"
        )
    return files, []


def _meant(region: str, names: list[str]) -> str | None:
    """The one name of which `region` is a part that stands by itself: ``S1`` of ``GSM123_S1``."""
    fits = [name for name in names if re.search(rf"(^|[_.\- ]){re.escape(region)}($|[_.\- ])", name)]
    return fits[0] if len(fits) == 1 else None


def _joined(folder: Path, found: dict[str, Files]) -> Files:
    """One sample of which counts and positions are named differently; refused where that may be two samples."""
    counted = {name: files for name, files in found.items() if files.matrix is not None}
    placed = {name: files for name, files in found.items() if files.positions is not None}
    if len(counted) > 1:
        names = ", ".join(files.matrix.path.name for files in list(counted.values())[:5])
        raise UsageError(f"{folder}: several matrices: {names}", hint="keep each sample in a separate folder")
    if not counted:
        raise no_matrix(folder)
    if not placed:
        raise _no_positions(folder, next(iter(counted.values())))
    (name, files), others = next(iter(counted.items())), list(placed)
    if len(placed) == 1 and (name == "" or others[0] == "" or name in others[0] or others[0] in name):
        filled = files.filled(placed[others[0]])
        return filled.filled(found[""]) if "" in found else filled
    raise MissingResourceError(
        f"{folder}: the counts are of {name or 'a sample without name'!r}, the positions of "
        f"{', '.join(repr(other) for other in others[:5])}",
        hint=f"the files of one sample have one name in front: {name}_{File.POSITIONS_1}",
    )


def no_matrix(folder: Path) -> MissingResourceError:
    """The refusal of a folder without counts."""
    return MissingResourceError(
        f"{folder}: no count matrix: {File.FILTERED}.h5 (or its mtx folder) is missing",
        hint=_unpack(folder) or "give the outs folder of Space Ranger, with the matrix beside the spatial folder",
    )


def _no_positions(folder: Path, files: Files) -> MissingResourceError:
    spatial = folder / File.SPATIAL
    front = f"{files.name}_" if files.name else ""
    also = f"; beside {files.matrix.path.name} it is {front}{File.POSITIONS_1}(.gz)" if front else ""
    return MissingResourceError(
        f"{spatial}: no positions: {File.POSITIONS_2} (or {POSITIONS[1]}, {POSITIONS[2]}) is missing{also}",
        hint=_unpack(folder) or "give the outs folder of Space Ranger, with its spatial folder",
    )


def _unpack(folder: Path) -> str:
    """What lies in `folder` packed, and would have to be unpacked first."""
    packed = [path.name for path in _listed(folder) if _PACKED.search(path.name)]
    if not packed:
        return ""
    with_what = "gunzip" if packed[0].lower().endswith(".h5.gz") else "tar -x or unzip"
    return f"unpack {', '.join(packed[:3])} ({with_what}) in that folder first"


def named_sample(path: Path) -> str | None:
    """The sample that a file belongs to, by the name in front of the usual one; None for a file without one."""
    for pattern in (_H5, _POSITIONS, *_MEMBERS.values(), *_OTHERS.values()):
        if match := pattern.search(path.name):
            return _own(path.name[: match.start()])[0]
    return None

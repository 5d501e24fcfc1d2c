"""How often the image check refuses sections with their own H&E, and with one that is not theirs.

    FOCUS_DATA=... python benchmarks/image_mismatch.py

Prints the table of docs/registration.md: false alarms on every section whole and in parts, and detection of the H&E of
another section, of positions moved by more than the tissue, and of wrong scales. Simulated sections are made first.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from focus_cli import platforms
from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.histology.slides import open_slide
from focus_cli.platforms.preprocessing.image_fit import check_fit
from focus_cli.platforms.preprocessing.stage import keep_locations
from focus_cli.simulation import simulate

THUMBNAIL_PX = 1000
MOST_LOCATIONS = 20_000


@dataclass
class Section:
    """Locations (µm, counts, distance of neighbours) and a thumbnail with its µm per pixel."""

    xy: np.ndarray
    counts: np.ndarray
    pitch_um: float
    thumbnail: np.ndarray
    um_per_px: float

    @property
    def size_um(self) -> np.ndarray:
        """Width and height of the image."""
        return np.array(self.thumbnail.shape[1::-1]) * self.um_per_px


def load(raw: Path) -> Section:
    """Read a section as `focus preprocess` does."""
    sample = platforms.read(raw)
    adata, _ = keep_locations(sample.adata)
    mpp = sample.mpp / sample.image_transform.scale
    with open_slide(sample.image_path, mpp) as slide:
        thumbnail = slide.thumbnail(THUMBNAIL_PX)
        um = mpp * slide.width / thumbnail.shape[1]
    xy, counts = sample.image_transform(adata.obsm[keys.SPATIAL]) * mpp, adata.obs[keys.TOTAL_COUNTS].to_numpy()
    some = np.random.default_rng(0).permutation(len(xy))[:MOST_LOCATIONS]
    return Section(xy[some], counts[some], sample.footprint.pitch_um, thumbnail, um)


def refusal(section: Section, xy: np.ndarray, counts: np.ndarray | None = None, image: Section | None = None) -> str:
    """What the image check says of positions on an image; "" where it lets them pass."""
    image = image or section
    height, width = image.thumbnail.shape[:2]
    slide = SimpleNamespace(
        mpp=image.um_per_px, width=width, height=height, file_mpp=None, path=Path("image"), thumbnail=None
    )
    sample = SimpleNamespace(footprint=SimpleNamespace(pitch_um=section.pitch_um))
    counts = section.counts if counts is None else counts
    adata = SimpleNamespace(obsm={keys.SPATIAL_UM: xy}, obs={keys.TOTAL_COUNTS: _Column(counts)})
    try:
        check_fit(slide, image.thumbnail, sample, adata, force=False)
    except BadInputError as error:
        return error.message
    return ""


class _Column(np.ndarray):
    """Counts with the one method that the check asks of a table's column."""

    def __new__(cls, values):
        return np.asarray(values).view(cls)

    def to_numpy(self) -> np.ndarray:
        return np.asarray(self)


def parts(section: Section, rng: np.random.Generator, n: int) -> list[str]:
    """Refusals of half sections, cut by a line of any direction, that hold 40 locations at least."""
    found = []
    for _ in range(n):
        angle = rng.uniform(0, 2 * np.pi)
        along = section.xy @ [np.cos(angle), np.sin(angle)]
        kept = along > np.median(along)
        if kept.sum() >= 40:
            found.append(refusal(section, section.xy[kept], section.counts[kept]))
    return found


def moved(section: Section, rng: np.random.Generator, n: int) -> list[str]:
    """Refusals of positions turned by any angle and moved within the image by more than half of their extent."""
    low, high = section.xy.min(axis=0), section.xy.max(axis=0)
    centre, extent = (low + high) / 2, high - low
    found = []
    for _ in range(200 * n):
        angle = rng.uniform(0, 2 * np.pi)
        turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        shift = rng.uniform(-1, 1, 2) * section.size_um
        xy = (section.xy - centre) @ turn.T + centre + shift
        within = np.all((xy >= 0) & (xy <= section.size_um), axis=1).mean()
        if np.hypot(*(shift / extent)) > 0.5 and within > 0.8:
            found.append(refusal(section, xy))
            if len(found) == n:
                break
    return found


def share(found: list[str]) -> str:
    """How many of some trials were refused."""
    return f"{sum(map(bool, found))} of {len(found)}" if found else "—"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("FOCUS_DATA", "../shared/data")))
    parser.add_argument("--trials", type=int, default=10)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    sections = {c: load(options.data / f"st_her2_breast/ST-cnts/{c}.tsv.gz") for c in ("C2", "C3", "C4", "C5", "B4")}
    sections["kidney"] = load(options.data / "visium_hd_kidney")
    sections["colon"] = load(options.data / "sections/visium_colon")
    with tempfile.TemporaryDirectory() as folder:
        for number, platform in enumerate(("visium", "visium_hd", "legacy_st", "xenium")):
            out = Path(folder) / platform
            simulate(out, platform=platform, seed=number, size_um=2500, n_genes=60, mpp=2.0, n_sections=1)
            sections[f"simulated {platform}"] = load(next((out / "sections").iterdir()))
    print("| section | own image refused | halves refused | H&E of others refused | moved | scale × 0.5 | scale × 2 |")
    print("|---|---|---|---|---|---|---|")
    for name, section in sections.items():
        own = refusal(section, section.xy)
        columns = [int(bool(own))]
        halves = parts(section, rng, options.trials)
        others = [
            refusal(section, section.xy, image=other)
            for key, other in sections.items()
            # Slices of one tumour cannot be told apart.
            if key != name and not (key[0] == name[0] == "C") and not (key[0] == name[0] == "s")
        ]
        elsewhere = moved(section, rng, options.trials)
        columns += [
            f"{sum(map(bool, found))} of {len(found)}" if found else "—" for found in (halves, others, elsewhere)
        ]
        columns += ["yes" if refusal(section, section.xy * factor) else "no" for factor in (0.5, 2.0)]
        print(f"| {name} | {' | '.join(map(str, columns))} |", flush=True)
        for kind, found in (("own", [own]), ("half", halves)):
            for message in filter(None, found):
                print(f"  {kind}: {message}", flush=True)


if __name__ == "__main__":
    main()

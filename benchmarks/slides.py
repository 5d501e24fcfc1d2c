"""How fast tiles of a slide are read, next to tifffile with threads and openslide, and in how much memory.

    python benchmarks/slides.py                         # makes a 20k × 20k JPEG pyramid in a temporary folder
    python benchmarks/slides.py --sections speed svs    # only these
    python benchmarks/slides.py --work scratch --features

Every reader decodes every tile of level 0. Within a run the readers take turns at every half of the slide, so
that a machine that others use is slow for all; a ratio is the median over the runs of the ratio within a run.
`raw` is what the decoder can do: each thread fetches the bytes of its share of the tiles by `os.pread`, decodes
them by tifffile's own `page.decode`, and throws the pixels away. All files are in the page cache: each reader has
read them once before.

Memory is the peak resident set of a fresh process that iterates over all tiles of a slide; the larger slides
repeat 64 tiles on disk (their tables of tiles are as long as those of any slide of that size).
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np

REPO = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(Path(__file__).resolve().parent))

from slide_maker import write_pyramid  # noqa: E402

SECTIONS = ("speed", "svs", "memory")
LEAST_READ, LEAST_OPENSLIDE, LEAST_ITERATOR = 0.9, 4.0, 0.75
MEMORY_SIDES = (20_000, 50_000, 100_000)
SLICES = 2


class Readers:
    """All readers of level 0 of one tiled TIFF, in its own tiles."""

    def __init__(self, path: Path, repeat: int = 1) -> None:
        import openslide
        import tifffile

        from focus_cli.histology.slides import open_slide, tile_slide

        self.page = tifffile.TiffFile(path).pages[0]
        self.page.decode  # noqa: B018 - made at the first use
        self.tile_px, self.across = self.page.tilewidth, -(-self.page.imagewidth // self.page.tilewidth)
        self.n = len(self.page.dataoffsets)
        self.file = path.open("rb", buffering=0)
        self.openslide = openslide.OpenSlide(str(path))
        self.slide = open_slide(path)
        self.tiling = tile_slide(self.slide, self.tile_px, self.slide.require_mpp())
        if len(self.tiling) != self.n:
            raise SystemExit(f"{path}: {len(self.tiling)} tiles in the tiling, {self.n} in the file")
        self.repeat = repeat

    def corner(self, number: int) -> tuple[int, int]:
        return number % self.across * self.tile_px, number // self.across * self.tile_px

    def raw(self, numbers: range) -> None:
        page, fd = self.page, self.file.fileno()
        tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}
        for i in numbers:
            page.decode(os.pread(fd, page.databytecounts[i], page.dataoffsets[i]), i, **tables)

    def by_openslide(self, numbers: range) -> None:
        for i in numbers:
            np.asarray(self.openslide.read_region(self.corner(i), 0, (self.tile_px, self.tile_px)))

    def read(self, numbers: range) -> None:
        for i in numbers:
            self.slide.read(*self.corner(i), self.tile_px, self.tile_px)

    def run(self, threads: int) -> dict[str, Rate]:
        """One run of every reader, which take turns at the slices of the slide."""
        slices = [range(k * self.n // SLICES, (k + 1) * self.n // SLICES) for k in range(SLICES)] * self.repeat
        rates = {name: Rate() for name in LABELS}
        for numbers in slices:
            for name, rate in rates.items():
                with rate.measured(len(numbers)):
                    self.READERS[name](self, numbers, threads)
        return rates

    def _shared_out(self, work: Callable[[range], None], numbers: range, threads: int) -> None:
        n = len(numbers)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, [numbers[k * n // threads : (k + 1) * n // threads] for k in range(threads)]))

    def _iterated(self, numbers: range, threads: int) -> None:
        """Through the whole iterator, with an encoder that does nothing."""
        from focus_cli.histology.slides import iterate_tiles

        batches = iterate_tiles(self.slide, self.tiling, threads=threads, rows=np.array(numbers))
        if sum(len(batch.index) for batch in batches) != len(numbers):
            raise SystemExit("tiles got lost in the iterator")

    READERS: ClassVar = {
        "raw": lambda self, *how: self._shared_out(self.raw, *how),
        "read": lambda self, *how: self._shared_out(self.read, *how),
        "iterator": lambda self, *how: self._iterated(*how),
        "openslide": lambda self, *how: self._shared_out(self.by_openslide, *how),
    }


class Rate:
    """Tiles, wall time and CPU time of one reader."""

    def __init__(self) -> None:
        self.tiles, self.wall, self.cpu = 0, 0.0, 0.0

    @contextmanager
    def measured(self, tiles: int) -> Iterator[None]:
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.tiles += tiles
        self.wall += time.perf_counter() - wall
        self.cpu += time.process_time() - cpu

    @property
    def per_second(self) -> float:
        return self.tiles / self.wall

    @property
    def cpu_us(self) -> float:
        return 1e6 * self.cpu / self.tiles


LABELS = {
    "raw": "tifffile page decode, `os.pread`",
    "read": "`Slide.read`",
    "iterator": "`iterate_tiles`, no-op encoder",
    "openslide": "openslide-python",
}
BARS = (("read", "raw", LEAST_READ), ("read", "openslide", LEAST_OPENSLIDE), ("iterator", "raw", LEAST_ITERATOR))


def speed(title: str, path: Path, runs: int, repeat: int = 1) -> bool:
    """Print the table of one file; whether it keeps all bars with all threads."""
    cores = len(os.sched_getaffinity(0))
    counts = sorted({1, cores})
    readers = Readers(path, repeat)
    readers.run(cores)  # warm
    found: dict[int, list[dict[str, Rate]]] = {threads: [] for threads in counts}
    for number in range(runs):
        for threads in counts:
            found[threads].append(readers.run(threads))
            line = ", ".join(f"{name} {rate.per_second:.0f}" for name, rate in found[threads][-1].items())
            print(f"run {number + 1}, {threads} thread(s): {line}", file=sys.stderr, flush=True)

    def median(threads: int, name: str, figure: str) -> float:
        return statistics.median(getattr(run[name], figure) for run in found[threads])

    print(f"\n### {title}: {readers.n} tiles of {readers.tile_px} px, {runs} runs\n")
    heads = "".join(f" tiles/s, {n} thread{'s' if n > 1 else ''} | CPU µs a tile |" for n in counts)
    print(f"| reader |{heads}\n|---|" + "---:|---:|" * len(counts))
    for name, label in LABELS.items():
        cells = (f" {median(n, name, 'per_second'):,.0f} | {median(n, name, 'cpu_us'):,.0f} |" for n in counts)
        print(f"| {label} |" + "".join(cells))
    kept = True
    for name, of, least in BARS:
        ratios = [statistics.median(run[name].per_second / run[of].per_second for run in found[n]) for n in counts]
        print(f"| {name} / {of} (at least {least:g}) |" + "".join(f" {ratio:.2f} | |" for ratio in ratios))
        kept &= ratios[-1] >= least
    return kept


def iterate_whole(path: Path) -> None:
    """Iterate over a slide in this process and print tiles, seconds and peak bytes."""
    from focus_cli.histology.slides import iterate_tiles, open_slide, tile_slide

    started = time.perf_counter()
    with open_slide(path) as slide:
        tiling = tile_slide(slide, 256, slide.require_mpp())
        for _ in iterate_tiles(slide, tiling):
            pass
    with open("/proc/self/status", encoding="ascii") as status:
        peak = next(int(line.split()[1]) * 1024 for line in status if line.startswith("VmHWM"))
    print(len(tiling), time.perf_counter() - started, peak)


def memory(work: Path) -> None:
    """Print the peak memory of iterating over three sizes."""
    print("\n### Memory: all 256 px tiles, batches of 64, 4 ahead\n")
    print("| slide | tiles | file, MB | peak RSS, MB | tiles per second |\n|---|---:|---:|---:|---:|")
    for side in MEMORY_SIDES:
        path = work / f"repeated_{side}.tif"
        if not path.is_file():
            write_pyramid(path, side, repeated=True)
        command = [sys.executable, __file__, "--iterate", str(path)]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        tiles, seconds, peak = map(float, output.split())
        row = f"{tiles:,.0f} | {path.stat().st_size / 1e6:.0f} | {peak / 1e6:.0f} | {tiles / seconds:,.0f}"
        print(f"| {side:,} × {side:,} px | {row} |", flush=True)


def features(work: Path) -> None:
    """Print what benchmarks/slide_features.py measures: encoders through the whole path, and their memory."""
    print("\n### Encoders\n", flush=True)
    # A process of its own: a child inherits the peak of memory of whoever starts it.
    subprocess.run([sys.executable, Path(__file__).with_name("slide_features.py"), "--work", work], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, help="folder for the slides that are made, kept; default: temporary")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--side", type=int, default=20_000, help="px of the slide of the speed section")
    parser.add_argument("--sections", nargs="+", choices=SECTIONS, default=SECTIONS)
    parser.add_argument("--features", action="store_true", help="also the throughput and memory of encoders")
    parser.add_argument("--iterate", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.iterate:
        iterate_whole(options.iterate)
        return 0
    kept = True
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        if "speed" in options.sections:
            path = work / f"distinct_{options.side}.tif"
            if not path.is_file():
                write_pyramid(path, options.side)
            kept &= speed(f"{options.side:,} × {options.side:,} px JPEG pyramid", path, options.runs)
        if "svs" in options.sections:
            data = Path(os.environ.get("FOCUS_DATA", REPO.parent / "shared" / "data"))
            path = data / "wsi" / "cmu_small_region.svs"
            if path.is_file():
                kept &= speed(f"{path.name}, every run 20 times over", path, options.runs, repeat=20)
            else:
                print(f"no {path}: set FOCUS_DATA", file=sys.stderr)
        if "memory" in options.sections:
            memory(work)
        if options.features:
            features(work)
    print(f"\nall bars kept: {'yes' if kept else 'no'}")
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())

"""How fast slides are encoded, and how far memory grows with the slide.

    python benchmarks/slide_features.py
    python benchmarks/slide_features.py --slide real.svs --encoder imagenet-lite0 --rounds 5

*Throughput*: tiles per second of `extract_features` as a whole (decoding, encoding, half precision, writing) against
the same encoder on tiles that lie in memory, in turns, medians over the rounds. On a GPU also the share of the time in
which it waits. *Memory*: peak of a process that extracts slides of three sizes. *Half precision*: what float16 costs.

Without `--slide` a pyramid of JPEG tiles is drawn; those of the memory test repeat the same compressed tiles, so that
a slide of 100,000 × 100,000 px fits on any disk while every one of its tiles is decoded. The whole path begins
with a hash of the slide and its tissue mask, about a second; on a whole slide that is nothing, on the tiles of a round
it is some: hence also the ratio from the first tile to the last, of elapsed and (free of other work) processor time.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from slide_maker import write_pyramid

MEMORY_SIDES = (25_000, 50_000, 100_000)
ENCODERS = ("imagenet-lite0", "random:tiny")


class ColourGrid:
    """An encoder that costs next to nothing: mean colour of 16 × 16 parts of a tile, from every fourth pixel."""

    def __init__(self, tile_px: int = 256, mpp: float = 0.5) -> None:
        from focus_cli.histology import EncoderInfo

        zeros, ones = (0.0,) * 3, (1.0,) * 3
        self.info = EncoderInfo("colour-grid", "0" * 12, mpp, tile_px, zeros, ones, 768, 1, "none", "benchmark")

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        """Means of the parts, 0..1."""
        some = tiles[:, ::4, ::4]
        parts = some.reshape(len(tiles), 16, some.shape[1] // 16, 16, -1, 3)
        return parts.mean(axis=(2, 4), dtype=np.float32).reshape(len(tiles), 1, 1, -1) / 255


def throughput(
    slide_path: Path,
    encoder: str = "imagenet-lite0",
    *,
    tiles: int = 400,
    rounds: int = 5,
    device: str = "auto",
    precision: str = "float32",
    batch: int = 32,
) -> dict[str, Any]:
    """Time the whole path against the encoder alone, in turns, on the first `tiles` tiles of the slide.

    Returns
    -------
    dict
        ``alone`` and ``whole`` (tiles per second, medians), ``ratio`` (median of the rounds' own), ``ratios``,
        ``loop_ratio`` and
        ``cpu_ratio`` (elapsed and processor times from the first tile to the last)
        and on a GPU ``waits`` (share of the time of the whole path in which it has no work).
    """
    from focus_cli.histology.encoders import open_encoder
    from focus_cli.histology.features.encoded import extract_features
    from focus_cli.histology.slides import open_slide
    from focus_cli.histology.slides.prefetch import iterate_tiles
    from focus_cli.histology.slides.tiling import Tiling

    network = open_encoder(encoder, device=device, precision=precision, batch=batch)
    on_gpu = getattr(network, "device", "cpu") == "cuda"
    info = network.info
    with open_slide(slide_path) as slide:
        mpp = slide.require_mpp()
        side = int(tiles**0.5)
        extent = side * info.tile_um
        bounds = _tissue_box(slide, mpp, extent)
        alone, whole, ratios, loops, cpu, waits = [], [], [], [], [], []
        with tempfile.TemporaryDirectory() as folder:
            for round_ in range(rounds + 1):  # the first warms up
                out = Path(folder) / f"{round_}.zarr"
                meter = _Meter(network, on_gpu)
                begin = time.perf_counter()
                made = extract_features(slide, meter, out, mpp_image=mpp, bounds_um=bounds, batch=batch)
                spent, n = time.perf_counter() - begin, made["tiles"]
                looped, worked = (last - first for first, last in zip(meter.first, meter.last, strict=True))
                if round_ == 0:
                    x, y = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
                    centres = np.stack([x.ravel(), y.ravel()], 1) * info.tile_um + np.array(bounds[:2])
                    read = iterate_tiles(slide, Tiling(info.tile_px, info.mpp, centres / mpp), batch=batch)
                    memory = [tile_batch.pixels for tile_batch in read]
                begin, work, done, k = time.perf_counter(), time.process_time(), 0, 0
                while done < n:
                    network.encode(memory[k % len(memory)])
                    done, k = done + len(memory[k % len(memory)]), k + 1
                by_itself, its_work = (time.perf_counter() - begin) / done, (time.process_time() - work) / done
                if round_:
                    alone.append(1 / by_itself)
                    whole.append(n / spent)
                    ratios.append(by_itself / (spent / n))
                    cpu.append(its_work / (worked / n))
                    loops.append(by_itself / (looped / n))
                    waits.append(1 - meter.busy / looped)
    result = {
        "encoder": encoder,
        "device": "cuda" if on_gpu else "cpu",
        "tiles": n,
        "alone": statistics.median(alone),
        "whole": statistics.median(whole),
        "ratio": statistics.median(ratios),
        "ratios": ratios,
        "loop_ratio": statistics.median(loops),
        "cpu_ratio": statistics.median(cpu),
    }
    return result | ({"waits": statistics.median(waits)} if on_gpu else {})


class _Meter:
    """Passes tiles on and adds up the time for which the encoder works."""

    def __init__(self, network: Any, on_gpu: bool) -> None:
        self.info, self.device, self._network, self._on_gpu = network.info, "cuda" if on_gpu else "cpu", network, on_gpu
        self.busy = 0.0
        self.first: tuple[float, float] | None = None  # elapsed and processor time at the first tile
        self.last = (0.0, 0.0)

    def encode(self, tiles: np.ndarray) -> np.ndarray:
        begin = time.perf_counter()
        self.first = self.first or (begin, time.process_time())
        out = self._network.encode(tiles)  # ends with a copy to the host, which waits for the GPU
        end = time.perf_counter()
        self.busy += end - begin
        self.last = end, time.process_time()
        return out


def _tissue_box(slide: Any, mpp: float, extent: float) -> tuple[float, float, float, float]:
    """A square of `extent` µm with as much tissue as there is."""
    from scipy import ndimage

    from focus_cli.histology.features.extract import tissue_fraction
    from focus_cli.histology.features.grid import Grid

    step = max(extent / 16, 16.0)
    grid = Grid.over(0, 0, slide.width * mpp, slide.height * mpp, step)
    fraction = ndimage.uniform_filter(tissue_fraction(slide, mpp, grid), 16, mode="constant")
    row, column = np.unravel_index(np.argmax(fraction), fraction.shape)
    x = min(max(grid.x[column] - extent / 2, 0), max(slide.width * mpp - extent, 0))
    y = min(max(grid.y[row] - extent / 2, 0), max(slide.height * mpp - extent, 0))
    return x, y, x + extent, y + extent


def memory(paths: list[Path], threads: int | None = None) -> list[dict[str, Any]]:
    """Extract each slide in a process of its own with an encoder that costs next to nothing; peak RSS, MB."""
    rows = []
    for path in paths:
        with tempfile.TemporaryDirectory() as folder:
            command = [
                sys.executable,
                __file__,
                "--child",
                str(path),
                str(Path(folder) / "out.zarr"),
                str(threads or 2),
            ]
            answer = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(answer.stdout.splitlines()[-1]))
    return rows


def _child(path: str, out: str, threads: str) -> None:
    from focus_cli.histology.features.encoded import extract_features
    from focus_cli.histology.slides import open_slide

    with open_slide(path) as slide:
        base = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        begin = time.perf_counter()
        made = extract_features(slide, ColourGrid(), out, mpp_image=slide.require_mpp(), threads=int(threads))
        spent = time.perf_counter() - begin
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        written = sum(f.stat().st_size for f in Path(out).rglob("*") if f.is_file()) / 2**20
        row = {
            "slide": f"{slide.width:,} × {slide.height:,}",
            "tiles": made["tiles"],
            "before_mb": base,
            "peak_mb": peak,
            "features_mb": written,
            "seconds": spent,
        }
    print(json.dumps(row))


def half_precision(slide_path: Path, encoder: str, tiles: int = 400, seed: int = 0) -> dict[str, Any]:
    """What storing float16 loses: of the features, and of a ridge regression on them.

    The ridge predicts, from 3/4 of the tiles, the mean colour and its spread of the others; its predictions from
    float16 and float32 features are compared.

    Returns
    -------
    dict
        ``relative`` (largest |Δ| over each feature's standard deviation), ``mean_relative``, ``prediction`` (largest
        |Δ| of the prediction over the standard deviation of the target), ``r`` (correlation of both predictions),
        ``r2_float32`` and ``r2_float16`` on the held-out tiles.
    """
    from sklearn.linear_model import RidgeCV

    from focus_cli.histology.encoders import open_encoder
    from focus_cli.histology.slides import open_slide
    from focus_cli.histology.slides.prefetch import iterate_tiles
    from focus_cli.histology.slides.tiling import Tiling

    network = open_encoder(encoder, device="cpu")
    info = network.info
    with open_slide(slide_path) as slide:
        mpp = slide.require_mpp()
        side = int(tiles**0.5)
        box = _tissue_box(slide, mpp, side * info.tile_um)
        x, y = np.meshgrid(np.arange(side) + 0.5, np.arange(side) + 0.5)
        centres = np.stack([x.ravel(), y.ravel()], 1) * info.tile_um + np.array(box[:2])
        full, target = [], []
        for part in iterate_tiles(slide, Tiling(info.tile_px, info.mpp, centres / mpp), batch=32):
            full.append(network.encode(part.pixels)[:, 0, 0])
            middle = part.pixels[:, ::8, ::8].astype(np.float32)
            target.append(np.concatenate([middle.mean((1, 2)), middle.std((1, 2))], 1))
    full, target = np.concatenate(full), np.concatenate(target)
    half = full.astype(np.float16).astype(np.float32)
    sd = full.std(0) + 1e-12
    error = np.abs(half - full) / sd
    order = np.random.default_rng(seed).permutation(len(full))
    train, test = order[: len(order) * 3 // 4], order[len(order) * 3 // 4 :]
    predictions, scores = [], []
    for values in (full, half):
        mean, spread = values[train].mean(0), values[train].std(0) + 1e-6
        standard = np.clip((values - mean) / spread, -5, 5)
        ridge = RidgeCV(np.logspace(-1, 5, 13)).fit(standard[train], target[train])
        predictions.append(ridge.predict(standard[test]))
        scores.append(ridge.score(standard[test], target[test]))
    return {
        "encoder": encoder,
        "relative": float(error.max()),
        "mean_relative": float(error.mean()),
        "prediction": float((np.abs(predictions[0] - predictions[1]) / target.std(0)).max()),
        "r": float(np.corrcoef(predictions[0].ravel(), predictions[1].ravel())[0, 1]),
        "r2_float32": float(scores[0]),
        "r2_float16": float(scores[1]),
    }


def to_markdown(speed: list[dict[str, Any]], grown: list[dict[str, Any]], halves: list[dict[str, Any]]) -> str:
    """The figures as tables."""
    lines = []
    if speed:
        lines += [
            "| encoder | device | alone, tiles/s | whole path, tiles/s | ratio (bar 0.9) | all rounds "
            "| first to last tile | the same, processor time | GPU waits |",
            "|---|---|---|---|---|---|---|---|---|",
        ]
        for row in speed:
            waits = f"{100 * row['waits']:.0f} %" if "waits" in row else "–"
            rounds = ", ".join(f"{r:.2f}" for r in row["ratios"])
            lines.append(
                f"| {row['encoder']} | {row['device']} | {row['alone']:.1f} | {row['whole']:.1f} | {row['ratio']:.3f} "
                f"| {rounds} | {row['loop_ratio']:.3f} | {row['cpu_ratio']:.3f} | {waits} |"
            )
        lines.append("")
    if grown:
        lines += [
            "| slide, px | tiles | features written, MB | time, s | RSS before, MB | peak RSS, MB |",
            "|---|---|---|---|---|---|",
        ]
        for row in grown:
            lines.append(
                f"| {row['slide']} | {row['tiles']:,} | {row['features_mb']:.1f} | {row['seconds']:.0f} "
                f"| {row['before_mb']:.0f} | {row['peak_mb']:.0f} |"
            )
        lines.append("")
    if halves:
        lines += [
            "| encoder | largest error / sd | mean error / sd | largest change of a ridge prediction / sd "
            "| r of both predictions | R² float32 | R² float16 |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in halves:
            lines.append(
                f"| {row['encoder']} | {row['relative']:.1e} | {row['mean_relative']:.1e} | {row['prediction']:.1e} "
                f"| {row['r']:.8f} | {row['r2_float32']:.5f} | {row['r2_float16']:.5f} |"
            )
    return "\n".join(lines)


def run(
    work: Path,
    *,
    slide: Path | None = None,
    encoders: tuple[str, ...] = ENCODERS,
    only: str | None = None,
    rounds: int = 5,
    tiles: int | None = None,
    precision: str = "float32",
    out: Path | None = None,
) -> None:
    """Measure and print the tables; slides that are drawn lie in `work`, and are taken from there the next time."""
    speed, grown, halves = [], [], []
    if only in (None, "memory"):  # first: a child inherits the peak of memory of whoever starts it
        grown = memory([_drawn(work / f"repeated_{side}.tif", side, repeated=True) for side in MEMORY_SIDES])
    if slide is None and only != "memory":
        slide = _drawn(work / "distinct_8000.tif", 8000, repeated=False)
    if only in (None, "throughput"):
        for name in encoders:
            n = tiles or (900 if name == "imagenet-lite0" else 2500)
            speed.append(throughput(slide, name, tiles=n, rounds=rounds, precision=precision))
    if only in (None, "half"):
        halves = [half_precision(slide, name) for name in encoders]
    print(to_markdown(speed, grown, halves))
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"throughput": speed, "memory": grown, "half": halves}, indent=1))


def _drawn(path: Path, side: int, repeated: bool) -> Path:
    if not path.is_file():
        write_pyramid(path, side, repeated=repeated)
    return path


def main() -> None:
    """Run what was asked for and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--slide", type=Path, help="a slide to encode; default: one that is drawn")
    parser.add_argument("--encoder", action="append", help=f"default: {' and '.join(ENCODERS)}")
    parser.add_argument("--only", choices=["throughput", "memory", "half"])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--tiles", type=int, help="per round")
    parser.add_argument("--threads", type=int, help="of the network; default: one per core")
    parser.add_argument("--precision", default="float32")
    parser.add_argument("--work", type=Path, help="folder for the slides that are made, kept; default: temporary")
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        _child(*options.child)
        return
    import torch  # some 200 MB, which every row of the table has before it begins

    torch.set_num_threads(options.threads or len(os.sched_getaffinity(0)))
    with tempfile.TemporaryDirectory() as scratch:
        work = options.work or Path(scratch)
        work.mkdir(parents=True, exist_ok=True)
        run(
            work,
            slide=options.slide,
            encoders=tuple(options.encoder or ENCODERS),
            only=options.only,
            rounds=options.rounds,
            tiles=options.tiles,
            precision=options.precision,
            out=options.out,
        )


if __name__ == "__main__":
    main()

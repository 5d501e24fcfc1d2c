"""The work of one extraction: tiles through the encoder, shard by shard, into the raster."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import Task, task
from focus_cli.histology.features.encoded_plan import TilePlan, wanted_cells
from focus_cli.histology.features.extract import tissue_fraction
from focus_cli.histology.features.feature_store import PartialExtraction, partial_extraction

if TYPE_CHECKING:
    from focus_cli.histology.encoder import Encoder
    from focus_cli.histology.slides.slide import Slide

VERSION = 1  # of how vectors are laid on the grid


class Extraction:
    """One running extraction; the parameters are those of `focus_cli.histology.features.encoded.extract_features`."""

    def __init__(
        self,
        slide: Slide,
        encoder: Encoder,
        plan: TilePlan,
        mpp_image: float,
        batch: int,
        threads: int | None,
        max_damaged: float,
    ) -> None:
        self.slide, self.encoder, self.plan = slide, encoder, plan
        self.mpp_image, self.batch, self.max_damaged = mpp_image, batch, max_damaged
        # On the CPU the encoder needs the cores: one thread decodes faster than networks encode.
        on_cpu = getattr(encoder, "device", "cpu") == "cpu"
        self.threads = 1 if threads is None and on_cpu else threads
        self.dim = encoder.info.dim

    def write(self, target: Path, identity: dict[str, Any], resume: bool) -> None:
        """Make the raster, or what is missing of it."""
        tissue = tissue_fraction(self.slide, self.mpp_image, self.plan.grid)
        wanted = wanted_cells(tissue)
        counts = [len(self.plan.tiles(wanted, shard)) for shard in self.plan.shards]
        total = sum(counts)
        if not total:
            raise BadInputError(
                f"no tissue was found on {self.slide.path}: there is nothing to encode",
                hint="check that it is an H&E, and the bounds",
            )
        values = self.plan.used**2 * self.dim + 1
        with partial_extraction(target, {**identity, "batch": self.batch}, values, resume) as partial:
            group = self._begin(partial, tissue, identity, total)
            with task(f"encoding with {self.encoder.info.name}", total=total) as running:
                for number, (shard, count) in enumerate(zip(self.plan.shards, counts, strict=True)):
                    if count and not partial.is_done(number):
                        bearable = self.max_damaged * total - partial.progress["damaged"]
                        share = min(1.0, max(0.0, bearable / count))
                        damaged = self._shard(partial, group["features"], number, shard, wanted, share, running)
                        partial.finish(number, damaged)
                    else:
                        running.advance(count)
            group.attrs["damaged_tiles"] = partial.progress["damaged"]

    def _begin(self, partial: PartialExtraction, tissue: np.ndarray, identity: dict[str, Any], tiles: int):
        import zarr

        if not partial.is_new:
            return zarr.open_group(store=str(partial.raster), mode="r+", zarr_format=3)
        grid, info, plan = self.plan.grid, self.encoder.info, self.plan
        attributes = {
            "version": VERSION,
            "origin_um": [grid.x0, grid.y0],
            "step_um": float(grid.step),
            "names": [f"{info.name}@{info.digest}/{k:04d}" for k in range(info.dim)],
            "encoder": asdict(info),
            "slide_sha256": identity["slide"],
            "mpp_image": self.mpp_image,
            "tiles": tiles,
            "damaged_tiles": 0,
        }
        group = zarr.open_group(store=str(partial.raster), mode="w", zarr_format=3, attributes=attributes)
        group.create_array(
            "features",
            shape=(grid.rows, grid.columns, info.dim),
            chunks=(plan.chunk, plan.chunk, info.dim),
            shards=(plan.shard, plan.shard, info.dim),
            dtype="float16",
            fill_value=0,
        )
        stored = group.create_array("tissue", shape=tissue.shape, chunks=(512, 512), dtype="float32")
        stored[:] = tissue
        partial.finish(None)
        return group

    def _shard(
        self,
        partial: PartialExtraction,
        features: Any,
        number: int,
        shard: tuple[int, int],
        wanted: np.ndarray,
        max_damaged: float,
        running: Task,
    ) -> int:
        """Encode what is missing of a shard, write it; return how many of its tiles are damaged."""
        from focus_cli.histology.slides.prefetch import iterate_tiles
        from focus_cli.histology.slides.tiling import Tiling

        tiles = self.plan.tiles(wanted, shard)
        done = len(tiles) if partial.whole(number, len(tiles)) else partial.kept(number, self.batch)
        running.advance(done)
        if done < len(tiles):
            info = self.encoder.info
            # The sample's µm, not the file's, decide what an encoder's µm per pixel are.
            mpp = info.mpp * self.slide.require_mpp() / self.mpp_image
            tiling = Tiling(info.tile_px, mpp, self.plan.centres_um(tiles) / self.mpp_image)
            rows = np.arange(done, len(tiles))
            with partial.appending(number) as append:
                for tile_batch in iterate_tiles(
                    self.slide, tiling, batch=self.batch, threads=self.threads, rows=rows, max_damaged=max_damaged
                ):
                    append(self._records(tile_batch.pixels, tile_batch.damaged))
                    running.advance(len(tile_batch.index))
        block, damaged = self._assemble(partial.records(number), tiles, shard, wanted)
        row, column = shard
        features[row : row + block.shape[0], column : column + block.shape[1]] = block
        return damaged

    def _records(self, pixels: np.ndarray, damaged: np.ndarray) -> np.ndarray:
        """What is kept of a batch: the central vectors of each tile, and whether it is damaged; float16."""
        vectors = self.plan.central(self.encoder.encode(pixels))
        records = np.empty((len(pixels), self.plan.used**2 * self.dim + 1), np.float16)
        with np.errstate(over="ignore"):
            records[:, :-1] = vectors.reshape(len(pixels), -1)
        if not np.isfinite(records[:, :-1]).all():
            raise BadInputError(
                f"encoder {self.encoder.info.name} gave values that are not finite in half precision",
                hint="check its weights, or use --precision float32",
            )
        records[:, -1] = damaged
        return records

    def _assemble(
        self, records: Iterator[np.ndarray], tiles: np.ndarray, shard: tuple[int, int], wanted: np.ndarray
    ) -> tuple[np.ndarray, int]:
        """Lay the vectors of a shard's tiles on its cells, float16 (rows, columns, dim); count the damaged ones."""
        used, damaged = self.plan.used, 0
        inside = wanted[shard[0] : shard[0] + self.plan.shard, shard[1] : shard[1] + self.plan.shard]
        block = np.zeros((*inside.shape, self.dim), np.float16)
        corners = iter(tiles - np.array(shard))
        for some in records:
            damaged += np.count_nonzero(some[:, -1])
            for record, (row, column) in zip(some, corners, strict=False):
                target = block[row : row + used, column : column + used]
                vectors = record[:-1].reshape(used, used, self.dim)
                target[:] = vectors[: target.shape[0], : target.shape[1]]
        block[~inside] = 0
        return block, int(damaged)

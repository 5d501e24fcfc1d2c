"""Features of an encoder on a grid over a slide, written as a raster that `MorphologyRaster` opens."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from focus_cli.core.errors import BadInputError, UsageError
from focus_cli.core.provenance import hash_inputs
from focus_cli.core.storage import check_output
from focus_cli.core.storage.kinds import FEATURES
from focus_cli.histology.features.encoded_plan import make_plan
from focus_cli.histology.features.extraction import VERSION, Extraction
from focus_cli.histology.features.feature_store import link_tree, stored_path
from focus_cli.histology.features.grid import check_bounds
from focus_cli.histology.features.raster import MorphologyRaster
from focus_cli.histology.slides.level import MAX_DAMAGED

if TYPE_CHECKING:
    from focus_cli.histology.encoder import Encoder
    from focus_cli.histology.slides.slide import Slide


def extract_features(
    slide: Slide,
    encoder: Encoder,
    path: str | Path,
    *,
    mpp_image: float,
    step_um: float | None = None,
    bounds_um: tuple[float, float, float, float] | None = None,
    store: str | Path | None = None,
    batch: int = 64,
    threads: int | None = None,
    resume: bool = True,
    overwrite: bool = False,
    max_damaged: float = MAX_DAMAGED,
) -> dict[str, Any]:
    """Encode the tissue of a slide and write its features as a zarr v3 group.

    The group holds ``features`` (rows, columns, F) float16, sharded, ``tissue`` (rows, columns) float32, and
    attributes ``origin_um``, ``step_um``, ``names``, ``version``, ``encoder``, ``slide_sha256``, ``tiles`` and
    ``damaged_tiles``. A cell holds the vector of the tile centred on it, or of the patch token at its place
    (dense encoders: of each tile the central half of the tokens counts, tiles overlap by the rest). Cells away
    from tissue are 0, and chunks of such cells are not stored; a cell beside tissue is computed, so that
    bilinear sampling on tissue never meets a zero.

    A killed extraction leaves a folder ``.NAME.partial`` beside its output; called again it resumes there and
    ends with the same bytes. Memory is bounded by one shard (16 MiB, about three times while it is written) and
    the batches in progress, but for four bytes per cell of the grid.

    Parameters
    ----------
    slide
        The H&E. One that states no scale takes `mpp_image`.
    encoder
        See `focus_cli.histology.encoders.open_encoder`.
    path
        Folder to make.
    mpp_image
        µm per level-0 pixel in the sample's coordinates.
    step_um
        Pitch of the cells; default: one tile, or a dense encoder's token pitch.
    bounds_um
        (x0, y0, x1, y1) to cover, clipped to the image; default: the whole image.
    store
        Folder of finished extractions, by content (slide's bytes, encoder's digest, scale, pitch, bounds): one
        that is there is linked to `path` in place of being made again.
    batch
        Tiles that are encoded at a time; part of what a resumed extraction must agree on.
    threads
        Decoding threads; default: one beside an encoder on the CPU.
    resume
        Whether to resume what an earlier call left.
    overwrite
        Replace an existing folder.
    max_damaged
        Share of tiles that may hold parts that cannot be decoded (they are encoded as white).

    Returns
    -------
    dict
        The group's attributes, with ``shape``, ``tissue_fraction`` and ``reused`` (taken from the store).

    Raises
    ------
    UsageError
        If a length is not positive, `bounds_um` is not a box, the pitch is not the tokens', or another process
        is making the same output.
    BadInputError
        If there is no tissue, too many tiles are damaged, or the encoder gives values that are not finite in
        half precision.
    OutputExistsError
        If `path` exists and `overwrite` is false.
    """
    path = Path(path)
    check_output(path, FEATURES, inputs=[slide.path, store], overwrite=overwrite)
    if not (math.isfinite(mpp_image) and mpp_image > 0):
        raise UsageError(f"mpp_image must be positive, not {mpp_image}")
    if batch < 1:
        raise UsageError(f"a batch needs at least one tile, not {batch}")
    if slide.mpp is None:
        slide.mpp = float(mpp_image)
    box = check_bounds(bounds_um, slide.width * mpp_image, slide.height * mpp_image)
    plan = make_plan(encoder.info, box, step_um)
    identity = {
        "version": VERSION,
        "slide": hash_inputs({"slide": slide.path})["slide"]["sha256"],
        "encoder": encoder.info.digest,
        "mpp_image": float(mpp_image),
        "step_um": plan.grid.step,
        "bounds_um": [float(v) for v in box],
    }
    target = path if store is None else stored_path(Path(store), identity)
    reused = store is not None and target.exists()
    if reused:
        _check_stored(target, identity)
    else:
        work = Extraction(slide, encoder, plan, float(mpp_image), batch, threads, max_damaged)
        work.write(target, identity, resume)
    if store is not None:
        link_tree(target, path, overwrite)
    return _summary(path) | {"reused": reused}


def _check_stored(path: Path, identity: dict[str, Any]) -> None:
    """Refuse an extraction of a store that is damaged, or of another slide or encoder than its name states.

    Raises
    ------
    BadInputError
        Naming the folder.
    """
    raster = MorphologyRaster(path)
    if (raster.encoder or {}).get("digest") != identity["encoder"] or raster.step_um != identity["step_um"]:
        raise BadInputError(
            f"{path} is not what its name in the feature store states: another encoder or pitch", hint="remove it"
        )


def _summary(path: Path) -> dict[str, Any]:
    import zarr

    group = zarr.open_group(store=str(path), mode="r", zarr_format=3)
    tissue = group["tissue"]
    return {**dict(group.attrs), "shape": list(tissue.shape), "tissue_fraction": float(tissue[:].mean())}

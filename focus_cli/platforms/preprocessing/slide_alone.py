"""A slide without any counts as a sample: a grid of locations over its tissue, on which a model can predict."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from focus_cli.core import keys
from focus_cli.core.coordinates import Affine, Coordinates, Link, System
from focus_cli.core.errors import BadInputError
from focus_cli.core.progress import print_message
from focus_cli.core.provenance import describe_run
from focus_cli.core.storage import Footprint, PlatformInfo, SampleInfo, StoredSample, write_sample
from focus_cli.platforms.preprocessing.image_fit import (
    HIRES_SIDE,
    check_histology,
    image_entry,
    image_info,
    note_damage,
    spatial_entry,
)

if TYPE_CHECKING:
    import pandas as pd

    from focus_cli.histology.slides import Slide

MIN_TISSUE = 0.5  # of a cell of the grid


def preprocess_slide(
    image: Path,
    out: Path,
    sample_id: str,
    *,
    genes: pd.DataFrame,
    platform: PlatformInfo,
    footprint: Footprint,
    pitch_um: float,
    mpp: float | None = None,
    step_um: float = 8.0,
    encode: Callable[[Slide, Path], None] | None = None,
    force: bool = False,
) -> StoredSample:
    """Lay a grid over the tissue of a whole slide, pen marks and folds left out, and measure its image features.

    Parameters
    ----------
    image
        The H&E, of any size; it is read tile by tile.
    out
        Sample folder to make.
    sample_id
        Names the sample.
    genes
        Names as index; none of them was measured.
    platform, footprint
        What a measurement would be: those of a model's training.
    pitch_um
        Between the centres of locations, µm.
    mpp
        µm per pixel, where the file does not state it.
    step_um
        Pitch of the raster of built-in image features, µm.
    encode
        Writes the features of a learned encoder into a folder, for a model that needs them.
    force
        Continue, with a warning, where the image is not an H&E.

    Returns
    -------
    StoredSample
        With counts of zero.

    Raises
    ------
    MissingResourceError
        If the file or µm per pixel is not there.
    BadInputError
        If the image is not an H&E, or holds no tissue.
    """
    import anndata
    import pandas as pd
    from scipy import sparse

    from focus_cli.histology.features import Grid, tissue_fraction, write_morphology
    from focus_cli.histology.slides import MAX_DAMAGED, clean_tissue, open_slide

    with open_slide(image, mpp, max_damaged=MAX_DAMAGED) as slide:
        scale = slide.require_mpp()
        thumbnail = slide.thumbnail(HIRES_SIDE)
        warnings = slide.notes + check_histology(slide.path.name, thumbnail, force=force)
        grid = Grid.over(0.0, 0.0, slide.width * scale, slide.height * scale, pitch_um)
        row, column = np.nonzero(tissue_fraction(slide, scale, grid, clean_tissue) >= MIN_TISSUE)
        if not len(row):
            raise BadInputError(
                f"{slide.path.name} holds no tissue", hint="check that it is the H&E, and its µm per pixel (--mpp)"
            )
        xy = np.stack([grid.x[column], grid.y[row]], axis=1)
        names = [f"r{r:05d}_c{c:05d}" for r, c in zip(row, column)]
        print_message(
            f"{slide.path.name}: {len(xy):,} locations, {pitch_um:g} µm apart, on {slide.width} × {slide.height} px"
        )
        obs = pd.DataFrame(
            {keys.IN_TISSUE: 1, keys.ARRAY_ROW: row, keys.ARRAY_COL: column, keys.TOTAL_COUNTS: 0}, index=names
        )
        adata = anndata.AnnData(
            sparse.csr_matrix((len(xy), len(genes)), dtype=np.float32),
            obs=obs,
            var=genes.assign(**{keys.MEASURED: False}),
        )
        adata.obsm[keys.SPATIAL], adata.obsm[keys.SPATIAL_UM] = xy / scale, xy
        coordinates = Coordinates(
            (
                Link(System.FULLRES, System.UM, Affine.scaling(scale), "the slide's µm per pixel"),
                Link(System.FULLRES, System.IMAGE, Affine.scaling(1.0), "the slide itself"),
            )
        )
        entry = image_entry({}, thumbnail, slide, coordinates, 1.0)
        adata.uns[keys.UNS_SPATIAL] = spatial_entry(sample_id, entry, footprint, scale)
        settings = {"sample_id": sample_id, "pitch_um": pitch_um, "step_um": step_um, "force": force}
        record = describe_run("preprocess", settings, {"image": Path(image)})
        info = SampleInfo(
            sample_id=sample_id,
            platform=platform,
            mpp=scale,
            footprint=footprint,
            n_locations=adata.n_obs,
            n_genes=adata.n_vars,
            image=image_info(slide, out, record["inputs"]["image"]["sha256"], 1.0),
            coordinates=coordinates,
            warnings=[*warnings, "nothing was counted: this is a slide alone"],
            provenance=record,
        )

        def morphology(folder: Path) -> None:
            write_morphology(slide, folder / keys.MORPHOLOGY_ZARR, mpp_image=scale, step_um=step_um)
            note_damage(slide, info.warnings)

        def encoded(folder: Path) -> None:
            if encode is not None:
                encode(slide, folder)

        return write_sample(out, info, adata, parts=[morphology, encoded])

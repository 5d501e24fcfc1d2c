"""An AnnData file that carries positions: whatever platform it came from, as far as the file states it.

Panels of proteins (CODEX, CyCIF, IMC) come in through this door too: features whose ``var["feature_types"]`` is
"protein", "Protein Expression" or "Antibody Capture". Alone, they are the features, and their intensities need not
be whole numbers; beside genes, they are kept in ``obsm["protein"]``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError
from focus_cli.core.storage import Footprint, PlatformInfo
from focus_cli.platforms import images, pitch
from focus_cli.platforms.assemble import assemble
from focus_cli.platforms.checks import PROTEIN, check_positions, check_unique
from focus_cli.platforms.formats.anncounts import choose_counts
from focus_cli.platforms.formats.annparts import AnnTable
from focus_cli.platforms.formats.annpositions import Positions, positions
from focus_cli.platforms.formats.annstore import is_anndata_store
from focus_cli.platforms.formats.anntable import length, libraries, library, open_table, stated_mpp
from focus_cli.platforms.formats.features import check_orientation
from focus_cli.platforms.formats.spaceranger import Scale
from focus_cli.platforms.frames import choose_frame
from focus_cli.platforms.readers.visium import PITCH_UM, SPOT_UM
from focus_cli.platforms.sample import Detection, RawSample

NAME = "anndata"
LOOKS_FOR = f"an AnnData (.h5ad or .zarr) with obsm[{keys.SPATIAL!r}]"


def find_file(path: Path) -> Path | None:
    """The ``.h5ad`` file or AnnData store that `path` is, or the only one in the folder that `path` is."""
    if path.is_file():
        return path if path.suffix == ".h5ad" else None
    if not path.is_dir():
        return None
    if is_anndata_store(path):
        return path
    found = _held(path)
    return found[0] if len(found) == 1 else None


def _held(folder: Path) -> list[Path]:
    """The files of a folder, else its stores."""
    found = sorted(p for p in folder.glob("*.h5ad") if p.is_file())
    return found or sorted(p for p in folder.glob("*.zarr") if is_anndata_store(p))


def detect(path: Path) -> Detection | None:
    """Recognise an AnnData file by its name's ending, and a store by its content.

    Raises
    ------
    BadInputError
        If a folder holds several.
    """
    file = find_file(path)
    several = _held(path) if file is None and path.is_dir() else []
    if several:
        raise _of_several(path, several)
    return Detection(NAME, "", (file.name,)) if file is not None else None


def _of_several(folder: Path, found: list[Path]) -> BadInputError:
    return BadInputError(
        f"{folder} holds {len(found)} AnnData files ({', '.join(p.name for p in found[:5])})",
        hint=f"give one of them, for instance {found[0]}",
    )


def read(path: Path, *, image: Path | None = None, mpp: float | None = None, region: str | None = None) -> RawSample:
    """Read an AnnData file or store with raw counts and positions.

    Counts are ``layers["counts"]``, else ``X`` if it holds whole numbers, else ``raw.X`` if it does. Positions are
    ``obsm["spatial"]``, else ``obsm["X_spatial"]``, else an element or two columns of ``obs`` whose names leave no
    doubt; columns of a table are x and y by their names.

    Parameters
    ----------
    path
        The ``.h5ad`` file or ``.zarr`` store, or a folder with no other.
    image
        The H&E; otherwise one is looked for beside the file, if that is alone in its folder.
    mpp
        µm per full-resolution pixel; otherwise from ``obsm["spatial_um"]``, from ``microns_per_pixel`` in the
        scale factors, or from Visium's array pitch.
    region
        The section (library, sample, field of view, plane ``z=…``), where the file joins several.

    Raises
    ------
    UsageError
        If several sections share one frame and none, or an unknown one, is chosen.
    MissingResourceError
        If µm per pixel is unknown.
    BadInputError
        If the file is damaged, has no positions, or no raw counts.
    """
    file = find_file(Path(path))
    if file is None:
        held = _held(Path(path)) if Path(path).is_dir() else []
        raise _of_several(path, held) if held else BadInputError(f"{path} is no AnnData", hint=f"give {LOOKS_FOR}")
    path = file
    table = open_table(path)
    check_orientation(table.obs.index, table.matrices[0].var.index if table.matrices else (), table.name)
    placed = positions(table)
    if image is not None:
        chosen = images.check_image(image)
    else:  # among several files it would be a guess whose image it is
        chosen = images.find_he([path.parent]) if find_file(path.parent) == path else None
    return from_table(table, placed, path=path, image=chosen, mpp=mpp, region=region)


def from_table(
    table: AnnTable,
    placed: Positions,
    *,
    path: Path,
    image: Path | None,
    mpp: float | None,
    region: str | None = None,
) -> RawSample:
    """Put together a sample from an AnnData's table and its positions, in full-resolution pixels or in µm."""
    frame = choose_frame(
        table.obs,
        placed.xy,
        where=table.name,
        z=placed.z,
        libraries=list(libraries(table.uns)),
        names=table.obs.index,
        region=region,
    )
    table, xy = table.take(frame.rows), placed.xy[frame.rows]
    check_positions(xy, table.name)
    check_unique(table.obs.index, "barcodes", table.name)
    found = choose_counts(table)
    warnings = [*placed.warnings, *frame.warnings, *found.warnings]
    name, entry, factors = library(table, frame.labels)
    fit = visium_fit(table.obs, xy)
    if placed.in_um:  # a pixel is as large as the user states, or a µm
        scale = mpp or 1.0
        xy = xy / scale
    else:
        vendor = stated_mpp(table, xy, factors, Scale.MPP)
        scale, notes = pitch.choose_mpp(given=mpp, vendor=vendor, fit=fit, where=table.name)
        warnings += notes
    if fit is not None and fit.mirrored:
        warnings.append("the array appears mirrored on the image: were x and y exchanged in obsm['spatial']?")
    footprint, notes = _footprint(xy * scale, factors, scale, fit)
    sample = assemble(
        platform=PlatformInfo(
            name=NAME,
            technology="imaging" if found.intensities else "sequencing",
            resolution_um=footprint.size_um,
        ),
        counts=found.counts,
        names=table.obs.index,
        genes=found.genes,
        xy_px=xy,
        mpp=scale,
        footprint=footprint,
        where=found.where,
        inputs={"matrix": path},
        warnings=warnings + notes,
        obs=array_columns(table.obs),
        image=image,
        allow_real=found.intensities,
    )
    if entry:
        sample.adata.uns[keys.UNS_SPATIAL] = {name: entry}
    if found.proteins is not None:
        sample.adata.obsm[PROTEIN] = found.proteins
    return sample


def array_columns(obs: pd.DataFrame) -> pd.DataFrame:
    """``in_tissue``, ``array_row`` and ``array_col`` as whole numbers, as far as `obs` has them."""
    known = [k for k in (keys.IN_TISSUE, keys.ARRAY_ROW, keys.ARRAY_COL) if k in obs]
    table = pd.DataFrame(index=obs.index)
    for key in known:
        values = pd.to_numeric(obs[key], errors="coerce").to_numpy(np.float64)
        table[key] = np.where(np.abs(values) < 2**31, values, 0).astype(np.int64)
    return table


def visium_fit(obs: pd.DataFrame, xy: np.ndarray) -> pitch.PitchFit | None:
    """Fit Visium's array, if rows and columns are numbered as on one: their sum is always even."""
    if keys.ARRAY_ROW not in obs or keys.ARRAY_COL not in obs:
        return None
    row, col = (pd.to_numeric(obs[k], errors="coerce").to_numpy(float) for k in (keys.ARRAY_ROW, keys.ARRAY_COL))
    if not np.all(np.isfinite(row) & np.isfinite(col)) or np.any((row + col) % 2 != 0):
        return None
    return pitch.fit_pitch(pitch.hexagonal_um(row, col, PITCH_UM), xy)


def _footprint(
    xy_um: np.ndarray, factors: dict[str, float], mpp: float, fit: pitch.PitchFit | None
) -> tuple[Footprint, list[str]]:
    if Scale.BIN in factors:
        return Footprint("square", factors[Scale.BIN], factors[Scale.BIN]), []
    if fit is not None:
        return Footprint("circle", SPOT_UM, PITCH_UM), []
    if len(xy_um) < 2:
        raise BadInputError("a single location has no pitch", hint="give the whole sample")
    near = cKDTree(xy_um).query(xy_um, k=2)[0][:, 1]
    spacing = round(float(np.median(near)), 3)
    if spacing <= 0:
        raise BadInputError("most locations share their position with another", hint="check obsm['spatial']")
    stated = length(factors.get(Scale.SPOT))
    size = round(min(stated * mpp, spacing), 3) if stated else spacing
    note = f"the platform is not known; locations are taken as circles of {size:g} µm, {spacing:g} µm apart"
    return Footprint("circle", size, spacing), [note]

"""What the Visium and Visium HD outputs of Space Ranger have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from focus_cli import keys
from focus_cli.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.platforms import images, pitch
from focus_cli.platforms.checks import check_positions, check_unique, match_positions
from focus_cli.platforms.formats.matrix import read_matrix
from focus_cli.platforms.formats.opening import DAMAGE, damaged, open_maybe_gzip, read_parquet
from focus_cli.platforms.sample import RawSample
from focus_cli.store import Footprint, PlatformInfo


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


class Column(StrEnum):
    """Columns of a positions file, in the order of the file without a header."""

    BARCODE = "barcode"
    IN_TISSUE = "in_tissue"
    ARRAY_ROW = "array_row"
    ARRAY_COL = "array_col"
    Y_PX = "pxl_row_in_fullres"
    X_PX = "pxl_col_in_fullres"


class Scale(StrEnum):
    """Keys of ``scalefactors_json.json``."""

    HIRES = "tissue_hires_scalef"
    LOWRES = "tissue_lowres_scalef"
    SPOT = "spot_diameter_fullres"
    FIDUCIAL = "fiducial_diameter_fullres"
    MPP = "microns_per_pixel"
    BIN = "bin_size_um"


POSITIONS = (File.POSITIONS_2, File.POSITIONS_1, File.POSITIONS_PARQUET)


def find_matrix(folder: Path) -> tuple[Path, bool] | None:
    """The count matrix of a folder and whether it is the filtered one: filtered before raw, h5 before mtx.

    Raises
    ------
    UsageError
        If several prefixed matrices of one kind lie in the folder.
    """
    for kind in (File.FILTERED, File.RAW):
        plain = folder / f"{kind}.h5"
        if plain.is_file():
            return plain, kind is File.FILTERED
        # Files downloaded one by one carry the data set's name in front.
        prefixed = sorted(p for p in folder.glob(f"*{kind}.h5") if p.is_file())
        if len(prefixed) > 1:
            raise UsageError(
                f"{folder}: several matrices: {', '.join(p.name for p in prefixed[:5])}",
                hint="keep each sample in a folder of its own",
            )
        if prefixed:
            return prefixed[0], kind is File.FILTERED
        if (folder / kind).is_dir():
            return folder / kind, kind is File.FILTERED
    return None


def require_matrix(folder: Path) -> tuple[Path, bool]:
    """`find_matrix`, or a refusal that names what is missing."""
    found = find_matrix(folder)
    if found is None:
        raise MissingResourceError(
            f"{folder}: no count matrix: {File.FILTERED}.h5 (or its mtx folder) is missing",
            hint="give the outs folder of Space Ranger, with the matrix beside the spatial folder",
        )
    return found


def find_positions(spatial: Path) -> Path | None:
    """The positions file of a ``spatial`` folder."""
    return next((spatial / name for name in POSITIONS if (spatial / name).is_file()), None)


def read_positions(spatial: Path) -> tuple[pd.DataFrame, Path]:
    """Read a positions file of any Space Ranger version, with or without its header.

    Returns
    -------
    positions
        Indexed by barcode; ``in_tissue``, ``array_row``, ``array_col`` int64, the pixel columns float64.
    path
        The file.

    Raises
    ------
    MissingResourceError
        If there is none.
    BadInputError
        If it is damaged, lacks a column, or a barcode repeats.
    """
    path = find_positions(spatial)
    if path is None:
        raise MissingResourceError(
            f"{spatial}: no positions: {File.POSITIONS_2} (or {POSITIONS[1]}, {POSITIONS[2]}) is missing",
            hint="give the outs folder of Space Ranger, with its spatial folder",
        )
    try:
        if path.suffix == ".parquet":
            table = read_parquet(path, [str(c) for c in Column])
        else:
            with open_maybe_gzip(path) as stream:
                headed = stream.readline().decode("utf-8", "replace").lower().startswith(Column.BARCODE)
            table = pd.read_csv(path, header=0 if headed else None)
            if not headed:
                if table.shape[1] != len(Column):
                    raise BadInputError(
                        f"{path}: {table.shape[1]} columns where Space Ranger writes {len(Column)}",
                        hint="restore the positions file as Space Ranger wrote it",
                    )
                table.columns = [str(c) for c in Column]
    except BadInputError:
        raise
    except DAMAGE as error:  # pandas and pyarrow errors are ValueErrors
        raise damaged(path, error) from error
    absent = [str(c) for c in Column if c not in table.columns]
    if absent:
        raise BadInputError(
            f"{path}: column {absent[0]!r} is missing", hint=f"it needs the columns {', '.join(Column)}"
        )
    table = table[[str(c) for c in Column]].set_index(str(Column.BARCODE))
    table.index = table.index.astype(str).rename(None)
    check_unique(table.index, "barcodes", path.name)
    whole = [str(c) for c in (Column.IN_TISSUE, Column.ARRAY_ROW, Column.ARRAY_COL)]
    try:
        table = table.apply(pd.to_numeric)
        check_positions(table[[str(Column.X_PX), str(Column.Y_PX)]].to_numpy(float), path.name)
        table = table.astype({c: np.int64 for c in whole})
    except (ValueError, TypeError) as error:
        raise BadInputError(
            f"{path}: a column holds something that is not a number ({' '.join(str(error).split())[:120]})",
            hint="restore the positions file as Space Ranger wrote it",
        ) from error
    return table.astype({str(Column.X_PX): np.float64, str(Column.Y_PX): np.float64}), path


def read_scalefactors(spatial: Path) -> tuple[dict[str, float], Path | None]:
    """Read ``scalefactors_json.json``; empty if it is not there.

    Raises
    ------
    BadInputError
        If it is not JSON, or a factor is not a positive number.
    """
    path = spatial / File.SCALEFACTORS
    if not path.is_file():
        return {}, None
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
        factors = {str(k): float(v) for k, v in raw.items() if isinstance(v, (int, float))}
    except (*DAMAGE, AttributeError) as error:
        raise BadInputError(f"{path} is not a JSON object of factors: {error}", hint="restore the file") from error
    wrong = sorted(k for k in map(str, Scale) if k in factors and not (0 < factors[k] < np.inf))
    if wrong:
        raise BadInputError(
            f"{path}: {wrong[0]} is {factors[wrong[0]]}, not a positive number", hint="restore the file"
        )
    return factors, path


@dataclass
class Spatial:
    """The content of one ``spatial`` folder."""

    positions: pd.DataFrame
    scalefactors: dict[str, float]
    thumbnails: dict[str, Path]  # "hires", "lowres"
    inputs: dict[str, Path] = field(default_factory=dict)


def read_spatial(folder: Path) -> Spatial:
    """Read the positions and scale factors of a ``spatial`` folder, and note its thumbnails."""
    positions, positions_path = read_positions(folder)
    factors, factors_path = read_scalefactors(folder)
    inputs = {"positions": positions_path}
    if factors_path is not None:
        inputs["scalefactors"] = factors_path
    thumbnails = {}
    for size, name, key in (("hires", File.HIRES, Scale.HIRES), ("lowres", File.LOWRES, Scale.LOWRES)):
        if (folder / name).is_file() and key in factors:
            thumbnails[size] = folder / name
            inputs[f"thumbnail_{size}"] = folder / name
    return Spatial(positions, factors, thumbnails, inputs)


def scanpy_spatial(spatial: Spatial, metadata: dict[str, str]) -> dict:
    """One entry of ``uns["spatial"]`` in scanpy's form: images uint8 (h, w, 3), scale factors, metadata."""
    return {
        "images": {size: images.read_thumbnail(path) for size, path in sorted(spatial.thumbnails.items())},
        "scalefactors": dict(sorted(spatial.scalefactors.items())),
        "metadata": metadata,
    }


def take_positions(obs: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray]:
    """Split `obs` into what stays in it and (x, y) in full-resolution pixels, float64 (n, 2)."""
    xy = obs[[str(Column.X_PX), str(Column.Y_PX)]].to_numpy(np.float64)
    kept = obs.drop(columns=[str(Column.X_PX), str(Column.Y_PX)])
    whole = {keys.IN_TISSUE: np.int64, keys.ARRAY_ROW: np.int64, keys.ARRAY_COL: np.int64}
    return kept.astype(whole, copy=False), xy


def choose_image(given: Path | None, folders: list[Path], spatial: Spatial) -> tuple[Path | None, float, list[str]]:
    """The H&E to tile, its pixels per full-resolution pixel, and what to warn of.

    The user's image comes first, then a full-resolution one in `folders`, then the vendor's hires PNG.
    """
    hires = spatial.thumbnails.get("hires")
    hires_scale = spatial.scalefactors.get(Scale.HIRES)
    image = images.check_image(given) if given is not None else images.find_he(folders)
    if image is not None:
        if hires is not None and image.resolve() == hires.resolve():
            return image, float(hires_scale), []
        scale, warnings = images.scale_beside(image, hires, hires_scale)
        return image, scale, warnings
    if hires is not None:
        images.image_size(hires)
        reduced = f"{hires.name}, {1 / hires_scale:.3g} times reduced, is used"
        return hires, float(hires_scale), [f"no full-resolution image was found: {reduced}"]
    return None, 1.0, ["no H&E image was found (pass --image): image features will be missing"]


def version_of(attributes: dict[str, str], positions: Path) -> str:
    """Space Ranger's version: from the matrix, else from the form of the positions file."""
    found = re.search(r"spaceranger[-_ ]?v?(\d[\w.]*)", attributes.get("software_version", ""), re.IGNORECASE)
    if found:
        return found.group(1)
    return {File.POSITIONS_1: "1", File.POSITIONS_2: "2 or later"}.get(positions.name, "3 or later")


def preservation_of(chemistry: str) -> str:
    """How the tissue was kept, where the chemistry's name tells."""
    return "FFPE" if "FFPE" in chemistry.upper() else "unknown"


@dataclass
class Counted:
    """The matrix of a folder on its positions; `matrix` is its path, `attributes` what its file says of itself."""

    adata: AnnData
    spatial: Spatial
    matrix: Path
    attributes: dict[str, str]
    warnings: list[str]

    def scale(
        self, grid_um: Callable[[np.ndarray, np.ndarray], np.ndarray], given: float | None, where: Path
    ) -> tuple[float, pitch.PitchFit | None]:
        """µm per pixel, as given, as the vendor says, or from the pitch of the array; and the fit of the array.

        `grid_um` turns rows and columns of the array into µm. The whole array is fitted, spots off the tissue too:
        more points, and no tissue is needed.
        """
        table = self.spatial.positions
        fit = pitch.fit_pitch(
            grid_um(table[str(Column.ARRAY_ROW)].to_numpy(), table[str(Column.ARRAY_COL)].to_numpy()),
            table[[str(Column.X_PX), str(Column.Y_PX)]].to_numpy(),
        )
        vendor = self.spatial.scalefactors.get(Scale.MPP)
        mpp, notes = pitch.choose_mpp(given=given, vendor=vendor, fit=fit, where=str(where))
        self.warnings += notes
        return mpp, fit

    def finish(
        self,
        platform: str,
        footprint: Footprint,
        mpp: float,
        library_id: str,
        image: Path | None,
        image_folders: list[Path],
    ) -> RawSample:
        """Put image, positions and what is known of the run together."""
        chosen, image_scale, notes = choose_image(image, image_folders, self.spatial)
        self.warnings += notes
        adata = self.adata
        adata.obs, xy = take_positions(adata.obs)
        adata.obsm[keys.SPATIAL] = xy
        adata.obsm[keys.SPATIAL_UM] = xy * mpp
        adata.uns[keys.UNS_SPATIAL] = {library_id: scanpy_spatial(self.spatial, self.attributes)}
        inputs = {"matrix": self.matrix, **self.spatial.inputs}
        if chosen is not None:
            inputs["image"] = chosen
        chemistry = self.attributes.get("chemistry_description", "unknown")
        return RawSample(
            adata=adata,
            platform=PlatformInfo(
                name=platform,
                version=version_of(self.attributes, self.spatial.inputs["positions"]),
                technology="sequencing",
                chemistry=chemistry,
                preservation=preservation_of(chemistry),
                resolution_um=footprint.size_um,
            ),
            footprint=footprint,
            mpp=mpp,
            image_path=chosen,
            image_scale=image_scale,
            inputs=inputs,
            warnings=self.warnings,
        )


def read_counted(folder: Path, called: str = "") -> Counted:
    """Read the matrix and the positions of a folder and bring them together.

    Parameters
    ----------
    folder
        Holds the matrix and ``spatial``.
    called
        What to call the folder before the matrix's name in messages; nothing by default.

    Raises
    ------
    MissingResourceError
        If the matrix or the positions are not there.
    BadInputError
        If a file is damaged, or matrix and positions do not match.
    """
    matrix, filtered = require_matrix(folder)
    spatial = read_spatial(folder / File.SPATIAL)
    adata, attributes, warnings = read_matrix(matrix, spatial.positions.index.tolist())
    if not filtered:
        warnings.append(f"{matrix.name} is used: there is no filtered matrix")
    name = f"{called}/{matrix.name}" if called else matrix.name
    adata, unmatched = match_positions(adata, spatial.positions, name, spatial.inputs["positions"].name)
    return Counted(adata, spatial, matrix, attributes, warnings + unmatched)

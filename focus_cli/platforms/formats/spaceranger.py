"""What the Visium and Visium HD outputs of Space Ranger have in common."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import numpy as np
import pandas as pd
from anndata import AnnData

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, MissingResourceError
from focus_cli.core.storage import Footprint, PlatformInfo
from focus_cli.core.storage.documents import parse_json
from focus_cli.platforms import images, pitch
from focus_cli.platforms.assemble import NO_IMAGE
from focus_cli.platforms.barcodes import match_positions
from focus_cli.platforms.formats.aggregated import AGGR_POSITIONS, choose_library, joint_positions, of_library
from focus_cli.platforms.formats.matrix import read_matrix
from focus_cli.platforms.formats.opening import DAMAGE, open_maybe_gzip
from focus_cli.platforms.formats.outs import File, Files, choose_files, find_files, no_matrix
from focus_cli.platforms.formats.positions import Column, read_positions
from focus_cli.platforms.sample import RawSample

_JSON_BYTES = 1 << 20


class Scale(StrEnum):
    """Keys of ``scalefactors_json.json``."""

    HIRES = "tissue_hires_scalef"
    LOWRES = "tissue_lowres_scalef"
    SPOT = "spot_diameter_fullres"
    FIDUCIAL = "fiducial_diameter_fullres"
    MPP = "microns_per_pixel"
    BIN = "bin_size_um"


def read_scalefactors(path: Path) -> dict[str, float]:
    """Read ``scalefactors_json.json``, gzipped or not.

    Raises
    ------
    BadInputError
        If it is not JSON, or a factor is not a positive number.
    """
    try:
        with open_maybe_gzip(path) as stream:
            content = stream.read(_JSON_BYTES + 1)
        if len(content) > _JSON_BYTES:
            raise ValueError("too large")
        raw = parse_json(content.decode("utf-8-sig"), str(path))
        factors = {str(k): float(v) for k, v in raw.items() if isinstance(v, (int, float))}
    except BadInputError as error:
        raise BadInputError(error.message, hint="restore the file") from error
    except (*DAMAGE, AttributeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise BadInputError(f"{path} is not a JSON object of factors: {reason}", hint="restore the file") from error
    wrong = sorted(k for k in map(str, Scale) if k in factors and not (0 < factors[k] < np.inf))
    if wrong:
        raise BadInputError(
            f"{path}: {wrong[0]} is {factors[wrong[0]]}, not a positive number", hint="restore the file"
        )
    return factors


@dataclass
class Spatial:
    """The content of one ``spatial`` folder, and what was guessed in reading it."""

    positions: pd.DataFrame
    scalefactors: dict[str, float]
    thumbnails: dict[str, Path]  # "hires", "lowres"
    inputs: dict[str, Path] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)


def read_spatial(files: Files) -> Spatial:
    """Read the positions and scale factors of a sample, and note its thumbnails."""
    positions, notes = read_positions(files.positions)
    spatial = Spatial(positions, {}, {}, {"positions": files.positions}, notes)
    add_pictures(spatial, files)
    return spatial


def add_pictures(spatial: Spatial, files: Files) -> None:
    """Add the scale factors, and the thumbnails that have one."""
    if files.scalefactors is not None:
        spatial.scalefactors = read_scalefactors(files.scalefactors)
        spatial.inputs["scalefactors"] = files.scalefactors
    for size, path, key in (("hires", files.hires, Scale.HIRES), ("lowres", files.lowres, Scale.LOWRES)):
        if path is not None and key in spatial.scalefactors:
            spatial.thumbnails[size] = path
            spatial.inputs[f"thumbnail_{size}"] = path


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
    if hires is not None and hires.suffix == ".gz":
        return None, 1.0, [f"{NO_IMAGE}; {hires.name} can serve as one: gunzip it first"]
    if hires is not None:
        images.image_size(hires)
        reduced = f"{hires.name}, {1 / hires_scale:.3g} times reduced, is used"
        return hires, float(hires_scale), [f"no full-resolution image was found: {reduced}"]
    return None, 1.0, [NO_IMAGE]


def version_of(attributes: dict[str, str], positions: Path) -> str:
    """Space Ranger's version: from the matrix, else from the form of the positions file."""
    found = re.search(r"spaceranger[-_ ]?v?(\d[\w.]*)", attributes.get("software_version", ""), re.IGNORECASE)
    if found:
        return found.group(1)
    name = positions.name.lower().removesuffix(".gz")
    if name.endswith(".parquet"):
        return "3 or later"
    return "1" if name.endswith(File.POSITIONS_1) else "2 or later" if name.endswith(File.POSITIONS_2) else ""


def preservation_of(chemistry: str) -> str:
    """How the tissue was kept, where the name of the chemistry states it."""
    return "FFPE" if "FFPE" in chemistry.upper() else "unknown"


@dataclass
class Counted:
    """The matrix of a folder on its positions; `matrix` is its path, `attributes` the attributes of its file."""

    adata: AnnData
    spatial: Spatial
    matrix: Path
    attributes: dict[str, str]
    warnings: list[str]
    name: str = ""  # of the sample, where its files or the run name it

    def scale(
        self, grid_um: Callable[[np.ndarray, np.ndarray], np.ndarray], given: float | None, where: Path
    ) -> tuple[float, pitch.PitchFit | None]:
        """µm per pixel, as given, as the vendor states, or from the pitch of the array; and the fit of the array.

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


def read_counted(folder: Path, called: str = "", region: str | None = None) -> Counted:
    """Read the matrix and the positions of a folder and bring them together.

    Parameters
    ----------
    folder
        Holds the matrix and ``spatial``, or files with the sample's name in front.
    called
        What to call the folder before the matrix's name in messages; nothing by default.
    region
        Which sample, where the folder holds several.

    Raises
    ------
    UsageError
        If there are several samples and none, or an unknown one, is chosen.
    MissingResourceError
        If the matrix or the positions are not there.
    BadInputError
        If a file is damaged, or matrix and positions do not match.
    """
    files, notes = choose_files(folder, region)
    spatial = read_spatial(files)
    matrix = files.matrix
    adata, attributes, warnings = read_matrix(matrix.path, spatial.positions.index.tolist(), matrix.members)
    warnings = notes + spatial.notes + warnings
    if not matrix.filtered:
        warnings.append(f"{matrix.path.name} is used: there is no filtered matrix")
    name = f"{called}/{matrix.path.name}" if called else matrix.path.name
    adata, unmatched = match_positions(adata, spatial.positions, name, files.positions.name)
    return Counted(adata, spatial, matrix.path, attributes, warnings + unmatched, files.name)


def read_library(outs: Path, region: str | None) -> Counted:
    """Read one library of the outputs of ``spaceranger aggr``, as `read_counted` reads a sample.

    Raises
    ------
    UsageError
        If none of several libraries, or an unknown one, is chosen.
    MissingResourceError, BadInputError
        If a file is not there or cannot be used.
    """
    library = choose_library(outs, region)
    table = joint_positions(outs) or library.files.positions
    if table is None:
        raise MissingResourceError(
            f"{outs}: no positions of library {library.name!r}: {AGGR_POSITIONS} is missing",
            hint="restore it, or give the outs folder of that library's own run",
        )
    matrix = find_files(outs).get("", library.files).matrix
    if matrix is None:
        raise no_matrix(outs)
    positions, notes = read_positions(table)
    if table is not library.files.positions:
        positions = positions[of_library(positions.index, library.suffix)]
    spatial = Spatial(positions, {}, {}, {"positions": table}, notes)
    add_pictures(spatial, library.files)
    adata, attributes, warnings = read_matrix(matrix.path, (), matrix.members)
    own = of_library(adata.obs_names, library.suffix)
    if not own.any():
        raise BadInputError(
            f"{matrix.path}: no barcode ends in -{library.suffix}, as those of library {library.name!r} should",
            hint="matrix and libraries are of different runs",
        )
    warnings = [
        f"library {library.name!r} of an aggregated run is read: {int(own.sum())} of {len(own)} barcodes",
        "spaceranger aggr may have thinned the counts to the depth of the shallowest library",
        *notes,
        *warnings,
    ]
    if not matrix.filtered:
        warnings.append(f"{matrix.path.name} is used: there is no filtered matrix")
    adata, unmatched = match_positions(adata[own].copy(), positions, matrix.path.name, table.name, any_end=True)
    return Counted(adata, spatial, matrix.path, attributes, warnings + unmatched, library.name)

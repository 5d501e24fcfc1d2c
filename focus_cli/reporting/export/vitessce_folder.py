"""A folder that Vitessce shows: the picture as OME-Zarr, AnnData as zarr, a configuration, and a page that opens it.

Positions and picture are in µm (in full-resolution pixels where the scale is not known). Values are stored in columns,
for a browser requests one gene at a time.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import UsageError
from focus_cli.core.h5ad.matrices import read_columns
from focus_cli.core.h5ad.spatial_file import SpatialFile
from focus_cli.core.storage import atomic_directory, write_elements
from focus_cli.core.storage.kinds import VITESSCE
from focus_cli.reporting.export.geometry import outline, picture
from focus_cli.reporting.export.joined import Additions, sample_name
from focus_cli.reporting.export.vitessce_config import Source, page, view_config

MOST_GENES = 2000
_COLUMNS = 16  # genes in one chunk: what the browser fetches when one of them is chosen
_READ = 256  # genes that are read at a time
_TILE = 512  # px
_FIRST = (keys.DOMAIN, keys.CELL_TYPE, keys.ANNOTATION, keys.NICHE)
DATA, SHARES, PICTURE, CONFIG, PAGE = "data.zarr", "shares.zarr", "image.ome.zarr", "config.json", "index.html"


def write_vitessce(
    out: Path, file: SpatialFile, found: Additions, genes: list[str] | None, record: dict[str, Any], overwrite: bool
) -> None:
    """Write the folder.

    Raises
    ------
    UsageError
        If a gene is not in the file.
    """
    columns = _columns(file, genes)
    first = str(file.var.index[columns[0]]) if len(columns) else None
    if genes is None:
        columns = np.sort(columns)  # neighbours in the file are read together
    stored = picture(file)
    mpp = float(file.focus.get("mpp") or 0) or None
    unit = mpp or 1.0  # of the page, per full-resolution pixel
    xy = (file.xy * unit).astype(np.float32)
    shares = _shares(found)
    groups = [c for c in found.obs.columns if str(found.obs[c].dtype) == "category" and found.obs[c].nunique() <= 100]
    groups.sort(key=lambda c: _FIRST.index(c) if c in _FIRST else len(_FIRST))
    name = sample_name(file)
    source = Source(
        name=name,
        square=outline(file).square,
        radius=outline(file).size * unit / 2,
        groups=groups,
        shares=shares is not None,
        picture=stored is not None,
        first_gene=first,
    )
    with atomic_directory(out, overwrite, kind=VITESSCE) as folder:
        _write_table(folder / DATA, file, found, columns, groups, xy)
        if shares is not None:
            _write_shares(folder / SHARES, file, shares, xy)
        if stored is not None:
            _write_picture(folder / PICTURE, stored[0], name, unit / stored[1], mpp is not None)
        config = view_config(source)
        (folder / CONFIG).write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        (folder / PAGE).write_text(page(name), encoding="utf-8")
        text = json.dumps(record, indent=2, sort_keys=True, default=str) + "\n"
        (folder / "provenance.json").write_text(text, encoding="utf-8")


def _columns(file: SpatialFile, genes: list[str] | None) -> np.ndarray:
    """Columns to bring along: those requested, or the most reliable, measured before inferred."""
    if genes is not None:
        places = file.var.index.get_indexer(genes)
        if (places < 0).any():
            missing = genes[int(np.flatnonzero(places < 0)[0])]
            raise UsageError(f"gene {missing!r} is not in {file.path}", hint="see var_names of the file")
        return places.astype(np.int64)
    n = len(file.var)
    measured = file.measured
    trust = file.var[keys.VAR_RELIABILITY].to_numpy(float) if keys.VAR_RELIABILITY in file.var else np.zeros(n)
    order = np.lexsort((np.arange(n), -np.nan_to_num(trust, nan=-1.0), ~measured))
    return order[:MOST_GENES]


def _shares(found: Additions) -> Any:
    """Shares of cell types of the analysis result, where there is one."""
    table = found.obsm.get(keys.TYPES)
    return table if table is not None and hasattr(table, "columns") else None


def _new(path: Path) -> Any:
    import zarr

    return zarr.open_group(str(path), mode="w", zarr_format=2)


def _close(path: Path) -> None:
    import zarr

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zarr.consolidate_metadata(str(path), zarr_format=2)


def _matrix(group: Any, name: str, shape: tuple[int, int]) -> Any:
    values = group.create_array(name, shape=shape, chunks=(shape[0], min(_COLUMNS, shape[1])), dtype="float32")
    values.attrs.update({"encoding-type": "array", "encoding-version": "0.2.0"})
    return values


def _empty(path: Path, obs: Any, var: Any, xy: np.ndarray) -> Any:
    """An AnnData in zarr without X."""
    group = _new(path)
    group.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        empty = {name: {} for name in ("layers", "varm", "obsp", "varp", "uns")}
        write_elements(group, "", {"obs": obs, "var": var, "obsm": {keys.SPATIAL: xy}, **empty})
    return group


def _write_table(
    path: Path, file: SpatialFile, found: Additions, columns: np.ndarray, groups: list[str], xy: np.ndarray
) -> None:
    obs = found.obs[groups].copy()
    # A missing category is a group of its own: a browser takes no gaps.
    for name in groups:
        text = obs[name].astype(object).where(obs[name].notna(), "not known").astype(str)
        obs[name] = text.astype("category")
    var = found.var.iloc[columns][[c for c in (keys.MEASURED, keys.VAR_RELIABILITY) if c in found.var]].copy()
    group = _empty(path, obs, var, xy)
    values = _matrix(group, "X", (len(obs), len(columns)))
    node = file.matrix(None)
    for start in range(0, len(columns) if node is not None else 0, _READ):
        some = columns[start : start + _READ]
        values[:, start : start + len(some)] = read_columns(node, some)
    _close(path)


def _write_shares(path: Path, file: SpatialFile, shares: Any, xy: np.ndarray) -> None:
    import pandas as pd

    group = _empty(path, pd.DataFrame(index=file.obs.index), pd.DataFrame(index=[str(c) for c in shares.columns]), xy)
    _matrix(group, "X", shares.shape)[:] = np.asarray(shares, dtype=np.float32)
    _close(path)


def _write_picture(path: Path, rgb: np.ndarray, name: str, pixel: float, in_um: bool) -> None:
    """OME-Zarr 0.4: halved until it fits a tile; `pixel` is the side of a pixel of the picture."""
    from PIL import Image

    group = _new(path)
    levels, image = [], np.ascontiguousarray(rgb)
    while True:
        level = len(levels)
        planes = image.transpose(2, 0, 1)
        array = group.create_array(
            str(level),
            shape=planes.shape,
            chunks=(1, _TILE, _TILE),
            dtype="uint8",
            chunk_key_encoding={"name": "v2", "separator": "/"},
        )
        array[:] = planes
        # The true ratio: an odd side is not halved exactly.
        step = [1.0, pixel * rgb.shape[0] / image.shape[0], pixel * rgb.shape[1] / image.shape[1]]
        levels.append({"path": str(level), "coordinateTransformations": [{"type": "scale", "scale": step}]})
        if max(image.shape[:2]) <= _TILE:
            break
        size = (max(1, image.shape[1] // 2), max(1, image.shape[0] // 2))
        image = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    space = {"type": "space"} | ({"unit": "micrometer"} if in_um else {})
    axes = [{"name": "c", "type": "channel"}, {"name": "y", **space}, {"name": "x", **space}]
    channels = [
        {"label": label, "color": colour, "window": {"start": 0, "end": 255, "min": 0, "max": 255}, "active": True}
        for label, colour in (("red", "FF0000"), ("green", "00FF00"), ("blue", "0000FF"))
    ]
    group.attrs.update(
        {
            "multiscales": [{"version": "0.4", "name": name, "axes": axes, "datasets": levels}],
            "omero": {"name": name, "version": "0.4", "channels": channels, "rdefs": {"model": "color"}},
        }
    )
    _close(path)

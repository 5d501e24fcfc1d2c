"""A spatial AnnData on disk, read in pieces: tables at once, matrices never whole."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from focus_cli.core import keys
from focus_cli.core.errors import BadInputError, FocusError, MissingResourceError
from focus_cli.core.h5ad.focus_schema import check_columns, check_focus
from focus_cli.core.storage.column_names import proper_names
from focus_cli.core.storage.damage import damaged, raised_by_hdf5
from focus_cli.core.storage.documents import parse_json
from focus_cli.core.storage.hdf5 import check_sparse, open_hdf5

if TYPE_CHECKING:
    from typing import TypeAlias

    import pandas as pd

    Node: TypeAlias = h5py.Group | h5py.Dataset


def open_h5ad(path: Path) -> h5py.File:
    """Open an ``.h5ad`` for reading.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If the file is not HDF5 (or is cut off), or does not hold an AnnData.
    """
    path = Path(path)
    if not path.exists():
        raise MissingResourceError(f"no such file: {path}", hint="focus enhance writes one")
    if path.is_dir():
        raise BadInputError(f"{path} is a folder, not an .h5ad file", hint="name a file written by focus enhance")
    handle = open_hdf5(path)
    if "obs" not in handle or "var" not in handle:
        handle.close()
        raise BadInputError(f"{path} holds no AnnData: obs or var is missing", hint="name an .h5ad file")
    return handle


def plain(value: Any) -> Any:
    """Turn what HDF5 gives back (numpy scalars, arrays, JSON as text) into plain Python values."""
    if isinstance(value, dict):
        return {str(k): plain(v) for k, v in sorted(value.items(), key=lambda item: str(item[0]))}
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return [plain(v) for v in value.tolist()] if value.ndim else plain(value.item())
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            return plain(parse_json(value, "text"))
        except FocusError:
            return value
    return value


def read_node(node: Node, path: Path) -> Any:
    """Read one element as anndata does.

    Raises
    ------
    BadInputError
        If the element is damaged.
    """
    from anndata.io import read_elem

    try:
        found = read_elem(node)
    except Exception as error:  # anndata wraps the errors of others in classes of its own
        raise damaged(f"{node.name} of {path}", error, "write the file again") from error
    check_sparse(found, f"{node.name} of {path}")
    return found


class SpatialFile:
    """An AnnData with positions. A context manager; nothing big is read before it is requested.

    Attributes
    ----------
    obs, var
        Tables of locations and genes.
    xy
        Positions (x, y) in full-resolution pixels, float64 (n, 2).
    focus
        ``uns["focus"]`` in plain Python values; empty for a file of another program.
    """

    def __init__(self, path: Path) -> None:
        self.path = Path(path)
        self.handle = open_h5ad(self.path)
        try:
            self.focus: dict[str, Any] = self._focus()
            self.obs: pd.DataFrame = self._table("obs")
            self.var: pd.DataFrame = self._table("var")
            self.xy = self._positions()
        except FocusError:
            self.handle.close()
            raise

    def __enter__(self) -> SpatialFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        with suppress(Exception):  # of a damaged file, whose fault was reported before
            self.handle.close()
        # Matrices are read long after the file was opened: what HDF5 raises then is about the file as well.
        if isinstance(error, (OSError, RuntimeError)) and raised_by_hdf5(error):
            raise damaged(self.path, error, "write the file again") from error

    def _table(self, name: str) -> pd.DataFrame:
        import pandas as pd

        table = read_node(self.handle[name], self.path)
        if not isinstance(table, pd.DataFrame):
            raise BadInputError(f"{name} of {self.path} is not a table", hint="write the file again")
        table.index = table.index.astype(str)
        if self.is_focus:
            check_columns(table, name, self.path)
            if not table.index.is_unique:
                raise BadInputError(f"{self.path}: a name in {name} comes twice", hint="write the file again")
        return table

    def _focus(self) -> dict[str, Any]:
        node = self.handle.get(f"uns/{keys.UNS}")
        value = plain(read_node(node, self.path)) if node is not None else {}
        focus = value if isinstance(value, dict) else {}
        check_focus(focus, self.path)
        return focus

    def _positions(self) -> np.ndarray:
        node = self.handle.get(f"obsm/{keys.SPATIAL}")
        if node is None:
            raise BadInputError(
                f"{self.path} has no obsm[{keys.SPATIAL!r}]: locations have no positions",
                hint="name a file written by focus enhance",
            )
        xy = self._numbers(read_node(node, self.path), f"obsm[{keys.SPATIAL!r}]")
        if xy.ndim != 2 or xy.shape[1] < 2 or len(xy) != len(self.obs) or not np.isfinite(xy).all():
            raise BadInputError(
                f"obsm[{keys.SPATIAL!r}] of {self.path} is not one finite (x, y) for each location",
                hint="write the file again",
            )
        if len(xy) == 0:
            raise BadInputError(f"{self.path} has no locations", hint="write the file again")
        return xy[:, :2]

    @property
    def is_focus(self) -> bool:
        """Whether FOCUS wrote the file."""
        return bool(self.focus)

    @property
    def kind(self) -> str:
        """``"enhanced"``, ``"refined"``, the kind of an analysis result; ``"other"`` for a file of another program."""
        return str(self.focus.get("kind", "enhanced")) if self.is_focus else "other"

    @property
    def sample(self) -> str:
        """Id of the sample; the file's name where it is not stated."""
        return str(self.focus.get("sample_id") or self.path.stem)

    @property
    def xy_um(self) -> np.ndarray:
        """Positions (x, y) in µm, float64 (n, 2); in pixels where the file states no µm."""
        um = self.obsm(keys.SPATIAL_UM)
        if um is None:
            return self.xy * float(self.focus.get("mpp", 1.0))
        um = self._numbers(um, f"obsm[{keys.SPATIAL_UM!r}]")
        if um.ndim != 2 or um.shape[1] < 2 or not np.isfinite(um).all():
            raise BadInputError(
                f"obsm[{keys.SPATIAL_UM!r}] of {self.path} is not one finite (x, y) for each location",
                hint="write the file again",
            )
        return um[:, :2]

    def _numbers(self, value: Any, name: str) -> np.ndarray:
        """An element as float64.

        Raises
        ------
        BadInputError
            If it holds something else than numbers.
        """
        try:
            return np.asarray(value, np.float64)
        except (TypeError, ValueError) as error:
            raise BadInputError(f"{name} of {self.path} holds no numbers", hint="write the file again") from error

    @property
    def on_tissue(self) -> np.ndarray:
        """Whether a location lies on tissue, bool (n,); all do where the file does not state it."""
        if keys.IN_TISSUE not in self.obs:
            return np.ones(len(self.obs), bool)
        return self.obs[keys.IN_TISSUE].to_numpy() > 0

    @property
    def measured(self) -> np.ndarray:
        """Whether a gene is on the panel, bool (m,); all are where the file does not state it."""
        if keys.MEASURED not in self.var:
            return np.ones(len(self.var), bool)
        return self.var[keys.MEASURED].to_numpy(bool)

    def matrix(self, layer: str | None) -> Node | None:
        """The node of X (``layer=None``) or of a layer; None where the file has none."""
        node = self.handle.get("X" if layer is None else f"layers/{layer}")
        if node is None:
            return None
        shape = node.shape if isinstance(node, h5py.Dataset) else tuple(node.attrs.get("shape", ()))
        if tuple(shape) != (len(self.obs), len(self.var)):
            raise BadInputError(
                f"{node.name} of {self.path} has shape {tuple(shape)}, not {(len(self.obs), len(self.var))}",
                hint="write the file again",
            )
        return node

    def counts(self) -> Node | None:
        """Raw counts: the layer of that name, else X of a file that FOCUS did not write."""
        node = self.matrix(keys.COUNTS)
        return node if node is not None or self.is_focus else self.matrix(None)

    def obsm(self, key: str) -> Any | None:
        """One element of obsm, or None; columns of a table under their own names."""
        value = self._aligned(f"obsm/{key}", len(self.obs))
        return None if value is None else proper_names(value, self._columns(key))

    def _columns(self, key: str) -> Any | None:
        node = self.handle.get(f"uns/{keys.UNS_COLUMNS}/{key}")
        return None if node is None else read_node(node, self.path)

    def _aligned(self, place: str, n: int) -> Any | None:
        node = self.handle.get(place)
        if node is None:
            return None
        value = read_node(node, self.path)
        shape = getattr(value, "shape", ())
        if not shape or shape[0] != n:
            raise BadInputError(f"{place} of {self.path} does not have {n} rows", hint="write the file again")
        return value

    def varm(self, key: str) -> Any | None:
        """One element of varm, or None."""
        return self._aligned(f"varm/{key}", len(self.var))

    def uns(self, key: str) -> Any | None:
        """One element of uns as anndata reads it, or None."""
        node = self.handle.get(f"uns/{key}")
        return None if node is None else read_node(node, self.path)

    def images(self) -> Iterator[tuple[str, np.ndarray, float]]:
        """Yield (library id, RGB image uint8, image px per full-resolution px) of every stored picture.

        The best picture of each library comes alone: hires before lowres.
        """
        spatial = self.handle.get(f"uns/{keys.UNS_SPATIAL}")
        if not isinstance(spatial, h5py.Group):
            return
        for library in sorted(spatial):
            for size in ("hires", "lowres"):
                node = spatial.get(f"{library}/images/{size}")
                scale = spatial.get(f"{library}/scalefactors/tissue_{size}_scalef")
                if node is None or scale is None:
                    continue
                image = np.asarray(read_node(node, self.path))
                factor = self._factor(scale)
                if image.dtype.kind in "iufb" and image.ndim == 3 and min(image.shape) > 0 and image.shape[2] >= 3:
                    if image.dtype != np.uint8:
                        image = np.round(255 * np.clip(np.nan_to_num(image), 0, 1)).astype(np.uint8)
                    yield library, image[:, :, :3], factor
                    break

    def spot_diameter_px(self) -> float | None:
        """The vendor's spot diameter in full-resolution pixels, where the file carries it."""
        spatial = self.handle.get(f"uns/{keys.UNS_SPATIAL}")
        for library in sorted(spatial) if isinstance(spatial, h5py.Group) else ():
            node = spatial.get(f"{library}/scalefactors/spot_diameter_fullres")
            if node is not None:
                return self._factor(node)
        return None

    def _factor(self, node: Node) -> float:
        """A scale factor.

        Raises
        ------
        BadInputError
            If it is no positive number.
        """
        value = self._numbers(read_node(node, self.path), node.name)
        if value.size != 1 or not 0 < float(value.ravel()[0]) < 1e9:
            raise BadInputError(f"{node.name} of {self.path} is no scale", hint="write the file again")
        return float(value.ravel()[0])

"""Opening HDF5 and AnnData files that may be damaged, or made to reach beyond themselves."""

from __future__ import annotations

import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5l, h5o, h5s

from focus_cli.core.errors import BadInputError, FocusError
from focus_cli.core.storage.damage import damaged
from focus_cli.core.storage.regular import require_regular

if TYPE_CHECKING:
    from anndata import AnnData

# A global heap, where text of any length lies: signature, version 1, three zeros, then its size in 8 bytes and its
# objects, each headed by 16 bytes (HDF5 file format specification 3.0, III.E).
_HEAP = b"GCOL\x01\x00\x00\x00"
_HEAD, _ALIGN = 16, 8
_LENGTH = 8  # bytes of a length, as every program writes them; heaps of others are not looked through
_BLOCK = 1 << 22
MAX_OBJECTS = 200_000
MAX_DEPTH = 48
# Fill values take no space in a file, and a repeated value takes a thousandth with gzip: a few bytes can claim any
# size. Real expression, dense and nearly empty, reaches some hundreds to one. Below the first two figures nothing is
# refused.
_CLAIMED_FREELY = 1 << 30
_UNSTORED_FREELY = 256 << 20  # of which not one value was written
_MAX_RATIO = 600
_SPARSE = {b"data", b"indices", b"indptr"}
_HINT = "save it again as one file: `h5repack` or the program that wrote it"
_UNPACKED_HINT = "if all of its values are meant to be equal, store them unpacked: `h5repack -f NONE IN OUT`"


def open_hdf5(path: Path, mode: str = "r", *, whole: bool = True) -> h5py.File:
    """Open an HDF5 file that holds all of its content itself.

    HDF5 never returns from a heap that holds an object of no size, as a file does whose middle was lost in copying
    and reads as zeros, or one whose size overflows; so the heaps are checked first. Links are listed without being
    followed: one into another file would make that file's content part of this one, and one to a named pipe blocks.

    Parameters
    ----------
    mode
        ``"r"``, or ``"r+"`` for a file of our own.
    whole
        Whether to look through all of the file for damaged heaps, which costs as much as reading it once.

    Raises
    ------
    MissingResourceError
        If there is no such file.
    BadInputError
        If it is no regular file or no HDF5 file, is damaged, or reaches elsewhere: by external or user-defined links,
        by external storage, by virtual data sets, or by groups that contain themselves.
    """
    path = require_regular(path)
    try:
        if not h5py.is_hdf5(path):
            raise OSError("it is not an HDF5 file")
        state = os.stat(path)
        if whole and not _heaps_are_sound(path, state.st_size, state.st_mtime_ns, state.st_ino):
            raise OSError("a heap holds an object of no size, or of more than its own")
        _check_content(path, state.st_size, state.st_mtime_ns, state.st_ino)
        return h5py.File(path, mode)
    except Exception as error:  # h5py raises OSError, KeyError, RuntimeError, ValueError, TypeError, UnicodeDecodeError
        raise damaged(path, error) from error


def read_anndata(path: Path, hint: str = "copy or download the file again") -> AnnData:
    """Read a whole AnnData file; `hint` states what to do about a damaged one.

    Returns
    -------
    AnnData
        As `anndata.read_h5ad` reads it; its sparse matrices were checked.

    Raises
    ------
    MissingResourceError, BadInputError
        As `open_hdf5`; BadInputError as well where it is no AnnData or its parts do not fit together.
    """
    import anndata

    try:
        open_hdf5(path).close()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of old encodings, with the path of the installation
            adata = anndata.read_h5ad(path)
        matrices = {"X": adata.X} | {f"layers[{k!r}]": v for k, v in adata.layers.items()}
        for kind in ("obsm", "varm", "obsp", "varp"):
            matrices |= {f"{kind}[{k!r}]": v for k, v in getattr(adata, kind).items()}
        if adata.raw is not None:
            matrices["raw"] = adata.raw.X
        for name, matrix in matrices.items():
            check_sparse(matrix, f"{path}: {name}")
        return adata
    except BadInputError as error:
        raise BadInputError(error.message, error.hint or hint) from error
    except Exception as error:  # anndata wraps the errors of others in classes of its own
        raise damaged(path, error, hint) from error


def check_sparse(matrix: Any, name: str) -> None:
    """Refuse a compressed sparse matrix whose arrays do not fit together; SciPy would read beyond its memory.

    Raises
    ------
    BadInputError
        Naming the matrix. Anything that is not compressed sparse passes.
    """
    from scipy import sparse

    if not (sparse.issparse(matrix) and matrix.format in ("csr", "csc")):
        return
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            matrix.check_format(full_check=True)
    except Exception as error:
        raise BadInputError(f"{name}: the sparse arrays do not fit together", hint="write the file again") from error


@lru_cache(maxsize=64)
def _check_content(path: Path, size: int, changed: int, inode: int) -> None:
    """Refuse what reaches out of the file; the last three arguments identify whether it is still the same file."""
    with h5py.File(path, "r") as file:
        if file.id.get_create_plist().get_sizes()[1] != _LENGTH:
            raise BadInputError(f"{path} states lengths in another number of bytes than {_LENGTH}", hint=_HINT)
        _Walk(path).group(h5g.open(file.id, b"/"))


class _Walk:
    """A pass over all objects of a file, none of which is followed out of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sizes: dict[tuple, int] = {}  # of groups by their address: objects below them, each path counted
        self.open_groups: set[tuple] = set()

    def _check_claim(self, place: str, claimed: int, stored: int) -> None:
        """Refuse what would unpack to far more than any measurement does."""
        if claimed > (_CLAIMED_FREELY if stored else _UNSTORED_FREELY) and claimed > _MAX_RATIO * stored:
            raise BadInputError(
                f"{self.path}: {place} claims {claimed / 2**30:,.1f} GiB and stores nearly nothing", hint=_UNPACKED_HINT
            )

    def group(self, group: h5g.GroupID, place: str = "", depth: int = 0) -> int:
        """Check a group; return how many objects a reader meets that descends into it."""
        address = _address(group)
        if address in self.open_groups:
            raise self._refusal(place, "a group that contains itself")
        if address in self.sizes:
            return self.sizes[address]
        if depth > MAX_DEPTH:
            raise BadInputError(f"{self.path} is nested more than {MAX_DEPTH} levels deep", hint=_HINT)
        self.open_groups.add(address)
        total = 1
        for name in group:
            total += self._link(group, name, f"{place}/{name.decode('utf-8', 'replace')}", depth)
            if total > MAX_OBJECTS:
                raise BadInputError(f"{self.path} holds more than {MAX_OBJECTS:,} objects", hint=_HINT)
        self.open_groups.discard(address)
        self.sizes[address] = total
        self._claims(group, place)
        return total

    def _claims(self, group: h5g.GroupID, place: str) -> None:
        """Check the sizes of a group's data sets; those of a sparse matrix together, whose values may all be one."""
        sets = {name: found for name in group if (found := _dataset(group, name)) is not None}
        sizes = {name: _size(found) for name, found in sets.items()}
        if set(sets) >= _SPARSE:
            _check_lengths(group, sets, f"{self.path}: {place or '/'}")
            if _length(sets[b"data"]) == _length(sets[b"indices"]):
                parts = sizes.pop(b"data"), sizes.pop(b"indices")
                self._check_claim(place, sum(claimed for claimed, _ in parts), sum(stored for _, stored in parts))
        for name, (claimed, stored) in sizes.items():
            self._check_claim(f"{place}/{name.decode('utf-8', 'replace')}", claimed, stored)

    def _link(self, group: h5g.GroupID, name: bytes, place: str, depth: int) -> int:
        kind = group.links.get_info(name).type
        if kind == h5l.TYPE_EXTERNAL:
            raise self._refusal(place, "a link into another file")
        if kind not in (h5l.TYPE_HARD, h5l.TYPE_SOFT):
            raise self._refusal(place, "a user-defined link")
        try:
            target = h5o.open(group, name)
        except Exception as error:
            if kind == h5l.TYPE_SOFT and "too many links" in str(error):
                raise self._refusal(place, "a link that leads to itself") from error
            if kind == h5l.TYPE_SOFT:
                # It leads nowhere, or over another link that is met by itself: a reader finds nothing there.
                return 1
            raise
        if isinstance(target, h5g.GroupID):
            return self.group(target, place, depth + 1)
        if isinstance(target, h5d.DatasetID):
            self._check_storage(target, place)
        return 1

    def _check_storage(self, dataset: h5d.DatasetID, place: str) -> None:
        made = dataset.get_create_plist()
        if made.get_layout() == h5d.VIRTUAL:
            raise self._refusal(place, "a virtual data set, whose values lie in other files")
        if made.get_external_count():
            raise self._refusal(place, "a data set whose values lie in another file")

    def _refusal(self, place: str, what: str) -> FocusError:
        return BadInputError(f"{self.path}: {place} is {what}, which is not opened", hint=_HINT)


def _dataset(group: h5g.GroupID, name: bytes) -> h5d.DatasetID | None:
    try:
        found = h5o.open(group, name)
    except Exception:  # a link that leads nowhere, as `_Walk._link` found
        return None
    return found if isinstance(found, h5d.DatasetID) else None


def _length(dataset: h5d.DatasetID) -> int:
    space = dataset.get_space()
    return space.get_simple_extent_npoints() if space.get_simple_extent_type() == h5s.SIMPLE else 0


def _size(dataset: h5d.DatasetID) -> tuple[int, int]:
    """Bytes that its values take in memory, and in the file."""
    return _length(dataset) * max(dataset.get_type().get_size(), 1), dataset.get_storage_size()


def _check_lengths(group: h5g.GroupID, sets: dict[bytes, h5d.DatasetID], name: str) -> None:
    """Refuse a sparse matrix of AnnData whose arrays are of other lengths than they state, before they are read."""
    attributes = h5py.Group(group).attrs
    encoding = attributes.get("encoding-type", attributes.get("h5sparse_format"))
    shape = attributes.get("shape", attributes.get("h5sparse_shape"))
    if encoding not in ("csr_matrix", "csc_matrix", "csr", "csc") or np.shape(shape) != (2,):
        return
    rows, columns = (int(n) for n in shape)
    stored, starts = _length(sets[b"data"]), _length(sets[b"indptr"])
    whole = stored == _length(sets[b"indices"]) and starts == 1 + (rows if encoding.startswith("csr") else columns)
    if not (whole and stored <= rows * columns and int(h5py.Dataset(sets[b"indptr"])[-1]) == stored):
        raise BadInputError(f"{name}: the sparse arrays do not fit together", hint="write the file again")


def _address(group: h5g.GroupID) -> tuple:
    info = h5o.get_info(group)
    return info.fileno, info.addr


@lru_cache(maxsize=64)
def _heaps_are_sound(path: Path, size: int, changed: int, inode: int) -> bool:
    """The last three arguments identify whether it is still the same file."""
    with open(path, "rb") as stream:
        before, start = b"", 0
        while block := stream.read(_BLOCK):
            block = before + block
            at = block.find(_HEAP)
            while at >= 0:
                if not _heap_is_sound(stream, start + at, size):
                    return False
                at = block.find(_HEAP, at + 1)
            before = block[1 - len(_HEAP) :]
            start += len(block) - len(before)
            stream.seek(start + len(before))
    return True


def _heap_is_sound(stream, start: int, file_size: int) -> bool:
    stream.seek(start + len(_HEAP))
    heap_size = int.from_bytes(stream.read(8), "little")
    if heap_size > file_size - start:
        return True  # truncated: HDF5 reports it
    heap = stream.read(heap_size - _HEAD) if heap_size > _HEAD else b""
    at = 0
    while len(heap) - at >= _HEAD:
        index = int.from_bytes(heap[at : at + 2], "little")
        length = int.from_bytes(heap[at + 8 : at + 16], "little")
        if index == 0 and length == 0:
            return False
        # The size of free space, which has index 0, counts its head.
        at += length if index == 0 else _HEAD + -(-length // _ALIGN) * _ALIGN
        if at > len(heap):
            return False  # HDF5 adds such a length without a check: the sum overflows and leads back into the heap
    return True

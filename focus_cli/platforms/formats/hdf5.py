"""Opening HDF5 files that may be damaged."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

import h5py

# A global heap, where text of any length lies: signature, version 1, three zeros, then its size in 8 bytes and its
# objects, each headed by 16 bytes (HDF5 file format specification 3.0, III.E).
_HEAP = b"GCOL\x01\x00\x00\x00"
_HEAD, _ALIGN = 16, 8
_BLOCK = 1 << 22


def open_hdf5(path: Path) -> h5py.File:
    """Open a file for reading.

    HDF5 never returns from a heap that holds an object of no size, as a file does whose middle was lost in copying
    and reads as zeros. So the heaps are looked through first.

    Raises
    ------
    OSError
        If it is no HDF5 file, or a heap is damaged.
    """
    path = Path(path)
    state = os.stat(path)
    if not _heaps_are_sound(path, state.st_size, state.st_mtime_ns):
        raise OSError("a heap holds an object of no size")
    return h5py.File(path, "r")


@lru_cache(maxsize=64)
def _heaps_are_sound(path: Path, size: int, changed: int) -> bool:
    """`size` and `changed` say whether it is still the same file."""
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
        return True  # cut off: HDF5 says so itself
    heap = stream.read(heap_size - _HEAD) if heap_size > _HEAD else b""
    at = 0
    while len(heap) - at >= _HEAD:
        index = int.from_bytes(heap[at : at + 2], "little")
        length = int.from_bytes(heap[at + 8 : at + 16], "little")
        if index == 0 and length == 0:
            return False
        # The size of free space, which has index 0, counts its head.
        at += length if index == 0 else _HEAD + -(-length // _ALIGN) * _ALIGN
    return True

"""The on-disk sample: schema, atomic writing, backed reading."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from focus_cli.core.storage.anndata_writing import write_anndata, write_elements
from focus_cli.core.storage.atomic import atomic_directory, atomic_file
from focus_cli.core.storage.folder import require_files
from focus_cli.core.storage.names import is_sample_id, sample_id_of
from focus_cli.core.storage.outputs import check_output
from focus_cli.core.storage.scratch import scratch_folder

if TYPE_CHECKING:
    from focus_cli.core.storage.sample import (
        Footprint,
        ImageInfo,
        PlatformInfo,
        SampleInfo,
        StoredSample,
        is_sample,
        open_sample,
        write_sample,
    )

__all__ = [
    "Footprint",
    "ImageInfo",
    "PlatformInfo",
    "SampleInfo",
    "StoredSample",
    "atomic_directory",
    "atomic_file",
    "check_output",
    "is_sample",
    "is_sample_id",
    "open_sample",
    "require_files",
    "sample_id_of",
    "scratch_folder",
    "write_anndata",
    "write_elements",
    "write_sample",
]


def __getattr__(name: str) -> Any:
    """Import the sample when it is asked for: who plans a run opens files and loads no NumPy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("focus_cli.core.storage.sample"), name)

"""The on-disk sample: schema, atomic writing, backed reading."""

from focus_cli.store.anndata_writing import write_anndata, write_elements
from focus_cli.store.atomic import atomic_directory, atomic_file
from focus_cli.store.folder import require_files
from focus_cli.store.names import is_sample_id, sample_id_of
from focus_cli.store.outputs import check_output
from focus_cli.store.sample import (
    Footprint,
    ImageInfo,
    PlatformInfo,
    SampleInfo,
    StoredSample,
    is_sample,
    open_sample,
    write_sample,
)
from focus_cli.store.scratch import scratch_folder

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

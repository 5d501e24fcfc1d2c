"""The on-disk sample: schema, atomic writing, backed reading."""

from focus_cli.store.anndata_writing import write_anndata, write_elements
from focus_cli.store.atomic import atomic_directory, atomic_file, refuse_existing
from focus_cli.store.folder import require_files
from focus_cli.store.sample import (
    Footprint,
    ImageInfo,
    PlatformInfo,
    SampleInfo,
    StoredSample,
    is_sample,
    is_sample_id,
    open_sample,
    sample_id_of,
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
    "is_sample",
    "is_sample_id",
    "open_sample",
    "refuse_existing",
    "require_files",
    "sample_id_of",
    "write_anndata",
    "write_elements",
    "write_sample",
]

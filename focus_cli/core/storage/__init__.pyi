from .anndata_writing import write_anndata as write_anndata
from .anndata_writing import write_elements as write_elements
from .atomic import atomic_directory as atomic_directory
from .atomic import atomic_file as atomic_file
from .folder import require_files as require_files
from .names import is_sample_id as is_sample_id
from .names import sample_id_of as sample_id_of
from .outputs import check_output as check_output
from .sample import Footprint as Footprint
from .sample import ImageInfo as ImageInfo
from .sample import PlatformInfo as PlatformInfo
from .sample import SampleInfo as SampleInfo
from .sample import StoredSample as StoredSample
from .sample import is_sample as is_sample
from .sample import open_sample as open_sample
from .sample import write_sample as write_sample
from .scratch import scratch_folder as scratch_folder

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

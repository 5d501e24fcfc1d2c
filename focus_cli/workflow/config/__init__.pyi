from .loading import check_config as check_config
from .loading import load_config as load_config
from .models import Fold as Fold
from .models import RunConfig as RunConfig
from .models import SampleRow as SampleRow
from .paths import container_image as container_image
from .paths import input_files as input_files
from .paths import output_folder as output_folder
from .sheet import COLUMNS as COLUMNS
from .sheet import load_samples as load_samples
from .sheet import table_files as table_files
from .variables import expand as expand

__all__ = [
    "COLUMNS",
    "Fold",
    "RunConfig",
    "SampleRow",
    "check_config",
    "container_image",
    "expand",
    "input_files",
    "load_config",
    "load_samples",
    "output_folder",
    "table_files",
]

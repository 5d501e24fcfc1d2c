"""One model of a whole run: its configuration and the sheet of its samples."""

from focus_cli.workflow.config.loading import check_config, load_config
from focus_cli.workflow.config.models import Fold, RunConfig, SampleRow
from focus_cli.workflow.config.paths import container_image, input_files, output_folder
from focus_cli.workflow.config.sheet import COLUMNS, load_samples
from focus_cli.workflow.config.variables import expand

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
]

"""Resources of a job of each stage, from the size of its sample; used by the rules and by the stage itself."""

from focus_cli.core.resources.estimates import STAGES, Needs, needs
from focus_cli.core.resources.memory import available_mb, check_memory
from focus_cli.core.resources.size import DEFAULT_SIZE, Size, result_size, sample_size

__all__ = [
    "DEFAULT_SIZE",
    "STAGES",
    "Needs",
    "Size",
    "available_mb",
    "check_memory",
    "needs",
    "result_size",
    "sample_size",
]

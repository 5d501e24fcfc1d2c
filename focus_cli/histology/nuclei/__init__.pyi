from .backends import METHODS as METHODS
from .find import COLUMNS as COLUMNS
from .find import INDEX as INDEX
from .find import find_nuclei as find_nuclei
from .stage import write_nuclei as write_nuclei

__all__ = [
    "COLUMNS",
    "INDEX",
    "METHODS",
    "find_nuclei",
    "write_nuclei",
]

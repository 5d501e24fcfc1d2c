from .all_checks import LOOKS as LOOKS
from .all_checks import as_text as as_text
from .all_checks import checks as checks
from .all_checks import to_json as to_json
from .check import FAIL as FAIL
from .check import PASS as PASS
from .check import WARN as WARN
from .check import Check as Check

__all__ = [
    "FAIL",
    "LOOKS",
    "PASS",
    "WARN",
    "Check",
    "as_text",
    "checks",
    "to_json",
]

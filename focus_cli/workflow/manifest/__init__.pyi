from .explain import explain_run as explain_run
from .jobs import jobs_of as jobs_of
from .manifest import begin as begin
from .manifest import finish as finish
from .manifest import note_node as note_node

__all__ = [
    "begin",
    "explain_run",
    "finish",
    "jobs_of",
    "note_node",
]

from .collection import PAGE as PAGE
from .collection import RECORD as RECORD
from .collection import TABLE as TABLE
from .collection import write_cohort as write_cohort
from .facts import Score as Score
from .facts import score_of as score_of
from .jobs import SHARED_RULES as SHARED_RULES
from .jobs import CohortJobs as CohortJobs
from .jobs import Job as Job
from .jobs import SampleJobs as SampleJobs
from .jobs import as_json as as_json
from .jobs import from_json as from_json
from .jobs import last_words as last_words
from .measurements import read_benchmark as read_benchmark
from .page import span as span

__all__ = [
    "PAGE",
    "RECORD",
    "SHARED_RULES",
    "TABLE",
    "CohortJobs",
    "Job",
    "SampleJobs",
    "Score",
    "as_json",
    "from_json",
    "last_words",
    "read_benchmark",
    "score_of",
    "span",
    "write_cohort",
]

from .collection import PAGE as PAGE
from .collection import RECORD as RECORD
from .collection import TABLE as TABLE
from .collection import write_cohort as write_cohort
from .jobs import SHARED_RULES as SHARED_RULES
from .jobs import CohortJobs as CohortJobs
from .jobs import Job as Job
from .jobs import SampleJobs as SampleJobs
from .jobs import as_json as as_json
from .jobs import from_json as from_json
from .measurements import read_benchmark as read_benchmark

__all__ = [
    "PAGE",
    "RECORD",
    "SHARED_RULES",
    "TABLE",
    "CohortJobs",
    "Job",
    "SampleJobs",
    "as_json",
    "from_json",
    "read_benchmark",
    "write_cohort",
]

from .config import check_benchmark as check_benchmark
from .config import load_benchmark as load_benchmark
from .plan import BenchmarkPlan as BenchmarkPlan
from .report import write_report as write_report

__all__ = [
    "BenchmarkPlan",
    "check_benchmark",
    "load_benchmark",
    "write_report",
]

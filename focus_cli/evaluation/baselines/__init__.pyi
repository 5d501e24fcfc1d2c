from .inputs import Inputs as Inputs
from .inputs import NotRunnable as NotRunnable
from .inputs import Section as Section
from .reference import name_alike as name_alike
from .registry import BASELINES as BASELINES
from .registry import run_baselines as run_baselines

__all__ = [
    "BASELINES",
    "Inputs",
    "NotRunnable",
    "Section",
    "name_alike",
    "run_baselines",
]

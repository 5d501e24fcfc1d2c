from .ablation import SIGNALS as SIGNALS
from .ablation import ablate_reference as ablate_reference
from .ablation import ablate_sample as ablate_sample
from .ablation import parse_ablations as parse_ablations
from .conditions import label_codes as label_codes
from .conditions import state_latents as state_latents
from .handle import LoadedOneByOne as LoadedOneByOne
from .handle import SampleHandle as SampleHandle
from .ood import ood_score_of as ood_score_of
from .sample import SampleData as SampleData
from .sample import load_sample_data as load_sample_data
from .sample import without_counts as without_counts
from .sample import without_image as without_image
from .view import View as View
from .view import make_view as make_view

__all__ = [
    "SIGNALS",
    "LoadedOneByOne",
    "SampleData",
    "SampleHandle",
    "View",
    "ablate_reference",
    "ablate_sample",
    "label_codes",
    "load_sample_data",
    "make_view",
    "ood_score_of",
    "parse_ablations",
    "state_latents",
    "without_counts",
    "without_image",
]

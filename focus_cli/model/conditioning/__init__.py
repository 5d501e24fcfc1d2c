"""From a stored sample to the network's conditions: image features, neighbours' statistics, cell states."""

from focus_cli.model.conditioning.handle import LoadedOneByOne, SampleHandle
from focus_cli.model.conditioning.sample import SampleData, load_sample_data
from focus_cli.model.conditioning.view import View, make_view

__all__ = ["LoadedOneByOne", "SampleData", "SampleHandle", "View", "load_sample_data", "make_view"]

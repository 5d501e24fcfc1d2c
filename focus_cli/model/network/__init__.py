"""The network, the likelihood, the flow: tensors in, tensors out, no files."""

from focus_cli.core.device import to_device
from focus_cli.model.network.config import PRESETS, ModelConfig
from focus_cli.model.network.network import FocusNet, Nodes, Query, every

__all__ = ["PRESETS", "FocusNet", "ModelConfig", "Nodes", "Query", "every", "to_device"]

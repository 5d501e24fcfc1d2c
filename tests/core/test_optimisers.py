"""Optimisers without the compiler take the steps of PyTorch's own."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from focus_cli.core import optimisers


def trained(kind, **options) -> tuple[torch.Tensor, dict]:
    """Weights and state after some steps with a schedule, a clip, and a state that was restored."""
    generator = torch.Generator().manual_seed(0)
    net = torch.nn.Linear(5, 3)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    optimiser = kind(net.parameters(), lr=0.01, **options)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 0.01, total_steps=30)
    for step in range(20):
        optimiser.zero_grad()
        net(torch.randn(4, 5, generator=generator)).square().sum().backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        optimiser.step()
        schedule.step()
        if step == 10:
            optimiser.load_state_dict(optimiser.state_dict())
    return net.weight.detach(), optimiser.state_dict()


@pytest.mark.parametrize(("name", "options"), [("Adam", {}), ("AdamW", {"weight_decay": 0.1})])
def test_steps_are_those_of_pytorch(name, options):
    own, state = trained(getattr(optimisers, name), **options)
    theirs, expected = trained(getattr(torch.optim, name), **options)
    assert torch.equal(own, theirs)
    assert state["param_groups"] == expected["param_groups"]
    for key, values in expected["state"].items():
        assert all(torch.equal(state["state"][key][field], value) for field, value in values.items())


def test_gradients_are_enabled_after_a_step_and_no_step_is_recorded():
    weight = torch.ones(2, requires_grad=True)
    optimiser = optimisers.AdamW([weight], lr=0.1)
    weight.sum().backward()
    optimiser.step()
    assert torch.is_grad_enabled()
    assert weight.is_leaf and weight.grad_fn is None


def test_training_does_not_import_the_compiler():
    code = (
        "import sys, torch; from focus_cli.core.optimisers import AdamW; w = torch.ones(2, requires_grad=True); "
        "o = AdamW([w], lr=0.1); o.zero_grad(); w.sum().backward(); o.step(); o.load_state_dict(o.state_dict()); "
        "print('torch._dynamo' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

"""What a step of training costs: floating-point operations of every preset, and how fast this machine does them.

::

    python benchmarks/training_cost.py SAMPLE_DIR --presets nano base large

Operations of forward and backward pass are counted by PyTorch (`torch.utils.flop_counter`) on a view of the sample, as
training draws it; seconds are those of this machine, so that only the count can be carried to another one.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np


def main() -> None:
    """Measure and print."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("sample", type=Path, help="folder made by focus preprocess")
    options.add_argument("--presets", nargs="+", default=["nano", "base"])
    options.add_argument("--steps", type=int, default=3, help="timed steps")
    chosen = options.parse_args()

    import torch
    from torch.utils.flop_counter import FlopCounterMode

    from focus_cli.core.storage import open_sample
    from focus_cli.model.conditioning import load_sample_data
    from focus_cli.model.network import PRESETS, FocusNet
    from focus_cli.model.priors import fit_prior
    from focus_cli.model.training.config import TrainingConfig
    from focus_cli.model.training.objective import compute_losses
    from focus_cli.model.training.views import ViewMaker

    config, data = TrainingConfig(), load_sample_data(open_sample(chosen.sample))
    section = data.genes, data.counts, data.xy_um, data.info.footprint.pitch_um
    print(
        f"{data.info.sample_id}: {len(data.xy_um):,} locations, {len(data.names):,} genes, {data.counts.nnz:,} counts, "
        f"{data.n_features} image features; {torch.get_num_threads()} threads\n"
    )
    print("| preset | parameters | GFLOP per step | MFLOP per location | s per step | GFLOP/s here |")
    print("|---|---|---|---|---|---|")
    for name in chosen.presets:
        prior = fit_prior([section], PRESETS[name].max_factors)
        net = FocusNet(PRESETS[name].model_copy(update={"n_features": data.n_features, "n_factors": prior.n_factors}))
        maker = ViewMaker(data, prior, np.zeros((64, prior.n_factors), np.float32), config)
        start = time.perf_counter()
        view = maker.draw(np.random.default_rng(0))
        drawing = time.perf_counter() - start
        size = min(config.batch_points // view.points.shape[1], view.n_locations)
        batch = np.arange(size)

        def step(net=net, view=view, batch=batch) -> None:
            compute_losses(net, view, batch, config, torch.Generator().manual_seed(0)).total.backward()

        with FlopCounterMode(display=False) as counter:
            step()
        start = time.perf_counter()
        for _ in range(chosen.steps):
            step()
        seconds = (time.perf_counter() - start) / chosen.steps
        flop = counter.get_total_flops()
        parameters = sum(p.numel() for p in net.parameters())
        print(
            f"| {name} | {parameters / 1e6:.2f} M | {flop / 1e9:.2f} | {flop / size / 1e6:.1f} | {seconds:.3f} | "
            f"{flop / seconds / 1e9:.0f} |",
            flush=True,
        )
    print(f"\ndrawing the view of {view.n_locations:,} locations: {drawing:.2f} s, for {config.steps_per_view} steps")


if __name__ == "__main__":
    main()

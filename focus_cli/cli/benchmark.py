"""``focus benchmark``."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH
from focus_cli.core.errors import MissingResourceError, UsageError

_QUICK_STUDY = Path("results/benchmark-quick/study")


@click.command("benchmark", context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="Test run on a small simulated study with few training steps.")
@click.option(
    "--peers", type=PATH, help="Python of the environment with the published methods; also set by $FOCUS_PEERS."
)
@click.option("--profile", default="local", show_default=True, help="Snakemake profile, as for `focus run`.")
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[CONFIG] [SNAKEMAKE OPTION]...")
def command(quick: bool, peers: Path | None, profile: str, arguments: tuple[str, ...]) -> None:
    """Run a benchmark of hold-outs, models, ablations, baselines and published methods, with one report.

    CONFIG lists sections, references and cases; config/benchmark.yaml is that of docs/results.md. An interrupted
    benchmark continues when it is started again. All other options are passed to Snakemake.

    \b
        focus benchmark config/benchmark.yaml --cores 2
        focus benchmark config/benchmark.yaml --peers peers/bin/python --cores 2
        focus benchmark --quick --cores 2
    """
    from focus_cli.workflow import find_profile, shipped_config, start_run
    from focus_cli.workflow.benchmark import load_benchmark

    named = bool(arguments) and not arguments[0].startswith("-")
    if named == quick:
        raise UsageError("give CONFIG, or --quick", hint="focus benchmark config/benchmark.yaml --cores 2")
    options = arguments[1:] if named else arguments
    config = Path(arguments[0]) if named else shipped_config("benchmark.quick.yaml")
    find_profile(profile)
    if peers is not None:
        if not os.access(peers, os.X_OK):
            raise MissingResourceError(
                f"--peers {peers}: no such Python", hint="benchmarks/peers/README.md describes how to install it"
            )
        os.environ["FOCUS_PEERS"] = str(Path(peers).absolute())
    if quick and not _QUICK_STUDY.exists():
        from focus_cli.simulation import simulate

        simulate(_QUICK_STUDY, n_sections=2, size_um=1500, n_genes=120)
    load_benchmark(config)
    start_run([config], profile, options, "benchmark.smk")

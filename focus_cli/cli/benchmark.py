"""``focus benchmark``."""

from __future__ import annotations

import os
from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH
from focus_cli.core.errors import MissingResourceError, UsageError

_QUICK_STUDY = Path("results/benchmark-quick/study")


@click.command("benchmark", context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@click.option("--quick", is_flag=True, help="A small simulated study and a few training steps: does everything run?")
@click.option("--peers", type=PATH, help="Python of the environment that holds the peers; also FOCUS_PEERS.")
@click.option("--profile", default="local", show_default=True, help="As for `focus run`.")
@click.argument("words", nargs=-1, type=click.UNPROCESSED, metavar="[CONFIG] [SNAKEMAKE OPTION]...")
def command(quick: bool, peers: Path | None, profile: str, words: tuple[str, ...]) -> None:
    """Run a benchmark: hold-outs, models, ablations, baselines and peers, into one report.

    CONFIG names sections, references and cases; config/benchmark.yaml is the one of docs/results.md. A benchmark
    that was stopped goes on where it was. Every other option goes to Snakemake as it is.

    \b
        focus benchmark config/benchmark.yaml --cores 2
        focus benchmark config/benchmark.yaml --peers peers/bin/python --cores 2
        focus benchmark --quick --cores 2
    """
    from focus_cli.workflow import find_profile, shipped_config, start_run
    from focus_cli.workflow.benchmark import load_benchmark

    named = bool(words) and not words[0].startswith("-")
    if named == quick:
        raise UsageError("give CONFIG, or --quick", hint="focus benchmark config/benchmark.yaml --cores 2")
    options = words[1:] if named else words
    config = Path(words[0]) if named else shipped_config("benchmark.quick.yaml")
    find_profile(profile)
    if peers is not None:
        if not os.access(peers, os.X_OK):
            raise MissingResourceError(f"--peers {peers}: no such Python", hint="benchmarks/peers/README.md makes one")
        os.environ["FOCUS_PEERS"] = str(Path(peers).absolute())
    if quick and not _QUICK_STUDY.exists():
        from focus_cli.simulation import simulate

        simulate(_QUICK_STUDY, n_sections=2, size_um=1500, n_genes=120)
    load_benchmark(config)
    start_run([config], profile, options, "benchmark.smk")

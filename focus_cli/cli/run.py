"""Run the workflow with Snakemake."""

from __future__ import annotations

from pathlib import Path

import rich_click as click

from focus_cli.cli.options import PATH
from focus_cli.core.errors import MissingResourceError

_DEFAULT_CONFIGS = (Path("config.yaml"), Path("config/config.yaml"))


@click.command("run", context_settings={"ignore_unknown_options": True, "help_option_names": ["-h", "--help"]})
@click.option(
    "--configfile",
    "configfiles",
    type=PATH,
    multiple=True,
    help="Configuration.  [default: config.yaml or config/config.yaml]",
)
@click.option("--samples", type=PATH, help="Samples sheet, instead of that of the configuration.")
@click.option(
    "--profile",
    default="local",
    show_default=True,
    help="Snakemake profile: local, slurm, slurm-gres, lsf, sge, htcondor, kubernetes, or a folder.",
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[SNAKEMAKE OPTION]...")
def command(configfiles: tuple[Path, ...], samples: Path | None, profile: str, options: tuple[str, ...]) -> None:
    """Run the workflow with Snakemake.

    Checks the configuration and the samples sheet, prints the snakemake command and executes it. All other options are
    passed to Snakemake. A run that was killed continues when it is started again; its remaining jobs, local or on
    Slurm, are ended first.

    \b
    Show the jobs without running them:
        focus run --configfile config/demo.yaml --dry-run
    Run on two cores:
        focus run --configfile config/demo.yaml --cores 2
    Run a cohort on a Slurm cluster, with a custom profile:
        focus run --samples cohort.tsv --profile my-slurm
    """
    from focus_cli.workflow import check_run, start_run, with_samples

    found = list(configfiles) or [path for path in _DEFAULT_CONFIGS if path.is_file()][:1]
    if not found:
        raise MissingResourceError(
            "no configuration: there is no config.yaml here",
            hint="give --configfile, or: focus init DIR",
        )
    check_run(found, options, samples)
    start_run(found, profile, options if samples is None else with_samples(options, samples))

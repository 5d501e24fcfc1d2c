"""Run the whole workflow through Snakemake."""

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
    help="The configuration; config.yaml or config/config.yaml where it is not given.",
)
@click.option("--samples", type=PATH, help="The samples sheet, in place of the configuration's.")
@click.option(
    "--profile",
    default="local",
    show_default=True,
    help="local, slurm, slurm-gres, lsf, sge, htcondor, kubernetes, or a folder with a Snakemake profile.",
)
@click.argument("options", nargs=-1, type=click.UNPROCESSED, metavar="[SNAKEMAKE OPTION]...")
def command(configfiles: tuple[Path, ...], samples: Path | None, profile: str, options: tuple[str, ...]) -> None:
    """Run the whole workflow through Snakemake.

    Checks the configuration and the samples sheet, prints the exact snakemake command, and becomes it. Every
    other option goes to Snakemake as it is. A run that was killed goes on when it is started again: what is
    left of it, here or on Slurm, is ended first.

    \b
    What would be done:
        focus run --configfile config/demo.yaml --dry-run
    Do it on two cores:
        focus run --configfile config/demo.yaml --cores 2
    A cohort on a Slurm cluster, with a profile of your own:
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

"""Snakemake's limit on job starts per second, lifted on one machine, where it costs much and limits nothing.

With a limit, Snakemake selects jobs again a second after every selection, and every job that ends adds one more such
series for as long as jobs wait: hours of a large run are spent in the head process. It has no option without a limit.
"""

from __future__ import annotations

from typing import Any

from focus_cli.core.progress import print_message

_DEFAULT = (100, 1)  # jobs per so many seconds


def select_on_events_alone(workflow: Any) -> None:
    """Let a run on one machine select jobs when a job ends, and at no other time; to be called in ``onstart``.

    Runs on a cluster and a limit that the user stated are left as they are.

    Parameters
    ----------
    workflow
        Snakemake's workflow object.
    """
    try:
        limiter = workflow.scheduler.job_rate_limiter
        stated = limiter is None or (limiter.max_jobs, limiter.timespan) != _DEFAULT
        if workflow.local_exec and not stated:
            workflow.scheduler.job_rate_limiter = None
    except AttributeError as error:  # another version of Snakemake: slower, and right
        print_message(f"warning: jobs are selected every second: {error}")

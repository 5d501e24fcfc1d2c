"""Progress of a run on the terminal: one line per rule, and one per failed job, in place of Snakemake's blocks.

`focus run` requests the lines by an environment variable. Snakemake's own messages still go to its log file; warnings
and errors are shown as ever. A fault in here brings Snakemake's ordinary output back and never stops a run.
"""

from __future__ import annotations

import logging
import os
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from focus_cli.core.progress import print_message
from focus_cli.reporting.cohort import last_words, span
from focus_cli.workflow.retries import exit_code

VARIABLE = "FOCUS_PROGRESS_LINES"
# A rule whose jobs are not all done gets at most one line in so many seconds.
INTERVAL_S = 60.0
# What Snakemake prints as mere information and a user needs to see.
_SHOWN = ("Nothing to be done", "Shutting down", "Will exit after finishing", "Waiting at most")
# Announcements of what the lines of failed jobs state, and the traceback of a shell command that failed.
_REPLACED = (
    "RuleException:\nCalledProcessError",
    "Exiting because a job execution failed",
    "WorkflowError:\nAt least one job did not complete successfully",
)
# What an executor states of a job that ended by itself: its log says why. All else (a request that was refused, a limit
# that was reached) is in no log.
_ENDED_BY_ITSELF = "'FAILED'"
_lines: ProgressLines | None = None


class ProgressLines(logging.Handler):
    """Prints one line when all jobs of a rule are done, and one for every job that fails.

    Parameters
    ----------
    jobs
        Snakemake's number of every job that will run → its rule.
    clock
        Seconds, monotonic.
    """

    def __init__(self, jobs: dict[int, str], clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(logging.INFO)
        self.broken = False
        self._clock = clock
        self._rules = dict(jobs)
        self._names: dict[int, str] = {}
        self._done: set[int] = set()
        self._failed: set[int] = set()
        self._begun: dict[str, float] = {}
        self._start = self._last = clock()

    def emit(self, record: logging.LogRecord) -> None:
        """Print what the record changes, if it is one of a job."""
        if self.broken:
            return
        try:
            self._follow(_event(record), record.__dict__)
        except Exception as error:  # progress is no reason to lose a run
            self.broken = True
            print_message(f"warning: no progress lines any more: {type(error).__name__}: {error}")

    def closing(self, log: str) -> str:
        """The last line of a run.

        Parameters
        ----------
        log
            Path of Snakemake's log; empty where it writes none.
        """
        failed = f", {len(self._failed)} failed" if self._failed else ""
        where = f"; full log: {log}" if log else ""
        return (
            f"{len(self._done)} of {_jobs(len(self._rules))} done in {span(self._clock() - self._start)}{failed}{where}"
        )

    def _follow(self, event: str, values: dict[str, Any]) -> None:
        if event == "job_info":
            self._submitted(values["jobid"], values["rule_name"], values["wildcards"] or {})
        elif event == "job_finished":
            self._finished(values["job_id"])
        elif event == "job_error":
            self._error(values["jobid"], values["rule_name"], values["log"], values.get("rule_msg"))
        elif event == "group_error":
            self._group_error(values["job_error_info"])

    def _submitted(self, job: int, rule: str, wildcards: dict[str, str]) -> None:
        if job not in self._rules:
            return
        self._begun.setdefault(rule, self._clock())
        self._names[job] = f"{rule} {','.join(map(str, wildcards.values()))}".strip()
        if job in self._failed:
            self._failed.discard(job)
            print_message(f"again: {self._names[job]}")

    def _finished(self, job: int) -> None:
        if job not in self._rules:
            return
        self._done.add(job)
        rule, now = self._rules[job], self._clock()
        total = Counter(self._rules.values())[rule]
        done = sum(self._rules[other] == rule for other in self._done)
        if done == total or now - self._last >= INTERVAL_S:
            self._last = now
            count = _jobs(total) if done == total else f"{done}/{_jobs(total)}"
            width = max(map(len, self._rules.values()))
            took = span(now - self._begun.get(rule, self._start))
            print_message(f"{rule:{width}}  {count:>10}  {took:>7}  [{len(self._done)}/{len(self._rules)}]")

    def _error(self, job: int, rule: str, logs: Iterable[str], message: str | None = None) -> None:
        if job in self._failed:
            return  # some versions of Snakemake log a failure twice
        self._failed.add(job)
        paths = [str(path) for path in logs]
        words = next(filter(None, (last_words(Path(path)) for path in paths)), "")
        reason = (message or "").strip().partition("\n")[0]
        if reason and _ENDED_BY_ITSELF not in reason:
            words = f"{reason}; {words}" if words else reason
        where = f" ({paths[0]})" if paths else ""
        print_message(f"failed: {self._names.get(job, rule)}{where}{f': {words}' if words else ''}")

    def _group_error(self, jobs: list[dict[str, Any]]) -> None:
        """Of a group the jobs whose logs end with an exit code failed; all of them where none does."""
        with_code = [job for job in jobs if any(exit_code(Path(str(path))) for path in job["log"])]
        for job in with_code or jobs:
            self._error(job["jobid"], job["rule_name"], job["log"])


class _Filter(logging.Filter):
    """Keeps from the terminal what the lines replace."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the terminal shows a record: warnings that no line replaces, and everything once the lines broke."""
        if _lines is not None and _lines.broken:
            return True
        text = str(record.msg or "")
        if record.levelno >= logging.WARNING:
            return _event(record) not in ("job_error", "group_error") and not text.startswith(_REPLACED)
        return text.startswith(_SHOWN)


def prepare(workflow: Any) -> None:
    """Keep Snakemake's information from the terminal if progress lines were requested and fit its options.

    They do not fit where a user stated how Snakemake should print: ``--quiet``, ``--verbose``, ``--printshellcmds``,
    ``--logger`` or a dry run, on the command line or in a profile.

    Parameters
    ----------
    workflow
        Snakemake's workflow object.
    """
    # Jobs of this run inherit the environment; they are not the process that prints.
    if not os.environ.pop(VARIABLE, "") or not workflow.is_main_process:
        return
    settings = getattr(workflow, "output_settings", None)
    stated = ("quiet", "verbose", "printshellcmds", "debug_dag", "dryrun", "log_handler_settings", "stdout")
    if settings is None or any(getattr(settings, name, None) for name in stated):
        return
    if _terminal(workflow):
        _attach(workflow)
    else:
        _logger().addFilter(_OnFirstRecord(workflow))


def _attach(workflow: Any) -> None:
    for handler in _terminal(workflow):
        handler.addFilter(_Filter())


class _OnFirstRecord(logging.Filter):
    """Attaches the filter when something is logged: Snakemake below 9.12 has no handlers while it reads its rules."""

    def __init__(self, workflow: Any) -> None:
        super().__init__()
        self._workflow = workflow

    def filter(self, record: logging.LogRecord) -> bool:
        """Let every record pass."""
        if _terminal(self._workflow):
            _logger().removeFilter(self)
            _attach(self._workflow)
        return True


def begin(workflow: Any) -> None:
    """Print progress lines from now on, if `prepare` found that they fit."""
    global _lines
    if not any(isinstance(kept, _Filter) for handler in _terminal(workflow) for kept in handler.filters):
        return
    try:
        # A job without outputs is a target: it does nothing.
        jobs = {workflow.dag.jobid(job): job.rule.name for job in workflow.dag.needrun_jobs() if list(job.output)}
        _lines = ProgressLines(jobs)
        _logger().addHandler(_lines)
        print_message(f"{_jobs(len(jobs))} of {len(set(jobs.values()))} rules")
    except Exception as error:  # progress is no reason to lose a run
        _restore(workflow)
        print_message(f"warning: no progress lines: {type(error).__name__}: {error}")


def finish(logs: Iterable[str]) -> None:
    """Print how many jobs are done and where the full log is; does nothing where `begin` printed nothing.

    Parameters
    ----------
    logs
        Snakemake's log files.
    """
    global _lines
    if _lines is None:
        return
    lines, _lines = _lines, None
    _logger().removeHandler(lines)
    print_message(lines.closing(_short(next(iter(logs), ""))))


def _restore(workflow: Any) -> None:
    for handler in _terminal(workflow):
        for kept in [kept for kept in handler.filters if isinstance(kept, _Filter)]:
            handler.removeFilter(kept)


def _terminal(workflow: Any) -> list[logging.Handler]:
    """The handlers that print: of Snakemake's logger, or of the queue that some versions put in front of them."""
    from snakemake import logging as snakemake_logging

    # The workflow's own, or, in earlier versions, one for all.
    manager = getattr(workflow, "logger_manager", None) or getattr(snakemake_logging, "logger_manager", None)
    queue = getattr(manager, "queue_listener", None)
    handlers = [*_logger().handlers, *getattr(queue, "handlers", ())]
    return [h for h in handlers if isinstance(h, logging.StreamHandler) and not isinstance(h, logging.FileHandler)]


def _logger() -> logging.Logger:
    from snakemake.logging import logger

    return logger


def _event(record: logging.LogRecord) -> str:
    return str(getattr(getattr(record, "event", None), "value", ""))


def _jobs(number: int) -> str:
    return f"{number} job" if number == 1 else f"{number} jobs"


def _short(path: str) -> str:
    """Relative where the file lies below the working directory."""
    return str(Path(path).relative_to(Path.cwd())) if path and Path(path).is_relative_to(Path.cwd()) else path

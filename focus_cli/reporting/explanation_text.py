"""Results of ``focus explain`` as plain text for a terminal or a pipe."""

from __future__ import annotations

import textwrap
from typing import Any

from focus_cli.core.errors import one_line
from focus_cli.reporting.run_record import flat, size_words

_WIDTH = 100
_MOST_JOBS = 40
_STATES = {
    "agrees": "unchanged",
    "same size": "same size",
    "differs": "CHANGED: the file differs from the one that was used",
    "not found": "not found here",
    "not recorded": "no hash was recorded",
}


def explain_text(result: dict[str, Any]) -> str:
    """Format the result of ``explain`` as text, wrapped at 100 columns."""
    lines = [f"{result['name']}: {result['what']}", ""]
    _pairs(lines, result["facts"])
    if result["warnings"]:
        lines += ["", "Warnings"]
        for warning in result["warnings"]:
            lines += _wrap(warning, "  ! ")
    if result["fields"]:
        lines += ["", "Fields" if "shape" in result["fields"][0] else "Files"]
        width = max(len(f["name"]) for f in result["fields"])
        for field in result["fields"]:
            lines += _wrap(_field_words(field), f"  {field['name']:<{width}}  ")
    if result["made_by"]:
        lines += ["", "Made by"]
        _made_by(lines, result["made_by"])
    if result["jobs"]:
        lines += ["", "Jobs"]
        for job in result["jobs"][:_MOST_JOBS]:
            lines += _wrap(job_words(job), "  - ")
        if (more := len(result["jobs"]) - _MOST_JOBS) > 0:
            lines.append(f"  … and {more} more (--json lists all)")
    if result["upstream"]:
        compared = any(entry["state"] == "same size" for entry in result["upstream"])
        lines += ["", "From (sizes were compared; --verify compares hashes)" if compared else "From"]
        _upstream(lines, result["upstream"], "  ")
    if result["use"]:
        lines += ["", "How to use it"]
        for advice in result["use"]:
            lines += _wrap(advice, "  - ")
    return "".join(f"{one_line(line)}\n" for line in lines)


def _wrap(text: str, first: str) -> list[str]:
    return textwrap.wrap(
        text or "–", _WIDTH, initial_indent=first, subsequent_indent=" " * len(first), break_on_hyphens=False
    )


def _field_words(field: dict[str, Any]) -> str:
    words = field["meaning"]
    if field.get("unit"):
        words += f" [{field['unit']}]"
    if field.get("shape"):
        words += f" ({' × '.join(f'{n:,}' for n in field['shape'])} {field['dtype']})"
    return words


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, dict):
        return ", ".join(f"{k} {_value(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join(_value(v) for v in value)
    return str(value)


def _pairs(lines: list[str], pairs: dict[str, Any]) -> None:
    if not pairs:
        return
    width = max(len(k) for k in pairs)
    for key, value in pairs.items():
        lines += _wrap(_value(value), f"  {key.replace('_', ' '):<{width}}  ")


def _made_by(lines: list[str], record: dict[str, Any]) -> None:
    command, version = record.get("command", "?"), record.get("focus_version", "?")
    # A seed has no thousands separator.
    seed = f", seed {record['seed']}" if "seed" in record else ""
    lines.append(f"  focus {command}, FOCUS {version}{seed}")
    for title in ("settings", "inputs", "versions"):
        values = record.get(title)
        if not isinstance(values, dict) or not values:
            continue
        values = values if title == "inputs" else flat(values)
        lines.append(f"  {title}")
        width = max(len(k) for k in values)
        for key, value in sorted(values.items()):
            if title == "inputs" and isinstance(value, dict):
                size, digest = size_words(value.get("bytes")), str(value.get("sha256", ""))[:16]
                value = f"{value.get('name', '')}, {size} sha256 {digest}…"
            lines += _wrap(str(value), f"    {key:<{width}}  ")


def job_words(job: dict[str, Any]) -> str:
    """One line for a job of the workflow: rule, state, host, start, time, memory, log."""
    wildcards = ", ".join(f"{k} {v}" for k, v in (job.get("wildcards") or {}).items())
    words = [f"{job['rule']}{f' ({wildcards})' if wildcards else ''}: {job.get('status', '?')}"]
    if "job" in job:
        words.append(f"Snakemake job {job['job']}")
    for one in job.get("allocations") or ():
        words.append(f"{one['scheduler']} job {one['id']} on {one.get('host', '?')}")
    if not job.get("allocations") and job.get("host"):
        words.append(f"on {job['host']}")
    if job.get("submitted"):
        words.append(f"started {job['submitted']}")
    if "seconds" in job:
        words.append(f"{job['seconds']:.0f} s")
    if "max_memory_mb" in job:
        words.append(f"{job['max_memory_mb']:.0f} MB")
    if job.get("attempts", 1) > 1:
        words.append(f"{job['attempts']} attempts")
    if job.get("run"):
        words.append(f"run {job['run']}")
    words += [f"log {log}" for log in job.get("log") or ()]
    return ", ".join(words)


def _upstream(lines: list[str], entries: list[dict[str, Any]], indent: str) -> None:
    for entry in entries:
        words = f"{entry['role']}: {entry['name'] or entry.get('path') or '?'}"
        if made := entry.get("made_by"):
            seed = f", seed {made['seed']}" if "seed" in made else ""
            words += f" (focus {made.get('command', '?')}, FOCUS {made.get('focus_version', '?')}{seed})"
        if entry.get("sha256"):
            words += f" sha256 {str(entry['sha256'])[:16]}…"
        words += f" – {_STATES.get(entry['state'], entry['state'])}"
        words += ", see above" if entry.get("repeated") else ""
        lines += _wrap(words, f"{indent}← ")
        _upstream(lines, entry.get("upstream", []), indent + "    ")

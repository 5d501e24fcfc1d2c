"""The words of ``focus explain`` for a terminal: plain text that survives a pipe."""

from __future__ import annotations

import textwrap
from typing import Any

from focus_cli.reporting.run_record import flat

_WIDTH = 100


def explain_text(result: dict[str, Any]) -> str:
    """Write what ``explain`` returned as text, wrapped at 100 columns."""
    lines = [f"{result['name']}: {result['what']}", ""]
    _pairs(lines, result["facts"])
    if result["warnings"]:
        lines += ["", "Warnings"]
        for warning in result["warnings"]:
            lines += _wrap(warning, "  ! ")
    if result["fields"]:
        lines += ["", "Fields" if "shape" in result["fields"][0] else "Files"]
        width = max(len(f["place"]) for f in result["fields"])
        for field in result["fields"]:
            lines += _wrap(_field_words(field), f"  {field['place']:<{width}}  ")
    if result["made_by"]:
        lines += ["", "Made by"]
        _made_by(lines, result["made_by"])
    if result["use"]:
        lines += ["", "How to use it"]
        for advice in result["use"]:
            lines += _wrap(advice, "  - ")
    return "\n".join(lines) + "\n"


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
    # A seed is a name, not an amount: no thousands separator.
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
                value = f"{value.get('name', '')}, sha256 {str(value.get('sha256', ''))[:16]}…"
            lines += _wrap(str(value), f"    {key:<{width}}  ")

"""The provenance record of a file, arranged for display."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from focus_cli.reporting.context import mapping


@dataclass(frozen=True)
class RunRecord:
    """Provenance of one file.

    Attributes
    ----------
    command, version, seed
        Command, version of FOCUS and seed, as text; empty if not stored.
    settings, versions
        (name, value) pairs, sorted.
    inputs
        (role, name, size, SHA-256) of each input, sorted by role.
    whole
        The full record as JSON.
    """

    command: str
    version: str
    seed: str
    settings: list[tuple[str, str]]
    inputs: list[tuple[str, str, str, str]]
    versions: list[tuple[str, str]]
    whole: str

    @property
    def known(self) -> bool:
        """Whether the file has a provenance record."""
        return bool(self.whole)


def provenance(focus: dict[str, Any]) -> dict[str, Any]:
    """The provenance record of ``uns["focus"]``; empty where there is none."""
    return mapping(focus.get("provenance"))


def run_record(focus: dict[str, Any]) -> RunRecord:
    """Arrange the provenance of a file for display."""
    record = provenance(focus)
    inputs = []
    for role, entry in sorted(mapping(record.get("inputs")).items()):
        entry = mapping(entry)
        size = entry.get("bytes")
        inputs.append((role, str(entry.get("name", "")), size_words(size), str(entry.get("sha256", ""))))
    return RunRecord(
        command=str(record.get("command", "")),
        version=str(record.get("focus_version", "")),
        seed=str(record.get("seed", "")),
        settings=sorted(flat(record.get("settings")).items()),
        inputs=inputs,
        versions=sorted(flat(record.get("versions")).items()),
        whole=json.dumps(record, indent=2, sort_keys=True, ensure_ascii=False) if record else "",
    )


def flat(value: Any, before: str = "") -> dict[str, str]:
    """Nested settings as one level of text, ``model.preset``, without the records of inputs."""
    pairs: dict[str, str] = {}
    for key, part in mapping(value).items():
        if isinstance(part, dict):
            if key != "provenance":
                pairs |= flat(part, f"{before}{key}.")
        else:
            pairs[before + key] = part if isinstance(part, str) else json.dumps(part, ensure_ascii=False)
    return pairs


def size_words(value: Any) -> str:
    """A size in bytes as text; empty if unknown."""
    if not isinstance(value, (int, float)):
        return ""
    for unit in ("B", "kB", "MB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} GB"

"""From YAML files to a checked `RunConfig`."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from focus_cli.core.errors import BadInputError, MissingResourceError, UsageError
from focus_cli.core.storage.documents import read_yaml
from focus_cli.workflow.config.models import Fold, RunConfig
from focus_cli.workflow.config.variables import in_words


def check_config(values: Mapping[str, Any], source: str = "config") -> RunConfig:
    """Check a parsed configuration.

    Parameters
    ----------
    values
        The merged configuration, as YAML gave it. A section that is left empty (None) takes its defaults.
    source
        What to call it in an error.

    Raises
    ------
    UsageError
        If a key is unknown (the nearest valid one is named) or a value makes no sense; all problems at once.
    """
    if not isinstance(values, Mapping):
        raise UsageError(f"{source}: a configuration is a mapping of keys to values", hint="focus init DIR")
    try:
        return RunConfig.model_validate({k: v for k, v in values.items() if v is not None})
    except ValidationError as invalid:
        problems = []
        for error in invalid.errors():
            # A union's branches appear in the location; they mean nothing to the one who reads.
            parts = [str(p) for p in error["loc"] if not re.search(r"[\[(]|^constrained-str$", str(p))]
            where = ".".join(parts)
            if error["type"] == "extra_forbidden":
                near = _nearest(where, RunConfig)
                problems.append(f"unknown key {where}" + (f"; did you mean {near}?" if near else ""))
            else:
                problems.append(in_words(error, where))
        raise UsageError(
            f"{source}: " + "; ".join(dict.fromkeys(problems)),
            hint="every key is described in config/README.md",
        ) from None


def load_config(paths: Path | str | Sequence[Path | str]) -> RunConfig:
    """Read one or more YAML files, later ones over earlier ones as Snakemake merges them, and check them.

    Raises
    ------
    MissingResourceError
        If a file is not there.
    BadInputError
        If a file is not YAML, or has a key twice.
    UsageError
        If a key or value is wrong.
    """
    merged: dict[str, Any] = {}
    sources = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
    for path in sources:
        if not path.exists():
            raise MissingResourceError(f"no such config file: {path}", hint="focus init DIR makes one")
        values = read_yaml(path) or {}
        if not isinstance(values, dict):
            raise BadInputError(f"{path} is not a mapping of keys to values", hint="focus init DIR makes one")
        _merge(merged, values)
    return check_config(merged, ", ".join(str(p) for p in sources))


def _merge(base: dict[str, Any], over: Mapping[str, Any]) -> None:
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        else:
            base[key] = value


def _keys_of(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, info in model.model_fields.items():
        yield prefix + name
        kind = info.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _keys_of(kind, f"{prefix}{name}.")


def _nearest(path: str, model: type[BaseModel]) -> str | None:
    """The valid key most like `path`: by its whole, else by its last part anywhere in the configuration."""
    valid = list(_keys_of(model))
    if path.startswith("evaluate.folds."):
        prefix = path.rsplit(".", 1)[0]
        valid = [f"{prefix}.{name}" for name in Fold.model_fields]
    if found := difflib.get_close_matches(path, valid, n=1, cutoff=0.75):
        return found[0]
    by_last = {key.rsplit(".", 1)[-1]: key for key in reversed(valid)}
    found = difflib.get_close_matches(path.rsplit(".", 1)[-1], by_last, n=1, cutoff=0.6)
    return by_last[found[0]] if found else None

"""YAML files of settings of one stage, checked by a pydantic model; options of the command line win."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from focus_cli.core.errors import MissingResourceError, UsageError
from focus_cli.core.storage.documents import read_yaml

Settings = TypeVar("Settings", bound=BaseModel)


def load_settings(model: type[Settings], stage: str, path: Path | None, overrides: dict[str, Any]) -> Settings:
    """Read the settings of a stage.

    Parameters
    ----------
    model
        Its fields are the settings.
    stage
        Names it in a refusal, for instance ``"training"``.
    path
        A YAML file, or None for the defaults.
    overrides
        Win over the file; None leaves a setting as it is.

    Raises
    ------
    MissingResourceError
        If the file is not there.
    UsageError
        If it is no YAML mapping, or a key or value is not known.
    """
    settings: dict[str, Any] = {}
    if path is not None:
        if not Path(path).exists():
            raise MissingResourceError(f"no such config: {path}")
        settings = read_yaml(Path(path)) or {}
        if not isinstance(settings, dict):
            raise UsageError(f"{path} must hold a mapping of settings", hint="for instance `max_steps: 600`")
        if odd := [key for key in settings if not isinstance(key, str)]:
            hint = f"settings: {', '.join(model.model_fields)}"
            raise UsageError(f"{stage} config: {odd[0]!r} is not the name of a setting", hint=hint)
    settings |= {key: value for key, value in overrides.items() if value is not None}
    try:
        return model(**settings)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(map(str, first["loc"])) or "settings"
        close = difflib.get_close_matches(key, model.model_fields, n=1)
        hint = (
            f"did you mean {close[0]!r}?" if close and close[0] != key else f"settings: {', '.join(model.model_fields)}"
        )
        raise UsageError(f"{stage} config: {key}: {first['msg']}", hint=hint) from error

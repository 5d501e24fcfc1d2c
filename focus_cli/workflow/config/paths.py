"""The files and folders that a configuration names, by the keys that name them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from focus_cli.core.errors import FocusError
from focus_cli.workflow.config.models import RunConfig
from focus_cli.workflow.config.variables import expand, input_path, output_path


class HasOutput(Protocol):
    """A configuration with a folder that everything is written to."""

    output: str


def input_files(config: RunConfig) -> dict[str, str]:
    """Every file or folder that a run reads because its configuration names it: key → path.

    Raises
    ------
    FocusError
        If a variable is not set, or Snakemake could not take the path as it is written; the key is named.
    """
    genes = config.enhance.genes
    named = {
        "reference.path": config.reference.path,
        "train.settings": config.train.settings,
        "enhance.genes": None if genes in ("measured", "all") else genes,
        "interactions.pairs": config.interactions.pairs,
        "annotate.labels": config.annotate.labels,
        "annotate.head": config.annotate.head,
        "outcome.table": config.outcome.table,
    }
    found = {key: at_key(key, input_path, text) for key, text in named.items() if text is not None}
    encoder = config.preprocess.encoder
    # An encoder may also be a name; only an existing file is an input.
    if encoder is not None and Path(at_key("preprocess.encoder", expand, encoder)).exists():
        found["preprocess.encoder"] = at_key("preprocess.encoder", input_path, encoder)
    return found


def output_folder(config: HasOutput) -> str:
    """Folder of everything that a run or a benchmark writes.

    Raises
    ------
    FocusError
        As for `input_files`.
    """
    return at_key("output", output_path, config.output)


def container_image(config: RunConfig) -> str | None:
    """Image that jobs run in, if there is one.

    Raises
    ------
    FocusError
        As for `input_files`.
    """
    return None if config.container is None else at_key("container", output_path, config.container)


def at_key(key: str, read: Callable[[str], str], text: str) -> str:
    """``read(text)``, whose error names the key of the text."""
    try:
        return read(text)
    except FocusError as error:
        raise type(error)(f"{key}: {error.message}", hint=error.hint) from None

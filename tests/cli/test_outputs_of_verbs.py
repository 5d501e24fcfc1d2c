"""Whatever a verb reads cannot be what it writes, and whatever it writes has a name: over all verbs and options."""

from __future__ import annotations

from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from focus_cli.cli.main import VERBS, cli
from focus_cli.core.errors import FocusError

OUTPUTS = {"out", "truth", "picture", "refined", "attention", "folder"}
# Verbs that write no file of their own.
SILENT = {"inspect", "genes", "explain", "doctor", "run", "benchmark"}


def commands() -> list[tuple[str, click.Command]]:
    found = []
    for verb in VERBS:
        command = cli.get_command(None, verb)
        if verb in SILENT:
            continue
        below = command.commands.items() if isinstance(command, click.Group) else [("", command)]
        found += [(f"{verb} {name}".strip(), one) for name, one in below]
    return found


def outputs_of(command: click.Command) -> list[click.Parameter]:
    return [p for p in command.params if p.name in OUTPUTS and isinstance(p.type, click.Path)]


def arguments_of(command: click.Command, given: dict[str, str]) -> list[str]:
    """Arguments with which a verb gets as far as its check of the output."""
    words = []
    for param in command.params:
        value = given.get(param.name)
        if value is None and param.required:
            value = param.type.choices[0] if isinstance(param.type, click.Choice) else "absent"
        if value is None:
            continue
        words += [value] if param.param_type_name == "argument" else [param.opts[0], value]
    return words


def test_every_verb_that_writes_names_its_output():
    for name, command in commands():
        assert outputs_of(command), name


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
@pytest.mark.parametrize("place", ["", ".", "/"])
def test_an_output_without_a_name_is_refused_before_any_work(name, command, place, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if name == "init":
        pytest.skip("a study may be begun in the folder that one is in")
    given = {"out": place, "encoder": "imagenet-lite0", "slide": "absent", "sample": "absent", "samples": "absent"}
    given |= {"files": "absent", "embeddings": "absent", "inputs": "absent", "gene": "G"}
    integer = {p.name for p in command.params if isinstance(p.type, click.types.IntParamType)}
    given = {k: v for k, v in given.items() if any(p.name == k for p in command.params) and k not in integer}
    if name in ("preprocess", "holdout"):
        given["sample"] = "S"
    result = CliRunner().invoke(cli, [*name.split(), *arguments_of(command, given)])
    assert isinstance(result.exception, FocusError), (result.output, result.exception)
    assert result.exception.exit_code in (2, 4), result.exception
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("name", "command"), commands(), ids=[name for name, _ in commands()])
def test_no_input_is_ever_replaced(name, command, tmp_path, monkeypatch):
    """With --overwrite and each option for a path naming the output: refused, and the file stays as it is."""
    monkeypatch.chdir(tmp_path)
    for output in outputs_of(command):
        if name in ("simulate", "init"):
            continue
        suffix = {"nuclei": ".csv", "report": ".html", "outcome apply": ".tsv"}.get(name, ".h5ad")
        suffix = {"truth": ".h5ad", "picture": ".png", "attention": ""}.get(output.name, suffix)
        path = Path(f"thing{suffix}")
        path.write_bytes(b"mine")
        reads = [p for p in command.params if isinstance(p.type, click.Path) and p.name not in OUTPUTS]
        for read in reads:
            given = {read.name: str(path), output.name: str(path)}
            words = [*name.split(), *arguments_of(command, given)]
            words += ["--overwrite"] if any(p.name == "overwrite" for p in command.params) else []
            result = CliRunner().invoke(cli, words)
            assert isinstance(result.exception, (FocusError, SystemExit)), (words, result.exception)
            assert result.exit_code != 0, words
            assert path.read_bytes() == b"mine", words
        path.unlink()

"""Hints that can be followed: a proposed option belongs to the running command, or its command is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import rich_click as click

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
# The owner of an option: the nearest command named before it in the same part of a hint.
_COMMAND = re.compile(r"\bfocus ([a-z]+)\b|\b(pip|python|sbatch|srun|torchrun|docker|snakemake|squeue|scancel)\b")
_PARTS = re.compile(r"(?<=;)\s+|(?<=\?)\s+|(?<=\.)\s+")
# Commands that pass other options to Snakemake.
_OPEN = ("run", "benchmark")
# If the running command lacks an option that several others have, the first of these is named.
_OWNERS = ("preprocess", "enhance", "train", "reference", "holdout", "evaluate", "features", "pretrain")


@cache
def options_of(command: click.Command) -> set[str]:
    """Options of a command; of a group, those of all its commands."""
    found = {"--help"} | {name for parameter in command.params for name in parameter.opts}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found |= options_of(command.get_command(context, name))
    return found


def possible_hint(hint: str, verb: str, group: click.Group) -> str:
    """`hint`, with the owning command after every option that the running command lacks.

    Parameters
    ----------
    hint
        Hint of an error.
    verb
        The running command.
    group
        Group of all commands.
    """
    return " ".join(_possible(part, verb, group) for part in _PARTS.split(hint))


def foreign_options(text: str, verb: str, group: click.Group) -> list[str]:
    """Options in `text` that neither the running command nor the command named before them has."""
    context = click.Context(group)
    lacking = []
    for found in _OPTION.finditer(text):
        named = list(_COMMAND.finditer(text, 0, found.start()))
        owner = verb if not named else named[-1][1]
        if owner is None or owner in _OPEN:  # another program
            continue
        command = group.get_command(context, owner)
        if command is not None and found[0] not in options_of(command):
            lacking.append(found[0])
    return list(dict.fromkeys(lacking))


def _possible(part: str, verb: str, group: click.Group) -> str:
    lacking = foreign_options(part, verb, group)
    if not lacking:
        return part
    owner = owner_of(lacking, group)
    if owner is None:
        return part
    end = part[-1] if part[-1] in ";.?" else ""
    note = f"{', '.join(lacking)}: {'an option' if len(lacking) == 1 else 'options'} of focus {owner}"
    return f"{part.removesuffix(end)} ({note}){end}"


def owner_of(options: Sequence[str], group: click.Group) -> str | None:
    """The first command that has all of these options."""
    context = click.Context(group)
    others = [name for name in group.list_commands(context) if name not in _OWNERS]
    for name in (*_OWNERS, *others):
        if set(options) <= options_of(group.get_command(context, name)):
            return name
    return None

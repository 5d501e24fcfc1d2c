"""Hints that can be followed: an option that is proposed belongs to the running verb, or its verb is named."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache

import rich_click as click

_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
# Whose option it is: the nearest command named before it in the same part of a hint.
_COMMAND = re.compile(r"\bfocus ([a-z]+)\b|\b(pip|python|sbatch|srun|torchrun|docker|snakemake|squeue|scancel)\b")
_PARTS = re.compile(r"(?<=;)\s+|(?<=\?)\s+|(?<=\.)\s+")
# Verbs whose other options go to Snakemake, which has its own.
_OPEN = ("run", "benchmark")
# Where a verb lacks an option that several others have, the first of these is named.
_OWNERS = ("preprocess", "enhance", "train", "reference", "holdout", "evaluate", "features", "pretrain")


@cache
def options_of(command: click.Command) -> set[str]:
    """The options of a command, of a group those of all its parts."""
    found = {"--help"} | {name for parameter in command.params for name in parameter.opts}
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            found |= options_of(command.get_command(context, name))
    return found


def possible_hint(hint: str, verb: str, group: click.Group) -> str:
    """`hint`, with the verb's name beside every option that the running verb lacks.

    Parameters
    ----------
    hint
        As an error carries it.
    verb
        The running one.
    group
        Holds all verbs.
    """
    return " ".join(_possible(part, verb, group) for part in _PARTS.split(hint))


def foreign_options(text: str, verb: str, group: click.Group) -> list[str]:
    """Options in `text` that neither the running verb has, nor the command that is named before them."""
    context = click.Context(group)
    lacking = []
    for found in _OPTION.finditer(text):
        named = list(_COMMAND.finditer(text, 0, found.start()))
        owner = verb if not named else named[-1][1]
        if owner is None or owner in _OPEN:  # a program that is not ours
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
    said = f"{', '.join(lacking)}: {'an option' if len(lacking) == 1 else 'options'} of focus {owner}"
    return f"{part.removesuffix(end)} ({said}){end}"


def owner_of(options: Sequence[str], group: click.Group) -> str | None:
    """The first verb that has all of these options."""
    context = click.Context(group)
    others = [name for name in group.list_commands(context) if name not in _OWNERS]
    for name in (*_OWNERS, *others):
        if set(options) <= options_of(group.get_command(context, name)):
            return name
    return None

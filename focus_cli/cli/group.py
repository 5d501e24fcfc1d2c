"""A group of commands that suggests the nearest name for a mistyped one."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import rich_click as click


class SuggestingGroup(click.RichGroup):
    """A click group in which ``help NAME`` is ``NAME --help`` and an unknown name is refused with the nearest one."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Treat ``help`` as ``--help`` if no command has that name."""
        if args[:1] == ["help"] and self.get_command(ctx, "help") is None:
            args = [*args[1:], "--help"]
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Resolve as click does, and suggest the nearest name if there is no such command."""
        name = args[0]
        if self.get_command(ctx, name) is None and not name.startswith("-") and not ctx.resilient_parsing:
            near = nearest(name, self.list_commands(ctx))
            raise click.UsageError(f"No such command '{name}'" + (f"; did you mean {near}?" if near else ""), ctx)
        return super().resolve_command(ctx, args)


def nearest(name: str, names: Sequence[str]) -> str | None:
    """The nearest of `names` to `name`; None if none is similar."""
    found = difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.6)
    if found:
        return found[0]
    return next((known for known in names if len(name) >= 3 and known.startswith(name.lower())), None)

"""Groups of commands that suggest a name for a misspelt one."""

from __future__ import annotations

import difflib

import click


class SuggestingGroup(click.Group):
    """A group that says what a command that it has not may have meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            close = difflib.get_close_matches(name[:64], self.list_commands(ctx), n=1)
            hint = f"did you mean '{close[0]}'?" if close else f"there are {', '.join(self.list_commands(ctx))}"
            raise click.UsageError(f"No such command '{name:.64}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

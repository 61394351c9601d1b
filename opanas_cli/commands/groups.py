"""Groups of commands that suggest a name for a misspelt one."""

from __future__ import annotations

import click

from opanas_cli.suggestions import suggestion


class SuggestingGroup(click.Group):
    """A group that says what a command that it has not may have meant."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0]
        if not name.startswith("-") and self.get_command(ctx, name) is None:
            known = self.list_commands(ctx)
            hint = suggestion(name, known, f"there are {', '.join(known)}")
            raise click.UsageError(f"No such command '{name:.64}'; {hint}", ctx)
        return super().resolve_command(ctx, args)

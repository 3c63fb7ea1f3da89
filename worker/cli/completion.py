"""`ekyc completion`: a script by which a shell completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

#: How each shell takes the script up.
_USE = {
    "bash": 'eval "$(ekyc completion bash)" in ~/.bashrc',
    "zsh": 'eval "$(ekyc completion zsh)" in ~/.zshrc',
    "fish": "ekyc completion fish > ~/.config/fish/completions/ekyc.fish",
}


@click.command
@click.argument("shell", type=click.Choice(list(_USE)))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print a script that completes commands and options.

    For bash and zsh put eval "$(ekyc completion bash)" into ~/.bashrc, or the same with zsh into ~/.zshrc; for fish
    write the script to ~/.config/fish/completions/ekyc.fish.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click knows no completion for {shell}")
    click.echo(f"# {_USE[shell]}")
    # The script calls `ekyc` again, with what is typed in environment variables.
    click.echo(kind(ctx.find_root().command, {}, "ekyc", "_EKYC_COMPLETE").source())

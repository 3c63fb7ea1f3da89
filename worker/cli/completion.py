"""`ekyc completion`: a script with which a shell completes commands and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

#: How to install the script in each shell.
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

    For bash, put eval "$(ekyc completion bash)" into ~/.bashrc; for zsh, the same with zsh into ~/.zshrc; for fish,
    write the script to ~/.config/fish/completions/ekyc.fish.
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise click.ClickException(f"click has no completion for {shell}")
    click.echo(f"# {_USE[shell]}")
    # The script calls `ekyc` again, with the typed words in environment variables.
    click.echo(kind(ctx.find_root().command, {}, "ekyc", "_EKYC_COMPLETE").source())

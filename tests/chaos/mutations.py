"""Check that the suite can fail: run its short version on a copy of this tree without one safeguard.

    python -m tests.chaos.mutations [NAME…] [--seed N]

Exit code 0 if every mutation turned the suite red.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from tests.chaos.cli import RED
from tests.support.paths import ROOT

#: The parts of the tree that a run needs.
_NEEDED: Final = ("worker", "tasks", "schemas", "sandbox", "tests", "pyproject.toml")


@dataclass(frozen=True, slots=True)
class Mutation:
    """A safeguard, and how to remove it."""

    name: str
    file: str
    before: str
    after: str

    def mutated(self, text: str) -> str:
        """Return `text` without the safeguard. Raises ``ValueError`` if it is not in `text` exactly once."""
        if text.count(self.before) != 1:
            raise ValueError(f"{self.name}: {self.file} no longer reads as this mutation expects")
        return text.replace(self.before, self.after)


MUTATIONS: Final = {
    mutation.name: mutation
    for mutation in (
        Mutation(
            "fence",
            "worker/ledger/lua/record.lua",
            "if seen[1] ~= holder then",
            "if redis.call('EXISTS', verification) == 0 then",
        ),
        Mutation(
            "lease-sweep",
            "worker/ledger/lua/claim.lua",
            "for _, id in ipairs(ended) do",
            "for _, id in ipairs({}) do",
        ),
        Mutation(
            "load-once",
            "worker/ledger/lua/load.lua",
            "if flat[found[Field.HOLDER]] == batch and flat[found[Field.STAGE]] == stage then",
            "if flat[found[Field.STAGE]] == stage then",
        ),
    )
}


@click.command
@click.argument("names", nargs=-1, type=click.Choice(list(MUTATIONS)))
@click.option("--seed", type=int, default=1, show_default=True)
def main(names: tuple[str, ...], seed: int) -> None:
    """Remove one safeguard at a time from a copy of this tree, and check that the suite turns red."""
    survived = [name for name in names or MUTATIONS if _survived(MUTATIONS[name], seed)]
    sys.exit(1 if survived else 0)


def _survived(mutation: Mutation, seed: int) -> bool:
    with tempfile.TemporaryDirectory(prefix="ekyc-mutation-") as folder:
        copy = Path(folder)
        _copy(copy)
        target = copy / mutation.file
        target.write_text(mutation.mutated(target.read_text()))
        report = copy / "report.md"
        command = ["tests.chaos", "--version", "short", "--seed", str(seed), "--report", str(report)]
        # The files that a red run keeps are deleted with the copy.
        ended = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=copy,
            env=os.environ | {"TMPDIR": folder, "PYTHONPATH": folder},
            check=False,
            capture_output=True,
            text=True,
        )
        text = report.read_text() if report.exists() else ""
        # If the suite itself failed, it has found nothing.
        red = ended.returncode == RED and "**NO**" in text
        click.echo(f"{mutation.name}: {'red' if red else f'NOT RED, exit code {ended.returncode}'}")
        click.echo("\n".join(line for line in text.splitlines() if line.startswith(("- **NO**", "  - "))))
        if not text:
            click.echo(ended.stderr)
        return not red


def _copy(folder: Path) -> None:
    for name in _NEEDED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


if __name__ == "__main__":
    main()

"""Where a demo keeps what it makes: a folder of its own, so that no demo is confused by another."""

from __future__ import annotations

import shlex
import shutil
import sys
import time
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Where demos go that are not told where, below the current folder.
DEFAULT: Final = Path("var") / "demo"

#: The evidence in it is what an account of one's own would hold: nobody else's to read.
_MODE: Final = 0o700


@dataclass(frozen=True, slots=True)
class Folder:
    """A demo's folder. Nothing in it is removed by the demo."""

    root: Path

    @classmethod
    def make(cls, asked: Path | None) -> Folder:
        """The folder `asked` for, which must be empty or not there; None: a new one below ``DEFAULT``.

        Raises ``InvalidInput`` for a folder with something in it, and ``OSError``.
        """
        if asked is None:
            root = _new(DEFAULT.absolute() / time.strftime("%Y%m%d-%H%M%S"))
        else:
            root = asked.absolute()
            root.mkdir(mode=_MODE, parents=True, exist_ok=True)
            if any(root.iterdir()):
                raise InvalidInput(f"--dir {asked}: there is something in it; give a new or empty folder")
        folder = cls(root)
        for part in (folder.evidence, folder.ledger, folder.logs):
            part.mkdir(mode=_MODE)
        return folder

    @property
    def evidence(self) -> Path:
        return self.root / "evidence"

    @property
    def ledger(self) -> Path:
        """Valkey's, with its append-only file: every write that the demo made."""
        return self.root / "ledger"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def deliveries(self) -> Path:
        """What the pipeline received, one JSON object a line."""
        return self.root / "deliveries.jsonl"

    @property
    def environment(self) -> Path:
        """For a shell: `. FILE` and then any `ekyc` command, while the demo runs."""
        return self.root / "env"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def tell_environment(self, variables: Mapping[str, str]) -> None:
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in variables.items())
        self.environment.write_text("".join(lines))


def command(name: str) -> str:
    """How one would type a command of ours here: `make demo` knows where it is, a shell may not."""
    return name if shutil.which(name) else shown(Path(sys.executable).parent / name)


def shown(path: Path) -> str:
    """A path as one would type it here."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _new(root: Path) -> Path:
    # Two demos may begin in the same second.
    for number in count(1):
        candidate = root if number == 1 else root.with_name(f"{root.name}-{number}")
        try:
            candidate.mkdir(mode=_MODE, parents=True)
        except FileExistsError:
            continue
        return candidate
    raise AssertionError

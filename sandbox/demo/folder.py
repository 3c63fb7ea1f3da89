"""The folder of a demo. Each demo has its own, so that two demos do not share files."""

from __future__ import annotations

import os
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

#: The default place of the folders of demos, below the current folder.
DEFAULT: Final = Path("var") / "demo"

#: Evidence is only for the account that runs the demo.
_MODE: Final = 0o700


def write_secret(file: Path, text: str) -> None:
    """Write a new file that only its owner can read."""
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(f"{text}\n")


@dataclass(frozen=True, slots=True)
class Folder:
    """A demo's folder. The demo removes nothing in it."""

    root: Path

    @classmethod
    def make(cls, asked: Path | None) -> Folder:
        """Return the folder `asked`, which must be empty or not exist; None: a new one below ``DEFAULT``.

        Raises ``InvalidInput`` for a folder that is not empty, and ``OSError``.
        """
        if asked is None:
            root = _new(DEFAULT.absolute() / time.strftime("%Y%m%d-%H%M%S"))
        else:
            root = asked.absolute()
            root.mkdir(mode=_MODE, parents=True, exist_ok=True)
            if any(root.iterdir()):
                raise InvalidInput(f"--dir {asked}: the folder is not empty; give a new or empty folder")
        folder = cls(root)
        for part in (folder.evidence, folder.ledger, folder.logs):
            part.mkdir(mode=_MODE)
        return folder

    @property
    def evidence(self) -> Path:
        return self.root / "evidence"

    @property
    def ledger(self) -> Path:
        """Valkey's folder, with its append-only file: every write of the demo."""
        return self.root / "ledger"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def deliveries(self) -> Path:
        """The decisions that the pipeline received, one JSON object a line."""
        return self.root / "deliveries.jsonl"

    @property
    def tokens(self) -> Path:
        """The tokens of the HTTP API, as `EKYC_API_TOKENS_FILE` has them: by their hashes."""
        return self.root / "tokens.toml"

    @property
    def users(self) -> Path:
        """The users of the console, as `EKYC_CONSOLE_USERS_FILE` has them."""
        return self.root / "users.toml"

    @property
    def decisions(self) -> Path:
        """The decision table."""
        return self.root / "decisions.toml"

    @property
    def endpoints(self) -> Path:
        """The endpoints of webhooks."""
        return self.root / "endpoints.toml"

    @property
    def webhook_secret(self) -> Path:
        return self.root / "webhook-secret"

    @property
    def webhooks(self) -> Path:
        """What the receiver of webhooks got, one JSON object a line."""
        return self.root / "webhooks.jsonl"

    @property
    def evidence_keys(self) -> Path:
        """The keys of the evidence."""
        return self.root / "evidence-keys"

    @property
    def log_key(self) -> Path:
        """The key of the log of evidence."""
        return self.root / "log-key"

    @property
    def environment(self) -> Path:
        """A file for a shell: `. FILE`, and then any `ekyc` command while the demo runs."""
        return self.root / "env"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def tell_environment(self, variables: Mapping[str, str]) -> None:
        # Workers do not get the users: `web` reads them, and commands that change them.
        told = {**variables, "EKYC_CONSOLE_USERS_FILE": str(self.users)}
        lines = (f"export {name}={shlex.quote(value)}\n" for name, value in told.items())
        self.environment.write_text("".join(lines))


def command(name: str) -> str:
    """Return how to type a command of ours in this shell: its name if it is on PATH, else its path."""
    return name if shutil.which(name) else shown(Path(sys.executable).parent / name)


def shown(path: Path) -> str:
    """Return a path relative to the current folder if it is below it."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _new(root: Path) -> Path:
    # Two demos may start in the same second.
    for number in count(1):
        candidate = root if number == 1 else root.with_name(f"{root.name}-{number}")
        try:
            candidate.mkdir(mode=_MODE, parents=True)
        except FileExistsError:
            continue
        return candidate
    raise AssertionError

"""A receiver of `examples/` as a process, with the keys that it knows and what it has stored."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.paths import ROOT
from tests.support.ports import free_port
from tests.support.waiting import until
from worker import signatures

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

EXAMPLES: Final = ROOT / "examples"

#: The examples that receive HTTP, by the names of their folders.
NAMES: Final = ("fastapi_receiver", "flask_receiver", "go_receiver", "node_receiver")

#: The program that a receiver needs, and the Debian package that has it.
_PROGRAMS: Final = {"go_receiver": ("go", "golang-go"), "node_receiver": ("node", "nodejs")}

SECRET: Final = signatures.format_secret(signatures.new_secret())
KEY: Final = signatures.format_private_key(signatures.new_private_key())
PUBLIC: Final = signatures.format_public_key(signatures.public_keys(KEY)[0])


@dataclass
class Receiver:
    """A running receiver."""

    name: str
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def log(self) -> str:
        return (self.folder / "receiver.log").read_text()

    def start(self) -> None:
        environment = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ} | {
            "WEBHOOK_PUBLIC_KEYS": PUBLIC,
            "WEBHOOK_SECRET": SECRET,
            "DATABASE": str(self.folder / "received.sqlite"),
            "RECEIVED": str(self.folder / "received.jsonl"),
            "PORT": str(self.port),
        }
        with (self.folder / "receiver.log").open("ab") as log:
            self.process = subprocess.Popen(
                _command(self.name, self.folder, self.port),
                cwd=EXAMPLES / self.name,
                env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        until(lambda: self._answers() or self._ended(), f"{self.name} listens")
        assert not self._ended(), self.log

    def kill(self) -> None:
        if self.process is not None:
            if self.process.poll() is None:
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def stored(self) -> list[str]:
        """The ids of all that it has stored, in their order."""
        database, lines = self.folder / "received.sqlite", self.folder / "received.jsonl"
        if lines.exists():
            whole = lines.read_text().rpartition("\n")[0]
            return [json.loads(line)["id"] for line in whole.splitlines() if line]
        if not database.exists():
            return []
        connection = sqlite3.connect(database)
        try:
            rows = connection.execute("SELECT id FROM received ORDER BY rowid").fetchall()
        except sqlite3.OperationalError:
            return []  # it has not made its table yet
        finally:
            connection.close()
        return [row[0] for row in rows]

    def _ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def _answers(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True


def is_installed(name: str) -> bool:
    """Whether the program that the example needs is installed."""
    return name not in _PROGRAMS or shutil.which(_PROGRAMS[name][0]) is not None


@contextmanager
def receiver(name: str, folder: Path) -> Iterator[Receiver]:
    """The example, started. Nothing of it is left running."""
    if not is_installed(name):
        program, package = _PROGRAMS[name]
        pytest.skip(f"{program} is not installed; on Debian: apt-get install {package}")
    running = Receiver(name, folder)
    try:
        running.start()
        yield running
    finally:
        running.kill()


def _command(name: str, folder: Path, port: int) -> Sequence[str]:
    python = [sys.executable, "-m"]
    if name == "fastapi_receiver":
        return [*python, "uvicorn", "receiver:app", "--port", str(port)]
    if name == "flask_receiver":
        return [*python, "flask", "--app", "receiver", "run", "--port", str(port)]
    if name == "node_receiver":
        return ["node", "receiver.mjs"]
    binary = folder / "receiver"
    if not binary.exists():
        subprocess.run(
            ["go", "build", "-o", str(binary), "main.go"],
            cwd=EXAMPLES / name,
            env=os.environ
            | {
                "GO111MODULE": "off",
                "GOTOOLCHAIN": "local",
                "GOPATH": str(folder / "go"),
                "GOCACHE": str(ROOT / ".pytest_cache" / "go"),
            },
            check=True,
            timeout=100,
        )
    return [str(binary)]

"""Clean environments for our wheel, of every supported Python on this machine; the lock files have no part in them."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PYTHONS: Final = ("3.11", "3.12", "3.13", "3.14")

UV: Final = (sys.executable, "-m", "uv", "--quiet", "--no-config", "--no-progress")

#: What uv calls what pip's configuration says.
_NAMES: Final = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
    "cert": "SSL_CERT_FILE",
}


@cache
def interpreter(version: str) -> str | None:
    """A Python of that version; None: this machine has none."""
    return next((found for found in _candidates(version) if _is(found, version)), None)


def _candidates(version: str) -> Iterator[str]:
    yield sys.executable
    if found := shutil.which(f"python{version}"):
        yield found
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from map(str, sorted(pyenv.glob(f"versions/{version}.*/bin/python")))
    yield from map(str, Path("/usr/bin").glob(f"python{version}"))
    managed = subprocess.run([*UV, "python", "dir"], check=False, capture_output=True, text=True)
    yield from map(str, sorted(Path(managed.stdout.strip()).glob(f"cpython-{version}.*/bin/python")))


def _is(python: str, version: str) -> bool:
    told = subprocess.run(
        [python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"],
        check=False,
        capture_output=True,
        text=True,
    )
    return told.returncode == 0 and told.stdout.strip() == version


@cache
def index() -> dict[str, str]:
    """How uv reaches the index that pip is configured to use."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=False, capture_output=True, text=True
    )
    read: dict[str, str] = {}
    for line in told.stdout.splitlines():
        name, _, value = line.partition("=")
        if variable := _NAMES.get(name.rpartition(".")[2]):
            read[variable] = " ".join(value.strip("'").replace("\\n", " ").split())
    return os.environ | read


def uv(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*UV, *arguments], check=False, env=index(), capture_output=True, text=True, timeout=300
    )


def build_wheel(folder: Path) -> Path:
    """Our wheel, built from this tree."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, check=True, cwd=ROOT, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


@dataclass(frozen=True, slots=True)
class Environment:
    """A virtual environment, and a folder of the user's from which its commands are run."""

    root: Path
    folder: Path

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    def install(self, requirement: str) -> None:
        """What the index has that is newest, within the bounds of our requirements."""
        installed = uv(
            "pip",
            "install",
            f"--python={self.bin / 'python'}",
            "--index-strategy=unsafe-best-match",
            requirement,
        )
        assert installed.returncode == 0, installed.stderr

    def run(self, *command: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.bin / command[0], *command[1:]],
            check=False,
            cwd=self.folder,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )

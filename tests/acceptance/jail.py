"""The file tree of our image around a process: read-only but for a few folders, no shell, a user without rights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.support.paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: The `nonroot` of the image's base.
_USER: Final = "65532"

#: Where the image has what is ours.
_OURS: Final = "/opt/ekyc"

_PRODUCT: Final = ("worker", "tasks", "schemas", "sandbox")


@dataclass(frozen=True, slots=True)
class Jail:
    """Runs Python instead of a container, by bubblewrap.

    Parameters:
        writable: the folders that can be written: where they are in the jail -> where they are outside.
        image: the unpacked file tree of an image that was built. None: one is put together of this interpreter, its
            libraries, the packages that are installed beside it, and our sources.
    """

    writable: Mapping[str, Path]
    image: Path | None = None

    def command(self, *arguments: str) -> list[str]:
        """The command that runs Python with `arguments` as the only process of the jail."""
        root = ["--ro-bind", str(self.image), "/"] if self.image else _stand_in()
        python = f"{_OURS}/bin/python3" if self.image else "/usr/bin/python3"
        return [
            "bwrap", "--unshare-user", "--uid", _USER, "--gid", _USER, "--cap-drop", "ALL",
            "--unshare-pid", "--as-pid-1", "--unshare-ipc", "--die-with-parent", "--new-session",
            *root, "--proc", "/proc", "--dev", "/dev",
            *_binds("--bind", ((str(outside), inside) for inside, outside in self.writable.items())),
            "--remount-ro", "/", "--chdir", "/",
            python, *arguments,
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """What the image sets."""
        path = {} if self.image else {"PYTHONPATH": f"{_OURS}:{_OURS}/packages"}
        return path | {
            "PATH": f"{_OURS}/bin:/usr/bin",
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONUNBUFFERED": "1",
        }


def inmate(process: subprocess.Popen[bytes]) -> int:
    """The process in the jail that bubblewrap, `process`, has made: what a container's PID 1 would be."""
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(child)


def why_not() -> str:
    """Why there can be no jail on this machine; empty: there can."""
    if shutil.which("bwrap") is None:
        return "bwrap is not installed (Debian's bubblewrap)"
    command = ["bwrap", "--unshare-user", "--unshare-pid", "--ro-bind", "/", "/", "--proc", "/proc", "true"]
    tried = subprocess.run(command, check=False, capture_output=True, text=True)
    return f"bwrap may not be used here: {tried.stderr.strip()}" if tried.returncode else ""


def _stand_in() -> list[str]:
    """Libraries, the interpreter, packages and our sources; of the folders in which programs lie, nothing else."""
    interpreter = os.path.realpath(sys.executable)
    same = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ssl", interpreter)
    binds = {
        **{path: path for path in (*same, f"{sys.base_prefix}/lib")},
        sysconfig.get_path("purelib"): f"{_OURS}/packages",
        **{str(ROOT / name): f"{_OURS}/{name}" for name in _PRODUCT},
        str(ROOT / "deploy" / "healthy.py"): f"{_OURS}/healthy.py",
    }
    link = [] if interpreter == "/usr/bin/python3" else ["--symlink", interpreter, "/usr/bin/python3"]
    return [*_binds("--ro-bind-try", binds.items()), *link]


def _binds(how: str, pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [word for outside, inside in pairs for word in (how, outside, inside)]

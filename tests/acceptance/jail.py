"""The file tree of our image around a process: all of it read-only, no shell in it, and a user without rights."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.acceptance.fleet import ROOT

#: The `nonroot` of the image's base.
USER: Final = "65532"

#: Where the image keeps our packages, and where it may write evidence.
HOME: Final = "/opt/ekyc"
EVIDENCE: Final = "/var/lib/ekyc/evidence"

_PRODUCT: Final = ("worker", "tasks", "schemas", "sandbox")


@dataclass(frozen=True, slots=True)
class Jail:
    """Runs commands by bubblewrap. `tmp` and `evidence` are the only folders that can be written.

    Parameters:
        root: the unpacked file tree of an image that was built. None: one is put together from this interpreter, its
            libraries, the packages that are installed beside it, and our sources.
    """

    tmp: Path
    evidence: Path
    root: Path | None = None

    def command(self, *command: str) -> list[str]:
        """The command that runs `command` in the jail; its environment is the caller's."""
        return [
            "bwrap", "--unshare-user", "--uid", USER, "--gid", USER, "--cap-drop", "ALL",
            "--unshare-pid", "--unshare-ipc", "--die-with-parent", "--new-session",
            *(self._image(self.root) if self.root else self._stand_in()),
            "--proc", "/proc", "--dev", "/dev",
            "--bind", str(self.tmp), "/tmp", "--bind", str(self.evidence), EVIDENCE,
            "--remount-ro", "/", "--chdir", "/",
            *command,
        ]  # fmt: skip

    def environment(self) -> dict[str, str]:
        """What the image sets."""
        ours = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
        if self.root:
            return ours | {"PATH": f"{HOME}/bin:/usr/bin"}
        return ours | {"PATH": "/usr/bin", "PYTHONPATH": f"{HOME}:{HOME}/packages"}

    @property
    def python(self) -> str:
        return f"{HOME}/bin/python3" if self.root else "/usr/bin/python3"

    @staticmethod
    def _image(root: Path) -> list[str]:
        return ["--ro-bind", str(root), "/"]

    @staticmethod
    def _stand_in() -> list[str]:
        library = str(Path(sys.base_prefix, "lib"))
        places = {
            **{path: path for path in ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/etc/ssl", "/usr/share/zoneinfo", library)},
            # The interpreter finds its library beside the place where it was installed.
            os.path.realpath(sys.executable): os.path.realpath(sys.executable),
            sysconfig.get_path("purelib"): f"{HOME}/packages",
            **{str(ROOT / name): f"{HOME}/{name}" for name in _PRODUCT},
            str(ROOT / "deploy" / "healthy.py"): f"{HOME}/healthy.py",
        }
        binds = [word for source, place in places.items() for word in ("--ro-bind-try", source, place)]
        return [*binds, "--symlink", os.path.realpath(sys.executable), "/usr/bin/python3"]


def why_not() -> str | None:
    """Why there can be no jail on this machine, None: there can."""
    if shutil.which("bwrap") is None:
        return "bwrap is not installed (Debian: bubblewrap)"
    tried = subprocess.run(
        ["bwrap", "--unshare-user", "--ro-bind", "/", "/", "true"],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    return f"bwrap cannot be used here: {tried.stderr.strip()}" if tried.returncode else None

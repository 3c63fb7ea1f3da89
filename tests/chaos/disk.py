"""The disk of the evidence, and its faults."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

#: Far more than the evidence of a run needs.
SIZE_MB: Final = 256

#: Constants of renameat2(2).
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2

_BLOCK: Final = bytes(1024 * 1024)


class Disk:
    """The evidence's own disk: a tmpfs if this account may mount one, else a folder, which cannot become full."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._root = folder
        self.mounted = _mount(folder)
        self.evidence = folder / "evidence"
        self.evidence.mkdir(mode=0o700)

    @property
    def url(self) -> str:
        return self.evidence.as_uri()

    @contextmanager
    def failing(self) -> Iterator[None]:
        """Replace the evidence's folder by a plain file, so that nothing in it can be read or written.

        At no moment is there nothing: a worker that looks just then would find an empty store.
        """
        away = self._root / "evidence.away"
        away.touch()
        _exchange(self.evidence, away)
        try:
            yield
        finally:
            _exchange(self.evidence, away)
            away.unlink()

    @contextmanager
    def full(self) -> Iterator[None]:
        """Fill the disk to the last byte. Without a disk of its own, ``failing`` is used instead."""
        if not self.mounted:
            with self.failing():
                yield
            return
        ballast = self._root / "ballast"
        try:
            _fill(ballast)
            yield
        finally:
            ballast.unlink(missing_ok=True)

    def remove(self) -> None:
        """Unmount the disk, and leave its content in the folder, as if it had not been mounted."""
        if not self.mounted:
            return
        copy = self._root.with_name("copy")
        shutil.copytree(self._root, copy)
        subprocess.run(["umount", "--lazy", str(self._root)], check=False)
        self.mounted = False
        self._root.rmdir()
        copy.rename(self._root)


def _exchange(one: Path, other: Path) -> None:
    """Exchange two names in one step: renameat2(2), which Python does not have."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.renameat2(_AT_FDCWD, os.fsencode(one), _AT_FDCWD, os.fsencode(other), _RENAME_EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(one))


def _mount(folder: Path) -> bool:
    options = f"size={SIZE_MB}m,mode=0700,uid={os.getuid()}"
    command = ["mount", "-t", "tmpfs", "-o", options, "ekyc-chaos", str(folder)]
    with suppress(OSError):
        return subprocess.run(command, check=False, capture_output=True).returncode == 0
    return False


def _fill(ballast: Path) -> None:
    """Write until the disk is full: whole megabytes first, single bytes last."""
    with ballast.open("wb", buffering=0) as file:
        for block in (_BLOCK, _BLOCK[:4096], _BLOCK[:1]):
            try:
                while True:
                    file.write(block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

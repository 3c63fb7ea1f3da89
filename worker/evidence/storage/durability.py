"""Durability: two strategies by which written files of local evidence reach the disk.

Under load hundreds of files wait at a time until they are on the disk. One sync of the file system (`syncfs`) serves
all of them and costs a fraction of one `fsync` for each (docs/adr/0007-durable-files.md). It also waits for writes of
other programs, and only some file systems report all failures through it: on others each file is synced by itself.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar

from worker.concurrency.blocking import run_blocking
from worker.concurrency.group_commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: File systems whose `syncfs` waits for everything, and whose writes wait for no network and no other program.
_DISKS: Final = frozenset({"ext2", "ext3", "ext4", "xfs"})

#: The first kernel whose `syncfs` reports every failure, by its source: of data since 5.8, of the file system itself
#: since 5.17.
_SINCE: Final = (5, 17)


class Durability(Protocol):
    """How files and names under one folder reach the disk. Every method raises ``OSError``."""

    #: Failed syncs that several callers shared. Read it before writing, and pass it to `sync`.
    failures: int

    def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Run system calls on files, in the blocking pool if they may be as slow as a network."""

    def sync(self, *descriptors: int, since: int) -> None:
        """Wait until the files, or the names in the folders, behind `descriptors` are on the disk.

        Parameters:
          since: `failures` before the first write.
        """

    def sync_folder(self, path: str) -> None:
        """Wait until the names in a folder that many verifications share are on the disk."""


def choose(root: str) -> Durability:
    """Return the strategy for the file system of a folder. Call it in the process that uses it. Raises ``OSError``."""
    device = Path(root).stat().st_dev
    if _is_disk(file_system(root)):
        folder = _Folder(root)
        if folder.device == device:  # no mount has changed meanwhile
            return FileSystemSync(folder)
    return FileSync()


class FileSync(Durability):
    """Syncs each file and each folder by itself (`fsync`), in the blocking pool. Works on every file system."""

    failures = 0

    def __init__(self) -> None:
        self._folders: dict[str, GroupCommit] = {}

    def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return run_blocking(function, *args, **kwargs)

    def sync(self, *descriptors: int, since: int) -> None:
        del since  # `fsync` reports the failures of one file
        run_blocking(_fsync, descriptors)

    def sync_folder(self, path: str) -> None:
        commit = self._folders.get(path)
        if commit is None:
            commit = self._folders[path] = GroupCommit(lambda: sync(path))
        commit()


class FileSystemSync(Durability):
    """Syncs the whole file system (`syncfs`), once for all waiting callers. System calls run in the event loop.

    Files on another file system, such as a mounted folder of a region, use ``FileSync``. If another file system is
    mounted over the root later, all files use ``FileSync`` until the process restarts.
    """

    def __init__(self, root: _Folder) -> None:
        # Keep it open: the kernel reports a failure once to each open descriptor.
        self._root = root
        self._commit = GroupCommit(self._sync_all)
        self._file_sync = FileSync()
        self._run_inline = True
        self.failures = 0

    def run(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        return function(*args, **kwargs) if self._run_inline else run_blocking(function, *args, **kwargs)

    def sync(self, *descriptors: int, since: int) -> None:
        if any(os.fstat(descriptor).st_dev != self._root.device for descriptor in descriptors):
            self._run_inline = False  # the other file system may be as slow as a network
            self._file_sync.sync(*descriptors, since=since)
            return
        self._commit()
        # The kernel reports a failure once, without the file: it may be a file of this caller.
        if self.failures != since:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def sync_folder(self, path: str) -> None:
        """Sync a folder only if it is on another file system: here it was synced with the file below it."""
        if self.run(os.stat, path).st_dev != self._root.device:
            self._file_sync.sync_folder(path)

    def _sync_all(self) -> None:
        try:
            syncfs(self._root.descriptor)
            # ext4 without a journal writes inodes after the flush of the disk's cache, so flush again.
            os.fsync(self._root.descriptor)
        except OSError:
            self.failures += 1
            raise


class _Folder:
    """An open folder. It is closed when it is no longer referenced."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        self.device = os.fstat(self.descriptor).st_dev

    def __del__(self) -> None:
        with suppress(AttributeError):  # the open failed
            os.close(self.descriptor)


def file_system(path: str) -> str | None:
    """Return the type of the file system of a path; None: unknown."""
    device = Path(path).stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except (FileNotFoundError, PermissionError):
        return None
    # proc(5): the third field is the device; the type follows a separate dash.
    kinds = {mount.partition(" - ")[2].split()[0] for mount in mounts if mount.split()[2] == number}
    return kinds.pop() if len(kinds) == 1 else None


def syncfs(descriptor: int) -> None:
    """Write all pending data of the file system behind `descriptor` to the disk. Raises ``OSError``."""
    if _libc.syncfs(descriptor):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def sync(folder: str | Path) -> None:
    """Sync the names in a folder. Raises ``OSError``."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _is_disk(kind: str | None) -> bool:
    release = re.match(r"(\d+)\.(\d+)", platform.release())
    since = (int(release[1]), int(release[2])) if release else (0, 0)
    return platform.system() == "Linux" and since >= _SINCE and kind in _DISKS


def _fsync(descriptors: tuple[int, ...]) -> None:
    for descriptor in descriptors:
        os.fsync(descriptor)


_libc: Final = ctypes.CDLL(None, use_errno=True)

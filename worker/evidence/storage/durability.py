"""The disk, or whatever there is in its place, under the folder of local evidence.

Under load hundreds of files wait at a time until they are on the disk. To sync them one by one costs more than all else
that is done for them; to sync their file system, once for all who wait, costs a fraction of it
(docs/adr/0007-durable-files.md). It also waits for what others write there.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import re
import threading
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, ParamSpec, TypeVar

from worker.concurrency.blocking import run_blocking
from worker.concurrency.group_commit import GroupCommit

if TYPE_CHECKING:
    from collections.abc import Callable

_P = ParamSpec("_P")
_T = TypeVar("_T")

#: Where `syncfs` is known to wait for everything, and writing does not wait for a network or another program.
_DISKS: Final = frozenset({"ext2", "ext3", "ext4", "xfs"})

#: From here on it tells of all that could not be written: of data since 5.8, of what the file system itself does since
#: 5.17, by its source.
_SINCE: Final = (5, 17)


class _Folder:
    """An open folder, closed when nobody has it any more. By its descriptor the kernel knows what it has told us."""

    def __init__(self, path: str) -> None:
        self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)

    def __del__(self) -> None:
        with suppress(AttributeError):  # it could not be opened
            os.close(self.descriptor)


@dataclass(frozen=True, slots=True)
class _Place:
    """What the root was last seen to be on. `root`: where it is synced whole; open from the first sync on."""

    device: int = -1
    root: _Folder | None = None


class Disk:
    """What one folder is on. Its methods raise ``OSError``.

    Parameters:
      root: need not be there yet, and may come to be on another file system when that is mounted.
    """

    def __init__(self, root: str) -> None:
        self._root = root
        self._place = _Place()
        #: Syncs of the whole that failed. The kernel tells once that something could not be written, whose ever it was.
        self.failures = 0
        self._looking = threading.Lock()
        self._all = GroupCommit(self._sync_all)
        self._folders: dict[str, GroupCommit] = {}

    def do(self, function: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """Call what reads or writes files. Where that may take long, other calls go on meanwhile."""
        return function(*args, **kwargs) if self._place.root else run_blocking(function, *args, **kwargs)

    def sync(self, *descriptors: int, since: int) -> None:
        """Return once the files, or the names in the folders, behind `descriptors` are on the disk.

        Where they are synced whole, so is all that was written to their file system before the call. `since`: what
        `failures` was before anything was written; whatever failed since then may have been ours.
        """
        if not self.do(self._are_whole, descriptors):
            run_blocking(_fsync, descriptors)
            return
        place = self._place
        self._all()
        if self._place is not place:  # another file system was mounted meanwhile, and maybe that was synced
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        if self.failures != since:
            raise OSError(errno.EIO, os.strerror(errno.EIO))

    def sync_folder(self, path: str) -> None:
        """The same for the names in a folder that many share: one call serves all who asked before it began."""
        shared = self._folders.get(path)
        if shared is None:
            shared = self._folders[path] = GroupCommit(lambda: sync(path))
        shared()

    def is_whole(self, status: os.stat_result) -> bool:
        """Whether what has this status is synced with all of its file system."""
        device = os.stat(self._root).st_dev  # noqa: PTH116 - many times a second
        place = self._place
        if device != place.device:
            place = self._look(device)
        return place.root is not None and status.st_dev == place.device

    def _look(self, device: int) -> _Place:
        with self._looking:
            if device != self._place.device:
                whole = _is_disk(file_system(self._root))
                self._place = _Place(device, _Folder(self._root) if whole else None)
            return self._place

    def _are_whole(self, descriptors: tuple[int, ...]) -> bool:
        return all(self.is_whole(os.fstat(descriptor)) for descriptor in descriptors)

    def _sync_all(self) -> None:
        root = self._place.root
        if root is None:
            raise OSError(
                errno.ESTALE, os.strerror(errno.ESTALE)
            )  # another file system was mounted meanwhile
        try:
            syncfs(root.descriptor)
            # ext4 without a journal writes inodes after it has told the disk to empty its cache: so once more.
            os.fsync(root.descriptor)
        except OSError:
            self.failures += 1
            raise


def file_system(path: str) -> str | None:
    """The kind of file system that a path is on; None: it cannot be told."""
    device = Path(path).stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    try:
        mounts = Path("/proc/self/mountinfo").read_text(errors="replace").splitlines()
    except (FileNotFoundError, PermissionError):
        return None
    # proc(5): the third field is the device; behind a lone dash comes the kind.
    kinds = {mount.partition(" - ")[2].split()[0] for mount in mounts if mount.split()[2] == number}
    return kinds.pop() if len(kinds) == 1 else None


def syncfs(descriptor: int) -> None:
    """Write what is not written yet of the file system behind `descriptor`. Raises ``OSError``."""
    if _libc.syncfs(descriptor):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def rename_once(path: str, name: str, folder: int) -> None:
    """Give a file its name in the folder behind a descriptor. Raises ``FileExistsError`` where there is one.

    For file systems without hard links, such as vfat. Raises ``OSError``, also where this cannot be done either.
    """
    if _rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _rename(_AT_FDCWD, os.fsencode(path), folder, os.fsencode(name), _RENAME_NOREPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def sync(folder: str | Path) -> None:
    """Raises ``OSError``."""
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

#: Of renameat2(2), which not every C library has.
_rename: Final[Callable[..., int] | None] = getattr(_libc, "renameat2", None)
_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1

"""Files that have their bytes and no name yet: how local files appear whole or not at all."""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from worker.evidence.storage.backend import Together, clear, unsuitable
from worker.evidence.storage.durability import rename_once

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from worker.evidence.storage.durability import Disk

#: Evidence is personal data: for the account that runs the workers, and for nobody else.
FILE_MODE: Final = 0o600

#: What opens a file without a name, to which one can be linked by way of `/proc`; 0: this system knows none.
_NAMELESS: Final[int] = getattr(os, "O_TMPFILE", 0) if Path("/proc/self/fd").is_dir() else 0

#: What a file system answers that knows none, NFS among them.
_KNOWS_NONE: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR})

#: What a file system answers that cannot rename without replacing.
_CANNOT_RENAME: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})

#: What a file system answers that knows no hard links.
_KNOWS_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


@dataclass(frozen=True, slots=True)
class _Draft:
    name: str
    descriptor: int
    #: The way to its bytes.
    path: str
    #: It has a name after all.
    staged: bool = False


class Drafts(Together):
    """Files for a folder. Use it in a `with`: what is not published by its end is gone, and so it is after a kill.

    Where files without a name are not known, a kill leaves one that is called `staged-…` beside the evidence, which
    goes when that folder goes.
    """

    def __init__(self, folder: str, url: str, disk: Disk) -> None:
        self.taken = []
        self._folder = folder
        self._url = url
        self._disk = disk
        self._since = disk.failures
        self._drafts: list[_Draft] = []

    def add(self, name: str, body: bytes) -> None:
        with clear("written", self._url):
            self._disk.do(self._write, name, body)

    def publish(self) -> None:
        """Give all their names, once all their bytes are on the disk; then make sure that the names are, too."""
        with clear("written", self._url):
            if self._drafts:
                self._disk.sync(*(draft.descriptor for draft in self._drafts), since=self._since)
            folder = self._disk.do(os.open, self._folder, os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._disk.do(self._name, folder)
                # Also where there were none: the process that put them there may have been killed before this line.
                self._disk.sync(folder, since=self._since)
            finally:
                self._disk.do(os.close, folder)

    def _write(self, name: str, body: bytes) -> None:
        draft = self._open(name)
        self._drafts.append(draft)
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(draft.descriptor, rest) :]

    def _name(self, folder: int) -> None:
        for draft in self._drafts:
            try:
                self._link(draft, folder)
            except FileExistsError:
                self.taken.append(draft.name)

    def _link(self, draft: _Draft, folder: int) -> None:
        """Give a draft its name, if that is free. Raises ``FileExistsError`` where it is not, and ``OSError``."""
        try:
            os.link(draft.path, draft.name, dst_dir_fd=folder)
        except OSError as error:
            if not draft.staged or error.errno not in _KNOWS_NO_LINKS:
                raise
            try:
                rename_once(draft.path, draft.name, folder)
            except OSError as other:
                if other.errno not in _CANNOT_RENAME:
                    raise
                why = "its file system has neither hard links nor a rename that replaces nothing"
                raise unsuitable(self._url, why) from None

    def _open(self, name: str) -> _Draft:
        if _NAMELESS:
            try:
                descriptor = os.open(self._folder, _NAMELESS | os.O_WRONLY, FILE_MODE)
                return _Draft(name, descriptor, f"/proc/self/fd/{descriptor}")
            except OSError as error:
                if error.errno not in _KNOWS_NONE:
                    raise
        path = f"{self._folder}/staged-{uuid4().hex}"
        return _Draft(name, os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE), path, staged=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._drafts:
            self._disk.do(self._drop)

    def _drop(self) -> None:
        for draft in self._drafts:
            # NFS writes when a file is closed, and tells then what it could not; what was published is synced.
            with suppress(OSError):
                os.close(draft.descriptor)
            if draft.staged:
                with suppress(OSError):
                    Path(draft.path).unlink()

"""Evidence in a local folder: files that are atomic, durable against a power cut, and private."""

from __future__ import annotations

import ctypes
import errno
import os
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote
from uuid import uuid4

from worker.concurrency.blocking import run_blocking
from worker.errors import ConfigError, EvidenceUnavailable
from worker.evidence.storage import durability
from worker.evidence.storage.backend import Backend, FolderWriter, Found, clear, unsuitable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from worker.evidence.storage.durability import Durability

#: Evidence is personal data: only the account that runs the workers may read it.
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600

#: The flag that opens a file without a name, which gets its name later through `/proc`; 0: not supported here.
_NAMELESS: Final[int] = getattr(os, "O_TMPFILE", 0) if Path("/proc/self/fd").is_dir() else 0

#: The errors of a file system without nameless files, such as NFS.
_KNOWS_NONE: Final = frozenset({errno.EOPNOTSUPP, errno.EISDIR})

#: The errors of a file system that cannot rename without replacing.
_CANNOT_RENAME: Final = frozenset({errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP})

#: The errors of a file system without hard links.
_KNOWS_NO_LINKS: Final = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK})


class LocalFolder(Backend):
    """Files in a folder, written durably: a visible name has all its bytes on the disk.

    A file is written without a name, synced, and only then linked to its name; then its folder is synced, and the
    folders above. It uses system calls: through obstore each file took three times the processor time.
    """

    def __init__(self, url: str, host: str, path: str) -> None:
        self.url = url.rstrip("/")
        root = Path(unquote(path))
        if host or not root.is_absolute():
            raise ConfigError("EKYC_EVIDENCE_URL: give a local folder as file:///path, with three slashes")
        #: Folders of regions that this process has synced into the root.
        self._synced: set[str] = set()
        self._root = str(root.resolve()).rstrip("/")
        self._chosen: Durability | None = None
        self._choosing = threading.Lock()
        self._prepared = False
        # A disk that is full or not mounted may recover while this process runs; until then every use raises.
        with suppress(EvidenceUnavailable):
            self.prepare()

    def prepare(self) -> None:
        if self._prepared:
            return
        root = Path(self._root)
        with clear("written", self.url):
            made = [folder for folder in (root, *root.parents) if not folder.exists()]
            root.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            for folder in made:
                durability.sync(folder.parent)
        self._prepared = True

    def create(self, path: str, body: bytes) -> bool:
        folder, _, name = path.rpartition("/")
        with self.writing(folder) as files:
            if folder:
                with clear("written", self.url):
                    self._durability.run(self._make, folder)
            files.add(name, body)
        if folder:
            with clear("written", self.url):
                self._sync_parents(folder)
        return not files.taken

    @contextmanager
    def writing(self, folder: str) -> Iterator[FolderWriter]:
        with clear("written", self.url):
            drafts = _Drafts(f"{self._root}/{folder}", self.url, self._durability)
        with drafts:
            yield drafts
            drafts.publish()

    def sync(self, folder: str) -> None:
        with clear("written", self.url), _opened(self._durability, f"{self._root}/{folder}") as descriptor:
            self._durability.sync(descriptor, since=self._durability.failures)

    def read(self, path: str) -> bytes | None:
        with clear("read", self.url):
            try:
                return self._durability.run(Path(f"{self._root}/{path}").read_bytes)
            except FileNotFoundError:
                self._durability.run(os.stat, self._root)  # raises if the root is gone, not only the file
                return None

    def remove(self, path: str) -> None:
        with clear("removed", self.url):
            Path(f"{self._root}/{path}").unlink()

    def list(self, folder: str = "") -> Iterator[Found]:
        with clear("listed", self.url):
            found = self._durability.run(tuple, self._found(folder))
            if not found:
                self._durability.run(os.stat, self._root)
            yield from found

    @property
    def _durability(self) -> Durability:
        """The strategy of this process, chosen at its first use. Raises ``OSError`` if the root is missing."""
        return self._chosen or run_blocking(self._choose)

    def _choose(self) -> Durability:
        with self._choosing:
            self._chosen = self._chosen or durability.choose(f"{self._root}/")
            return self._chosen

    def _found(self, folder: str) -> Iterator[Found]:
        with suppress(FileNotFoundError), os.scandir(f"{self._root}/{folder}") as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir():
                    yield from self._found(path)
                    continue
                with suppress(FileNotFoundError):  # a `staged-…` file that is gone by now
                    status = entry.stat()
                    yield Found(path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def _make(self, folder: str) -> None:
        """Create the folder of a verification, and the folder of its region."""
        made = Path(f"{self._root}/{folder}")
        with suppress(FileExistsError):
            try:
                made.mkdir(FOLDER_MODE)
            except FileNotFoundError:
                # Not the root: if it is gone, for example not mounted, a new folder would only hide that.
                with suppress(FileExistsError):
                    made.parent.mkdir(FOLDER_MODE)
                self._synced.discard(made.parent.name)
                made.mkdir(FOLDER_MODE)

    def _sync_parents(self, folder: str) -> None:
        """Make the folder itself durable: the process that created it may have been killed before its sync."""
        region, _, _ = folder.rpartition("/")
        self._durability.sync_folder(f"{self._root}/{region}")
        if region not in self._synced:
            self._durability.sync_folder(f"{self._root}/")
            self._synced.add(region)


@dataclass(frozen=True, slots=True)
class _Draft:
    """A file that has its bytes but not its name yet."""

    name: str
    descriptor: int
    #: A path to its bytes.
    path: str
    #: Whether it has a temporary name.
    staged: bool = False


class _Drafts(FolderWriter):
    """Drafts for one folder. At the end of the block, and after a kill, unpublished drafts are gone.

    On a file system without nameless files, a kill leaves a file `staged-…` beside the evidence, which is removed
    with the folder.
    """

    def __init__(self, folder: str, url: str, disk: Durability) -> None:
        self.taken = []
        self._folder = folder
        self._url = url
        self._disk = disk
        self._since = disk.failures
        self._drafts: list[_Draft] = []

    def add(self, name: str, body: bytes) -> None:
        with clear("written", self._url):
            self._disk.run(self._write, name, body)

    def publish(self) -> None:
        """Sync the bytes of all drafts, give them their names, and sync the names."""
        with clear("written", self._url):
            if self._drafts:
                self._disk.sync(*(draft.descriptor for draft in self._drafts), since=self._since)
            with _opened(self._disk, self._folder) as folder:
                self._disk.run(self._name, folder)
                # Even if all names were taken: their writer may have been killed before this line.
                self._disk.sync(folder, since=self._since)

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
        """Give a draft its name. Raises ``FileExistsError`` if the name is taken, and ``OSError``."""
        try:
            os.link(draft.path, draft.name, dst_dir_fd=folder)
        except OSError as error:
            if not draft.staged or error.errno not in _KNOWS_NO_LINKS:
                raise
            try:
                _rename_once(draft.path, draft.name, folder)
            except OSError as other:
                if other.errno not in _CANNOT_RENAME:
                    raise
                why = "its file system has neither hard links nor a rename that never replaces a file"
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
            self._disk.run(self._drop)

    def _drop(self) -> None:
        for draft in self._drafts:
            # NFS reports write errors at close; published files are synced already.
            with suppress(OSError):
                os.close(draft.descriptor)
            if draft.staged:
                with suppress(OSError):
                    Path(draft.path).unlink()


@contextmanager
def _opened(disk: Durability, folder: str) -> Iterator[int]:
    """Open a folder for a block, and yield its descriptor."""
    descriptor = disk.run(os.open, folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield descriptor
    finally:
        disk.run(os.close, descriptor)


def _rename_once(path: str, name: str, folder: int) -> None:
    """Rename a file into the folder behind a descriptor. Raises ``FileExistsError`` if the name is taken.

    For file systems without hard links, such as vfat. Raises ``OSError``, also if the system cannot do this.
    """
    if _rename is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if _rename(_AT_FDCWD, os.fsencode(path), folder, os.fsencode(name), _RENAME_NOREPLACE):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


#: renameat2(2), which not every C library has.
_rename: Final[Callable[..., int] | None] = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
_AT_FDCWD: Final = -100
_RENAME_NOREPLACE: Final = 1

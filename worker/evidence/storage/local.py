"""Evidence in a local folder: files that are atomic, durable against a power cut, and private."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
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
from worker.evidence.storage.backend import (
    MOST_BYTES,
    STAGED,
    TOO_LARGE,
    Backend,
    FolderWriter,
    Found,
    clear,
    unsuitable,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
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

    Parameters:
        make: create the folder. Without it, only `prepare` does.
    """

    def __init__(self, url: str, host: str, path: str, *, make: bool = True) -> None:
        self.url = url.rstrip("/")
        root = Path(unquote(path))
        if host or not root.is_absolute():
            raise ConfigError("EKYC_EVIDENCE_URL: give a local folder as file:///path, with three slashes")
        #: Folders, such as those of regions, that this process has synced up to the root.
        self._synced: set[str] = set()
        #: The device and the inode of the root, as this process saw it last, and names that it held.
        self._identity: tuple[int, int] | None = None
        self._held: set[str] = set()
        #: Folders in the root that were on a disk of their own.
        self._mounted: set[str] = set()
        self._root = str(root.resolve()).rstrip("/")
        self._chosen: Durability | None = None
        self._choosing = threading.Lock()
        self._prepared = False
        if make:
            # A disk that is full or not mounted may recover while this process runs; until then every use raises.
            with suppress(EvidenceUnavailable):
                self.prepare()

    @property
    def is_missing(self) -> bool:
        """Whether nothing is there. What cannot be looked at is not missing: its use says why."""
        try:
            os.stat(self._root)  # noqa: PTH116 - as the other calls here
        except OSError as error:
            return isinstance(error, FileNotFoundError)
        return False

    @property
    def is_empty(self) -> bool:
        """Whether the root is there and holds nothing of ours, as the folder under a disk that is not mounted."""
        try:
            return not any(map(str.isalpha, os.listdir(self._root)))  # noqa: PTH208 - as the other calls here
        except OSError:
            return False

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
        return not self.create_all(folder, [(name, body)])

    def create_all(self, folder: str, files: Sequence[tuple[str, bytes]]) -> Sequence[str]:
        with self._writing(folder, ordered=True) as drafts:
            with clear("written", self.url):
                self._durability.run(self._make, folder)
            for name, body in files:
                drafts.add(name, body)
        if folder:
            with clear("written", self.url):
                self._sync_parents(folder)
        return drafts.taken

    def replace(
        self, path: str, body: bytes, *, expected: bytes | None = None, keeps_time: bool = False
    ) -> bool:
        folder, _, name = path.rpartition("/")
        with clear("written", self.url):
            self._durability.run(self._make, folder)
            if not run_blocking(self._replace, f"{self._root}/{folder}", name, body, expected, keeps_time):
                return False
            if folder:
                self._sync_parents(folder)
            return True

    def _replace(
        self,
        folder: str,
        name: str,
        body: bytes,
        expected: bytes | None,
        keeps_time: bool,  # noqa: FBT001
    ) -> bool:
        with (
            _opened(self._durability, folder) as descriptor,
            _locked(f"{folder}/{name}", expected) as is_same,
        ):
            if not is_same:
                return False
            draft = f"{STAGED}{uuid4().hex}"
            try:
                _write_synced(draft, body, descriptor, like=name if keeps_time else None)
                os.rename(draft, name, src_dir_fd=descriptor, dst_dir_fd=descriptor)
            except BaseException:
                with suppress(OSError):
                    os.unlink(draft, dir_fd=descriptor)
                raise
            os.fsync(descriptor)
            return True

    def writing(self, folder: str) -> AbstractContextManager[FolderWriter]:
        return self._writing(folder)

    def _writing(self, folder: str, *, ordered: bool = False) -> _Drafts:
        with clear("written", self.url):
            return _Drafts(f"{self._root}/{folder}", self.url, self._durability, ordered=ordered)

    def sync(self, folder: str) -> None:
        with clear("written", self.url), _opened(self._durability, f"{self._root}/{folder}") as descriptor:
            self._durability.sync(descriptor, since=self._durability.failures)

    def read(self, path: str) -> bytes | None:
        with clear("read", self.url):
            disk = self._durability
            with clear("read", self.url, path), suppress(FileNotFoundError):
                return disk.run(_read, f"{self._root}/{path}")
            self._check(path)
            # As in `list`.
            with clear("read", self.url, path), suppress(FileNotFoundError):
                return disk.run(_read, f"{self._root}/{path}")
            return None

    def remove(self, path: str) -> None:
        with clear("removed", self.url):
            run_blocking(_remove, f"{self._root}/{path}")

    def locked_until(self, path: str, kept_at: datetime) -> datetime | None:
        """Return None: nothing locks a file here."""

    def list(self, folder: str = "") -> Iterator[Found]:
        with clear("listed", self.url):
            found = self._durability.run(tuple, self._found(folder))
            if not found:
                self._check(folder)
                # The root may have come back between the two, such as a disk that is mounted again.
                found = self._durability.run(tuple, self._found(folder))
            yield from found

    def walk(self, folder: str, after: str = "") -> Iterator[Found]:
        # In the order of buckets, for which `/` is a character as any other.
        for name in sorted(self.folders(folder), key=lambda name: f"{name}/"):
            if not after or f"{name}/" > f"{after}/":
                yield from sorted(self.list(f"{folder}/{name}"), key=lambda file: file.path)

    def folders(self, folder: str) -> Iterator[str]:
        with clear("listed", self.url):
            found = self._durability.run(self._names, folder)
            if not found:
                self._check(folder)
                found = self._durability.run(self._names, folder)
            yield from found

    def _check(self, path: str) -> None:
        """Raise ``OSError`` if the root, or the disk of a folder in it, is not there: `path` may still exist in it."""
        self._durability.run(self._identify, path)

    def _identify(self, path: str) -> None:
        """Raise ``OSError`` if the root is another one, or if the disk of the first folder of `path` is not mounted."""
        self._identify_root()
        name, _, _ = path.partition("/")
        if name:
            self._identify_folder(name)

    def _identify_root(self) -> None:
        """Raise ``OSError`` if the root is gone, or no folder, or another one that holds nothing of what it held.

        Such as the empty folder under a disk that was unmounted: what is written there is hidden by the next mount.
        """
        status = os.stat(f"{self._root}/")  # noqa: PTH116 - as the other calls here
        if (status.st_dev, status.st_ino) == self._identity:
            return
        # By one descriptor: the folder may be another one by now.
        descriptor = os.open(f"{self._root}/", os.O_RDONLY | os.O_DIRECTORY)
        try:
            status = os.fstat(descriptor)
            # Other names, such as `lost+found` or that of a probe, may be in any folder.
            names = {name for name in os.listdir(descriptor) if name.isalpha()}  # noqa: PTH208
        finally:
            os.close(descriptor)
        if self._held and not self._held & names:
            raise OSError(
                errno.ESTALE, "another folder is there, without any of the evidence: mount its disk"
            )
        self._identity = status.st_dev, status.st_ino
        self._held |= names
        for name in names - self._mounted:
            self._identify_folder(name)

    def _identify_folder(self, name: str) -> None:
        """Raise ``OSError`` if a folder of the root, such as a region's, was on a disk of its own, and is empty now."""
        path = f"{self._root}/{name}"
        try:
            device = os.stat(path).st_dev  # noqa: PTH116
        except FileNotFoundError:
            device = None
        if self._identity and device not in {None, self._identity[0]}:
            self._mounted.add(name)
        elif name in self._mounted:
            if device is None or not os.listdir(path):  # noqa: PTH208
                raise OSError(errno.ESTALE, f"the folder {name} there was on a disk of its own: mount it")
            self._mounted.discard(name)

    def _names(self, folder: str) -> Sequence[str]:
        with suppress(FileNotFoundError), os.scandir(f"{self._root}/{folder}") as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
        return ()

    @property
    def _durability(self) -> Durability:
        """The strategy of this process, chosen at its first use. Raises ``OSError`` if the root is missing."""
        return self._chosen or run_blocking(self._choose)

    def _choose(self) -> Durability:
        with self._choosing:
            self._identify_root()
            self._chosen = self._chosen or durability.choose(f"{self._root}/")
            return self._chosen

    def _found(self, folder: str) -> Iterator[Found]:
        waiting, linked = [folder], set[tuple[int, int]]()
        while waiting:
            folder = waiting.pop()
            for entry in self._entries(folder):
                path = f"{folder}/{entry.name}" if folder else entry.name
                try:
                    if entry.is_dir():
                        waiting += [path] if not entry.is_symlink() or _is_new(entry, linked) else []
                        continue
                    status = entry.stat()
                except FileNotFoundError:  # a `staged-…` file that is gone by now
                    self._identify(path)
                    continue
                yield Found(path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def _entries(self, folder: str) -> Iterator[os.DirEntry[str]]:
        """Yield what is in a folder. If it does not exist: nothing, or ``OSError`` if the root is gone."""
        try:
            with os.scandir(f"{self._root}/{folder}") as entries:
                yield from entries
        except FileNotFoundError:
            self._identify(folder)

    def _make(self, folder: str) -> None:
        """Create a folder, and the folders above it.

        Not the root: if it is gone, for example not mounted, a new folder would only hide that.
        """
        self._identify(folder)
        if folder:
            self._make_below(folder)
            self._held.add(folder.partition("/")[0])

    def _make_below(self, folder: str) -> None:
        path = f"{self._root}/{folder}"
        with suppress(FileExistsError):
            try:
                os.mkdir(path, FOLDER_MODE)  # noqa: PTH102 - `Path` takes longer than the system call
            except FileNotFoundError:
                above, _, _ = folder.rpartition("/")
                if not above:
                    raise
                self._make_below(above)
                self._synced.discard(above)
                os.mkdir(path, FOLDER_MODE)  # noqa: PTH102

    def _sync_parents(self, folder: str) -> None:
        """Make the folder itself durable: the process that created it may have been killed before its sync."""
        above, _, _ = folder.rpartition("/")
        self._durability.sync_folder(f"{self._root}/{above}")
        if above not in self._synced:
            higher = above
            while higher:
                higher, _, _ = higher.rpartition("/")
                self._durability.sync_folder(f"{self._root}/{higher}")
            self._synced.add(above)


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
    """Drafts for one folder. The end of the block publishes them. If it raises, and after a kill, they are gone.

    On a file system without nameless files, a kill leaves a file `staged-…` beside the evidence, which is removed
    with the folder.
    """

    def __init__(self, folder: str, url: str, disk: Durability, *, ordered: bool = False) -> None:
        self.taken = []
        #: Once a name is taken, later drafts get none.
        self._ordered = ordered
        self._folder = folder
        self._url = url
        self._disk = disk
        self._since = disk.failures
        self._drafts: list[_Draft] = []
        self._last: _Draft | None = None

    def add(self, name: str, body: bytes) -> None:
        with clear("written", self._url):
            self._disk.run(self._write, name, body)

    def add_last(self, name: str, body: bytes) -> None:
        self.add(name, body)
        self._last = self._drafts[-1]

    def _publish(self) -> None:
        """Sync the bytes of all drafts, give them their names, and sync the names; then the name of the last one."""
        with clear("written", self._url):
            if self._drafts:
                self._disk.sync(*(draft.descriptor for draft in self._drafts), since=self._since)
            with _opened(self._disk, self._folder) as folder:
                self._disk.run(self._name, folder, [each for each in self._drafts if each is not self._last])
                # Even if all names were taken: their writer may have been killed before this line.
                self._disk.sync(folder, since=self._since)
                if self._last and not self.taken:
                    self._disk.run(self._name, folder, [self._last])
                    self._disk.sync(folder, since=self._since)

    def _write(self, name: str, body: bytes) -> None:
        draft = self._open(name)
        self._drafts.append(draft)
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(draft.descriptor, rest) :]

    def _name(self, folder: int, drafts: Sequence[_Draft]) -> None:
        for draft in drafts:
            try:
                self._link(draft, folder)
            except FileExistsError:
                self.taken.append(draft.name)
                if self._ordered:
                    return

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
        path = f"{self._folder}/{STAGED}{uuid4().hex}"
        return _Draft(name, os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE), path, staged=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._publish()
        finally:
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


class _opened:  # noqa: N801 - as `clear`
    """Opens a folder for a block, and yields its descriptor."""

    __slots__ = ("_descriptor", "_disk", "_folder")

    def __init__(self, disk: Durability, folder: str) -> None:
        self._disk = disk
        self._folder = folder
        self._descriptor = -1

    def __enter__(self) -> int:
        self._descriptor = self._disk.run(os.open, self._folder, os.O_RDONLY | os.O_DIRECTORY)
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        self._disk.run(os.close, self._descriptor)


@contextmanager
def _locked(path: str, expected: bytes | None) -> Iterator[bool]:
    """Hold the lock of a file for a block, and yield whether it holds `expected`. None: any file, or none, no lock.

    The lock is on the file itself, which network file systems allow only if it is open for writing.
    """
    if expected is None:
        yield True
        return
    descriptor = _lock(path)
    try:
        yield descriptor is not None and _read(path) == expected
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _is_new(link: os.DirEntry[str], linked: set[tuple[int, int]]) -> bool:
    """Note the folder that a link means. False: it was noted before.

    Two links to the folder that holds them would otherwise make 2 to the power of 40 paths.
    """
    status = link.stat()
    identity = status.st_dev, status.st_ino
    is_new = identity not in linked
    linked.add(identity)
    return is_new


def _read(path: str) -> bytes:
    # `Path` takes longer than the system calls. A pipe instead of a file must not be waited for.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        if status.st_size > MOST_BYTES:
            raise OSError(errno.EFBIG, TOO_LARGE)
        with open(descriptor, "rb", buffering=0, closefd=False) as file:
            return file.readall()
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    """Remove a file under its lock: otherwise a replacement of it that has begun would bring it back."""
    try:
        descriptor = _lock(path)
    except PermissionError:
        # Nor can a process of this account replace it.
        descriptor = None
    try:
        Path(path).unlink()
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(path: str) -> int | None:
    """Lock a file, and return its descriptor, which holds the lock until it is closed. None: there is no file."""
    while True:
        try:
            descriptor = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Otherwise it was replaced meanwhile, and this is the lock of the earlier file.
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):  # noqa: PTH116 - as `os.fstat`
                return descriptor
        except FileNotFoundError:
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _write_synced(name: str, body: bytes, folder: int, *, like: str | None = None) -> None:
    """Write a file durably. `like`: a file whose time of the last change it gets."""
    descriptor = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, FILE_MODE, dir_fd=folder)
    try:
        rest = memoryview(body)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        if like is not None:
            before = os.stat(like, dir_fd=folder)
            os.utime(descriptor, ns=(before.st_atime_ns, before.st_mtime_ns))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


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

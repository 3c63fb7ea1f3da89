"""The interface of an evidence backend: a local folder or a bucket."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from worker.errors import EvidenceUnavailable, EvidenceUnsuitable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime
    from types import TracebackType


#: The first letters of the name of a file that is being written, where it must have one. A kill leaves it there.
STAGED: Final = "staged-"

#: The first letters of the name of an object that shows what a store can do, and is removed at once.
PROBE: Final = "probe-"

#: The largest file that is read, in bytes: three times the largest that is written. A larger one could fill the memory
#: of a worker, and so end the work on others.
MOST_BYTES: Final = 64 * 1024 * 1024

#: Why a larger one is not read.
TOO_LARGE: Final = f"it is larger than {MOST_BYTES:,} bytes, as no evidence is"

#: The paths that an error repeats: those of ours, in one line.
_NAMED: Final = re.compile(r"[A-Za-z0-9._@/-]{1,200}")


@dataclass(frozen=True, slots=True)
class Found:
    """A file of a listing. `path` is relative to the URL."""

    path: str
    size_bytes: int
    kept_at: datetime


class FolderWriter(Protocol):
    """Writes several files into one folder."""

    #: The names that existed already: those files stay as they are. Complete at the end of the block.
    taken: list[str]

    def add(self, name: str, body: bytes) -> None:
        """Write a file atomically if the name is free."""

    def add_last(self, name: str, body: bytes) -> None:
        """Write a file that gets its name after all others are durable, and only if none of their names existed.

        Nothing is added after it.
        """


class Backend(Protocol):
    """Files under `url`, each written once but for `replace`. Thread-safe, and may be created before a fork.

    Every method raises ``EvidenceUnavailable`` for any error of the file system or the bucket.
    """

    url: str
    #: Whether the store is known to keep what is replaced or removed.
    keeps_versions: bool = False

    def prepare(self) -> None:
        """Create the root folder if it can be created and did not exist when this process first looked."""

    def create(self, path: str, body: bytes) -> bool:
        """Write a file atomically if the name is free. False: the file exists already.

        In both cases the existing file is durable against a power cut afterwards.
        """

    def create_all(self, folder: str, files: Sequence[tuple[str, bytes]]) -> Sequence[str]:
        """Write the files of one folder in their order, as `create` does. Returns the names that existed already.

        Once a name is taken, the files after it are not written.
        """

    def replace(
        self, path: str, body: bytes, *, expected: bytes | None = None, keeps_time: bool = False
    ) -> bool:
        """Write a file atomically, whether or not it exists.

        With `expected`, it replaces only a file with these bytes. False: the file has others, or is gone. With
        `keeps_time` it still counts as stored when the file was that it replaces; a bucket cannot do that.
        """

    def writing(self, folder: str) -> AbstractContextManager[FolderWriter]:
        """Write files, in a block, into a folder in which a file was created before.

        They are visible and durable at the end of the block. If the block raises, they may be lost.
        """

    def sync(self, folder: str) -> None:
        """Make all visible files in a folder durable against a power cut, including those of other processes."""

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file, at most `MOST_BYTES`; None: there is no such file."""

    def remove(self, path: str) -> None:
        """Remove an existing file."""

    def locked_until(self, path: str, kept_at: datetime) -> datetime | None:
        """Return when the lock of a file that was written at `kept_at` ends; None: nothing locks it."""

    def list(self, folder: str = "") -> Iterator[Found]:
        """Yield every file under `folder`; without a folder, under the URL."""

    def walk(self, folder: str, after: str = "") -> Iterator[Found]:
        """Yield the files of each folder in `folder`, folder by folder, in an order that stays.

        `after`: the name of a folder; it and those before it are left out.
        """

    def folders(self, folder: str) -> Iterator[str]:
        """Yield the names of the folders in `folder`, in their order, each once."""


def keep_first(backend: Backend, path: str, body: bytes) -> bytes:
    """Write a file if its name is free, and return the stored bytes."""
    if backend.create(path, body):
        return body
    kept = backend.read(path)
    if kept is None:
        raise busy(f"{backend.url}/{path}")
    return kept


def busy(place: str) -> EvidenceUnavailable:
    return EvidenceUnavailable(f"another process is writing or removing {place}")


def unavailable(doing: str, url: str, cause: str, path: str = "") -> EvidenceUnavailable:
    """Return an error of one line: a library's message has many lines, and may quote a signed URL.

    `path`: the object, if the error may be about it alone.
    """
    place = f"{url}/{path}" if _NAMED.fullmatch(path) else url
    return EvidenceUnavailable(
        f"evidence cannot be {doing} at {place}: {cause}; "
        "check EKYC_EVIDENCE_URL, the rights of this account and the space left there"
    )


def unsuitable(url: str, why: str) -> EvidenceUnsuitable:
    """Return an error of one line for a store that does not guarantee "written once"."""
    return EvidenceUnsuitable(
        f"EKYC_EVIDENCE_URL: files at {url} are not written once: {why}; "
        "evidence could be replaced there, so use another store"
    )


class clear:  # noqa: N801 - used as `contextlib.suppress` is
    """Converts an error of the operating system in its block into ``EvidenceUnavailable`` with one line.

    A generator with `contextmanager` takes three times as long, and each file needs several of these blocks.
    `path`: the object that the block uses; without it the error names the store.
    """

    __slots__ = ("_doing", "_path", "_url")

    def __init__(self, doing: str, url: str, path: str = "") -> None:
        self._doing = doing
        self._url = url
        self._path = path

    def __enter__(self) -> None:
        pass

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, OSError | ValueError):  # ValueError: a zero byte in a path
            cause = getattr(error, "strerror", None) or "such a path cannot exist"
            raise unavailable(self._doing, self._url, cause.lower(), self._path) from None

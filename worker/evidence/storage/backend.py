"""The interface of an evidence backend: a local folder or a bucket."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from worker.errors import EvidenceUnavailable, EvidenceUnsuitable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from datetime import datetime


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


class Backend(Protocol):
    """Files under `url`, each written once. Thread-safe, and may be created before a fork.

    Every method raises ``EvidenceUnavailable`` for any error of the file system or the bucket.
    """

    url: str

    def prepare(self) -> None:
        """Create the root folder if it can be created and did not exist when this process first looked."""

    def create(self, path: str, body: bytes) -> bool:
        """Write a file atomically if the name is free. False: the file exists already.

        In both cases the existing file is durable against a power cut afterwards.
        """

    def writing(self, folder: str) -> AbstractContextManager[FolderWriter]:
        """Write files, in a block, into a folder in which a file was created before.

        They are visible and durable at the end of the block. If the block raises, they may be lost.
        """

    def sync(self, folder: str) -> None:
        """Make all visible files in a folder durable against a power cut, including those of other processes."""

    def read(self, path: str) -> bytes | None:
        """Return the bytes of a file; None: there is no such file."""

    def remove(self, path: str) -> None:
        """Remove an existing file."""

    def list(self, folder: str = "") -> Iterator[Found]:
        """Yield every file under `folder`; without a folder, under the URL."""


def unavailable(doing: str, url: str, cause: str) -> EvidenceUnavailable:
    """Return an error of one line: a library's message has many lines, and may quote a signed URL."""
    return EvidenceUnavailable(
        f"evidence cannot be {doing} at {url}: {cause}; "
        "check EKYC_EVIDENCE_URL, the rights of this account and the space left there"
    )


def unsuitable(url: str, why: str) -> EvidenceUnsuitable:
    """Return an error of one line for a store that does not guarantee "written once"."""
    return EvidenceUnsuitable(
        f"EKYC_EVIDENCE_URL: files at {url} are not written once: {why}; "
        "evidence could be replaced there, so use another store"
    )


@contextmanager
def clear(doing: str, url: str) -> Iterator[None]:
    """Convert an error of the operating system into ``EvidenceUnavailable`` with one line."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a zero byte in a path
        cause = getattr(error, "strerror", None) or "such a path cannot exist"
        raise unavailable(doing, url, cause.lower()) from None

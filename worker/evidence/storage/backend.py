"""The interface of an evidence backend, which is a local folder or a bucket."""

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
    """A file that a listing found, its path relative to the URL."""

    path: str
    size_bytes: int
    kept_at: datetime


class FolderWriter(Protocol):
    """Writes files into one folder together."""

    #: The names that existed already: those files stay as they are. Complete at the end of the block.
    taken: list[str]

    def add(self, name: str, body: bytes) -> None:
        """Write a file if there is none, whole or not at all."""


class Backend(Protocol):
    """Files under `url`, each written once; safe to share between threads, and made before a fork.

    Every method raises ``EvidenceUnavailable`` whatever the file system or the bucket raises.
    """

    url: str

    def prepare(self) -> None:
        """Create the root folder if it can be created and did not exist when this process first looked."""

    def create(self, path: str, body: bytes) -> bool:
        """Write a file if there is none, whole or not at all: True; False: there is one already.

        In both cases the file that exists afterwards survives a power cut.
        """

    def writing(self, folder: str) -> AbstractContextManager[FolderWriter]:
        """Write files, in a block, into a folder in which a file was created.

        They are visible, and survive a power cut, at the end of the block. Where the block raises, they may be lost.
        """

    def sync(self, folder: str) -> None:
        """Make every file that is visible in a folder survive a power cut, also where another process wrote it."""

    def read(self, path: str) -> bytes | None:
        """The bytes of a file, None: there is no such file."""

    def remove(self, path: str) -> None:
        """Remove a file that is there."""

    def list(self, folder: str = "") -> Iterator[Found]:
        """Every file under `folder`; without one, under the URL."""


def unavailable(doing: str, url: str, cause: str) -> EvidenceUnavailable:
    """One line for what went wrong: a library's own words run over many, and may quote a signed URL."""
    return EvidenceUnavailable(
        f"evidence cannot be {doing} at {url}: {cause}; "
        "check EKYC_EVIDENCE_URL, the rights of this account and the space left there"
    )


def unsuitable(url: str, why: str) -> EvidenceUnsuitable:
    """One line for a store on which "written once" does not hold."""
    return EvidenceUnsuitable(
        f"EKYC_EVIDENCE_URL: files at {url} are not written once: {why}; "
        "evidence could be replaced there, so use another store"
    )


@contextmanager
def clear(doing: str, url: str) -> Iterator[None]:
    """Tell in one line what the operating system raises."""
    try:
        yield
    except (OSError, ValueError) as error:  # ValueError: a zero byte in a path
        cause = getattr(error, "strerror", None) or "there can be no such path"
        raise unavailable(doing, url, cause.lower()) from None

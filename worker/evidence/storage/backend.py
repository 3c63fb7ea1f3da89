"""What a place for evidence can do, be it a local folder or a bucket."""

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


class Together(Protocol):
    """Files that are written into one folder together."""

    #: The names that were there already: those files stay as they are. Complete at the end of the block.
    taken: list[str]

    def add(self, name: str, body: bytes) -> None:
        """Write a file if there is none, whole or not at all."""


class Objects(Protocol):
    """Files under `url`, each written once; safe to share between threads, and made before a fork.

    Every method raises ``EvidenceUnavailable`` for whatever the place does.
    """

    url: str

    def prepare(self) -> None:
        """Make the place if it can be made, and was not there when this process first looked."""

    def create(self, path: str, body: bytes) -> bool:
        """Write a file if there is none, whole or not at all: True; False: there is one already.

        Either way what is there now stays, whatever happens to the power.
        """

    def together(self, folder: str) -> AbstractContextManager[Together]:
        """Write files, in a block, into a folder in which one was created.

        They can be seen, and stay, at the end of the block at the latest. Where the block raises, they may be lost.
        """

    def settle(self, folder: str) -> None:
        """Make sure that the files that can be seen in a folder stay, also those that another process put there."""

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

"""Evidence in a local folder, so that it survives a power cut and nobody else reads it."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import unquote

from worker.errors import ConfigError, EvidenceUnavailable
from worker.evidence.storage.backend import Found, Objects, clear
from worker.evidence.storage.drafts import Drafts
from worker.evidence.storage.durability import Disk, sync

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.evidence.storage.backend import Together

#: Evidence is personal data: for the account that runs the workers, and for nobody else.
FOLDER_MODE: Final = 0o700


class LocalFolder(Objects):
    """Files in a folder, put there durably: a name that can be seen has all its bytes on the disk.

    A file is written without a name, synced, and only then linked to its own; then its folder is synced, and the way
    to that folder. All by system calls: by way of obstore each took three times the processor time. On a disk of this
    machine they are made by the caller; elsewhere, where each may take long, on threads.
    """

    def __init__(self, url: str, host: str, path: str) -> None:
        self.url = url.rstrip("/")
        root = Path(unquote(path))
        if host or not root.is_absolute():
            raise ConfigError(
                "EKYC_EVIDENCE_URL: a local folder is given as file:///path, with three slashes"
            )
        #: Folders of regions that this process has synced into the root.
        self._synced: set[str] = set()
        self._root = str(root.resolve()).rstrip("/")
        self._disk = Disk(f"{self._root}/")
        self._prepared = False
        # A disk that is full or away may come back while this process lives: its users get the error.
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
                sync(folder.parent)
        self._prepared = True

    def create(self, path: str, body: bytes) -> bool:
        folder, _, name = path.rpartition("/")
        with self.together(folder) as files:
            if folder:
                with clear("written", self.url):
                    self._disk.do(self._make, folder)
            files.add(name, body)
        with clear("written", self.url):
            if folder and not self._disk.do(self._is_whole, folder):
                self._sync_way(folder)
        return not files.taken

    @contextmanager
    def together(self, folder: str) -> Iterator[Together]:
        with Drafts(f"{self._root}/{folder}", self.url, self._disk) as drafts:
            yield drafts
            drafts.publish()

    def settle(self, folder: str) -> None:
        with clear("written", self.url):
            descriptor = self._disk.do(os.open, f"{self._root}/{folder}", os.O_RDONLY | os.O_DIRECTORY)
            try:
                self._disk.sync(descriptor, since=self._disk.failures)
            finally:
                self._disk.do(os.close, descriptor)

    def read(self, path: str) -> bytes | None:
        with clear("read", self.url):
            try:
                return self._disk.do(Path(f"{self._root}/{path}").read_bytes)
            except FileNotFoundError:
                self._disk.do(os.stat, self._root)  # a root that is gone says nothing of one file
                return None

    def remove(self, path: str) -> None:
        with clear("removed", self.url):
            Path(f"{self._root}/{path}").unlink()

    def list(self, folder: str = "") -> Iterator[Found]:
        with clear("listed", self.url):
            found = self._disk.do(tuple, self._found(folder))
            if not found:
                self._disk.do(os.stat, self._root)
            yield from found

    def _found(self, folder: str) -> Iterator[Found]:
        with suppress(FileNotFoundError), os.scandir(f"{self._root}/{folder}") as entries:
            for entry in entries:
                path = f"{folder}/{entry.name}" if folder else entry.name
                if entry.is_dir():
                    yield from self._found(path)
                    continue
                with suppress(FileNotFoundError):  # it was called `staged-…`
                    status = entry.stat()
                    yield Found(path, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))

    def _make(self, folder: str) -> None:
        """Make the folder of a verification, and that of its region."""
        made = Path(f"{self._root}/{folder}")
        with suppress(FileExistsError):
            try:
                made.mkdir(FOLDER_MODE)
            except FileNotFoundError:
                # Not the root, too: where that is gone, as when its disk is not mounted, another would only hide it.
                with suppress(FileExistsError):
                    made.parent.mkdir(FOLDER_MODE)
                self._synced.discard(made.parent.name)
                made.mkdir(FOLDER_MODE)

    def _is_whole(self, folder: str) -> bool:
        """Whether the way to a folder was synced with the name of the file that was created in it."""
        return self._disk.is_whole(Path(f"{self._root}/{folder}").parent.stat())

    def _sync_way(self, folder: str) -> None:
        """Make sure that a folder stays. The process that made it may have been killed before it did."""
        region, _, _ = folder.rpartition("/")
        self._disk.sync_folder(f"{self._root}/{region}")
        if region not in self._synced:
            self._disk.sync_folder(f"{self._root}/")
            self._synced.add(region)

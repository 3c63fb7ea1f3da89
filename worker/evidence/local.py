"""Writing evidence into a local folder so that it survives a power cut, and so that nobody else reads it."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from obstore.exceptions import AlreadyExistsError

if TYPE_CHECKING:
    from obstore.store import ObjectStore

#: Evidence is personal data: for the account that runs the workers, and for nobody else.
FOLDER_MODE: Final = 0o700
FILE_MODE: Final = 0o600


class LocalFolder:
    """Puts files under `root` durably: a name that can be seen has all its bytes on the disk.

    obstore writes atomically, but leaves it to the kernel when bytes reach the disk: after a power cut a name
    may be there with nothing in it, and what is written once would stay so. Here a file is written under
    another name, synced, and only then linked to its own; at last the folder is synced. A process killed half
    way leaves a file `staged-…` (or `staged-…#1`) beside the evidence, which goes when that folder goes.
    """

    def __init__(self, root: Path, store: ObjectStore) -> None:
        self._root = root
        self._store = store

    def create(self, path: str, body: bytes) -> bool:
        """Write `body` to `path` if there is nothing: True; False where a file lies there already.

        Raises what obstore and the operating system raise.
        """
        folder = Path(path).parent
        self._make(folder)
        staged = str(folder / f"staged-{uuid4().hex}")
        try:
            self._store.put(staged, body, mode="create", use_multipart=False)
            _settle(self._root / staged)
            self._store.rename(staged, path, overwrite=False)
            created = True
        except AlreadyExistsError:
            created = False
        finally:
            with suppress(OSError):
                (self._root / staged).unlink(missing_ok=True)
        # Also where the file was there: whoever put it there may have been killed before this line.
        _sync(self._root / folder)
        return created

    def _make(self, folder: Path) -> None:
        # Where `root` itself is gone, as when its disk is not mounted, making another would only hide it.
        self._root.stat()
        for child in (part for part in reversed((folder, *folder.parents)) if part.name):
            try:
                (self._root / child).mkdir(mode=FOLDER_MODE)
            except FileExistsError:
                continue
            _sync((self._root / child).parent)


def _settle(file: Path) -> None:
    descriptor = os.open(file, os.O_RDONLY)
    try:
        os.fchmod(descriptor, FILE_MODE)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

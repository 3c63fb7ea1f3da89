"""Evidence on a person's disk: in a folder of their own, or for as long as a viewer shows it."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

from worker.errors import InvalidInput
from worker.records.new_file import new_file, refuse_taken

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from worker.evidence.store import VerificationEvidence

FOLDER_MODE: Final = 0o700


def save(evidence: VerificationEvidence, names: Sequence[str], folder: Path) -> list[Path]:
    """Write files of a verification into a folder, which is created if it does not exist. Returns their paths.

    All are written or none. Raises ``InvalidInput`` if one of the names is taken there, ``OSError``, and what reading
    raises.
    """
    paths = [folder / name for name in names]
    for path in paths:
        refuse_taken(path)
    made = not folder.exists()
    if made:
        folder.mkdir(mode=FOLDER_MODE)
    written: list[Path] = []
    try:
        for path in paths:
            with new_file(path) as file:
                file.write(_body(evidence, path.name))
            written.append(path)
    except BaseException:
        for path in written:
            path.unlink(missing_ok=True)
        if made:
            with suppress(OSError):
                folder.rmdir()
        raise
    return written


@contextmanager
def shown(evidence: VerificationEvidence, name: str) -> Iterator[Path]:
    """Yield the path of a file of evidence that exists for the block only, in memory where the system has a place."""
    # A folder of the user's own that is not on a disk, and empty after they log out.
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    parent = runtime if runtime and os.access(runtime, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="ekyc-", dir=parent) as folder:
        path = Path(folder) / name
        with new_file(path) as file:
            file.write(_body(evidence, name))
        yield path


def _body(evidence: VerificationEvidence, name: str) -> bytes:
    body = evidence.read(name)
    if body is None:
        raise InvalidInput(f"{evidence.url}/{name} is gone: `ekyc evidence show` says what there is")
    return body

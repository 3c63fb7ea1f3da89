"""Encryption of a stream to recipients of age (age-encryption.org), in pieces: no file is ever held in memory."""

from __future__ import annotations

from typing import IO, TYPE_CHECKING, Any

from worker.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


def parse_recipients(texts: Sequence[str]) -> list[Any]:
    """Return recipients of pyrage. Raises ``InvalidInput``, which names the position of each bad one."""
    import pyrage  # type: ignore[import-untyped] # noqa: PLC0415 - most commands need none

    recipients, faults = [], []
    for position, text in enumerate(texts, start=1):
        try:
            kind = pyrage.ssh if text.startswith("ssh-") else pyrage.x25519
            recipients.append(kind.Recipient.from_str(text.strip()))
        except pyrage.RecipientError:
            # Not quoted: it may be a private key, given by mistake.
            faults.append(
                f"--recipient number {position}: give the public key of a recipient, age1… or ssh-ed25519 …; "
                "`age-keygen` makes one"
            )
    if faults:
        raise InvalidInput("\n".join(faults))
    return recipients


def write(pieces: Iterable[bytes], file: IO[bytes], recipients: Sequence[Any]) -> None:
    """Write the pieces to a file, encrypted if there are recipients. Raises whatever `pieces` and `file` raise."""
    if not recipients:
        file.writelines(pieces)
        return
    import pyrage  # noqa: PLC0415 - see above

    source, target = _Reader(iter(pieces)), _Writer(file)
    try:
        pyrage.encrypt_io(source, target, list(recipients))
    except pyrage.EncryptError:
        # pyrage has turned the error of a piece or of the file into its own.
        raise source.error or target.error or OSError("the archive cannot be encrypted") from None


class _Reader:
    """What pyrage reads from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self.error: BaseException | None = None
        self._pieces = pieces
        self._rest = memoryview(b"")

    def read(self, size: int = -1) -> bytes:
        try:
            while not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    return b""
                self._rest = memoryview(piece)
        except BaseException as error:
            self.error = error
            raise
        end = len(self._rest) if size < 0 else size
        taken, self._rest = bytes(self._rest[:end]), self._rest[end:]
        return taken


class _Writer:
    """What pyrage writes to."""

    def __init__(self, file: IO[bytes]) -> None:
        self.error: BaseException | None = None
        self._file = file

    def write(self, body: bytes) -> int:
        try:
            return self._file.write(body)
        except BaseException as error:
            self.error = error
            raise

    def flush(self) -> None:
        """Do nothing: the file is flushed at its end."""

"""Recognisable data and secrets, and a search for them in whatever form they may have left."""

from __future__ import annotations

import base64
import codecs
import json
import socket
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import TYPE_CHECKING, Final, Self
from urllib.parse import quote, urlsplit

from sandbox.demo import leaks
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import redis as redis_py

#: What the vendor says of a person, by what it is. Image bytes are no text.
PERSON: Final = {
    "name": b"MARITES PLANTADO ROBLES",
    "name with an accent": "\u00d1AND\u00da PLANTADO".encode(),
    "number": b"PLANT-7734-0099-X",
    "birthday": b"31 FEBRUARY 1977-P",
    "image": b"PLANTED-PIXELS-9f31c0\x00\xff\x17",
    "inline image": b"PLANTED-INLINE-77aa\x00\xfe",
    "link": b"planted-link-5e1c77",
    "message": b"planted message of the vendor",
}

#: What only a fault of the vendor says: it is not kept as evidence.
FAULTS: Final = {"page": b"PLANTED ERROR PAGE 4411", "header": b"planted-header-91d"}

#: What a pipeline attaches to a verification. Redis, messages and decisions have it, and nothing else.
CONTEXT: Final = b"planted-context-c0ffee"


@dataclass
class Search:
    """Looks for plantings, and remembers where they were found."""

    marks: dict[str, bytes]
    found: list[str] = field(default_factory=list)
    places: int = 0

    def __post_init__(self) -> None:
        self._forms = {name: tuple(forms(mark)) for name, mark in self.marks.items()}

    def look(self, where: str, content: bytes | str) -> None:
        """Search one place."""
        self.places += 1
        raw = content if isinstance(content, bytes) else content.encode(errors="surrogateescape")
        for name, known in self._forms.items():
            if leaks.holds(raw, known):
                self.found.append(f"{where}: {name}")

    def look_at_files(self, folder: Path, *, but: tuple[Path, ...] = ()) -> None:
        """Search the names and the content of all files below a folder."""
        for path in folder.rglob("*"):
            if any(path == each or each in path.parents for each in but):
                continue
            self.look(f"the name of {path.name}", path.name)
            with suppress(FileNotFoundError):
                if path.is_file():
                    self.look(f"the file {path.relative_to(folder)}", path.read_bytes())

    def look_at_redis(self, redis: redis_py.Redis) -> None:
        """Search the name and the value of every key."""
        for key in redis.scan_iter(count=1000):
            self.look(f"Redis, {key.decode(errors='replace')}", key + b"\n" + leaks._value(redis, key))

    def look_at_processes(self) -> None:
        """Search the arguments of every process of this machine."""
        from pathlib import Path  # noqa: PLC0415

        for path in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                self.look(f"the arguments of process {path.parent.name}", path.read_bytes())


def forms(mark: bytes) -> Iterator[bytes]:
    """A mark as it is, and as base64, URLs, JSON, hexadecimal digits, Python and Redis's MONITOR write it."""
    yield from leaks._forms(mark)
    yield mark.hex().encode()
    yield repr(mark)[2:-1].encode()
    with suppress(UnicodeDecodeError):
        text = mark.decode()
        for each in (quote(text), quote(text, safe=""), json.dumps(text)[1:-1], repr(text)[1:-1]):
            yield each.encode()
        yield text.upper().encode()
        yield text.lower().encode()
        yield base64.urlsafe_b64encode(mark)[:-4]


class Monitor:
    """Every command that a Redis gets while the block runs, as MONITOR shows them."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._password = parts.password or ""
        self._socket = socket.create_connection((parts.hostname or "", parts.port or 0), timeout=30)
        self._heard = bytearray()
        self._thread = Thread(target=self._listen)

    def __enter__(self) -> Self:
        if self._password:
            self._socket.sendall(f"AUTH {self._password}\r\n".encode())
        self._socket.sendall(b"MONITOR\r\n")
        self._socket.settimeout(None)
        self._thread.start()
        until(lambda: self._heard.startswith(b"+OK"), "MONITOR is accepted")
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join(30)
        self._socket.close()

    def _listen(self) -> None:
        with suppress(OSError):
            while received := self._socket.recv(65536):
                self._heard += received

    @property
    def heard(self) -> bytes:
        """The commands, and once more with their escapes resolved."""
        raw = bytes(self._heard)
        resolved, _ = codecs.escape_decode(raw)
        return raw + b"\n" + bytes(resolved)

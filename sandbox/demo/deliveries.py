"""The decisions that the pipeline received, read from its file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Delivery:
    """One decision that the pipeline received."""

    received_at_ms: int
    task: str
    decision: dict[str, Any]

    @classmethod
    def read(cls, line: bytes) -> Self:
        return cls(**json.loads(line))

    @property
    def signature_id(self) -> str:
        return str(self.decision["signature_id"])

    @property
    def name(self) -> str:
        return str(self.decision["decision"])


class Deliveries:
    """Reads a file that grows. `all` is its content at the last ``look``."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self.all: list[Delivery] = []

    def look(self) -> None:
        """Read the lines that were added."""
        try:
            with self._path.open("rb") as stream:
                stream.seek(self._offset)
                added = stream.read()
        except FileNotFoundError:
            return
        lines = added[: added.rfind(b"\n") + 1]
        self._offset += len(lines)
        self.all += map(Delivery.read, lines.splitlines())

    def by_id(self) -> dict[str, list[Delivery]]:
        found: dict[str, list[Delivery]] = {}
        for delivery in self.all:
            found.setdefault(delivery.signature_id, []).append(delivery)
        return found

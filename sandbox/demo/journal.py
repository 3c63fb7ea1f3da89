"""The events of a demo, as lines for the people who watch it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass(frozen=True, slots=True)
class Line:
    """An event, and when it happened, in seconds since the start of the demo."""

    at_s: float
    text: str


class Journal:
    """Times lines, and passes each to `listener`."""

    def __init__(self, listener: Callable[[Line], object]) -> None:
        self._began_at = time.monotonic()
        self._listener = listener

    def age_s(self) -> float:
        return time.monotonic() - self._began_at

    def tell(self, text: str) -> None:
        self._listener(Line(self.age_s(), text))

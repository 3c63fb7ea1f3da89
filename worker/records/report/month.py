"""A month of UTC."""

from __future__ import annotations

import re
from calendar import monthrange
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from worker.errors import InvalidInput

_FORM: Final = re.compile(r"([0-9]{4})-(0[1-9]|1[0-2])")

#: The first year that a report accepts: before it, the vendor's API did not exist.
FIRST_YEAR: Final = 2000


@dataclass(frozen=True, slots=True, order=True)
class Month:
    """A month of UTC, from its first moment up to, but not including, the first moment of the next."""

    year: int
    number: int

    @classmethod
    def parse(cls, text: str) -> Month:
        """Return the month of a text such as `2026-11`. Raises ``InvalidInput``."""
        found = _FORM.fullmatch(text.strip())
        if found is None or int(found[1]) < FIRST_YEAR:
            raise InvalidInput(f"--month: give a year from {FIRST_YEAR} on and a month, such as 2026-11")
        return cls(int(found[1]), int(found[2]))

    @property
    def start(self) -> datetime:
        return datetime(self.year, self.number, 1, tzinfo=UTC)

    @property
    def end(self) -> datetime:
        """The first moment of the next month."""
        return self.start + timedelta(days=len(self.days))

    @property
    def days(self) -> tuple[str, ...]:
        """Its days, each as `2026-11-01`."""
        _, count = monthrange(self.year, self.number)
        return tuple(f"{self}-{day:02}" for day in range(1, count + 1))

    @property
    def name(self) -> str:
        """Its name for people, such as `November 2026`."""
        return f"{_NAMES[self.number - 1]} {self.year}"

    def has(self, moment: datetime) -> bool:
        """Return whether an aware moment is in the month."""
        return f"{moment.astimezone(UTC):%Y-%m}" == str(self)

    def __str__(self) -> str:
        return f"{self.year:04}-{self.number:02}"


#: Not `calendar.month_name`, whose names depend on the locale.
_NAMES: Final = (
    *("January", "February", "March", "April", "May", "June", "July"),
    *("August", "September", "October", "November", "December"),
)

"""What forms of several screens ask for."""

from __future__ import annotations

from typing import Final

from worker.errors import InvalidInput
from worker.ledger.scripts import plain
from worker.policy import personal_text

#: The longest reason of an act, in characters, as on the command line.
MOST_WHY: Final = 200


def checked_why(given: str) -> str:
    """Return the reason of an act as it is recorded. Raises ``InvalidInput``, which does not quote it."""
    text = " ".join(given.split())
    if not text:
        raise InvalidInput("Give a reason: it is kept in the history of each verification.")
    if len(text) > MOST_WHY or not text.isprintable():
        raise InvalidInput(f"The reason must be 1 to {MOST_WHY} characters of plain text.")
    if found := personal_text.found_in(text):
        raise InvalidInput(
            f"The reason has what looks like {found}: leave it out. The number of a ticket, of up to six digits, "
            "is enough."
        )
    return plain(text)

"""Every decision of the fleet in order, read in pages by a cursor.

The order within a region is that in which decisions were made: ``lua/record.lua`` gives each a position in the step
that records it. Regions are merged by position, which is a moment. A cursor holds the position reached in each region,
because a region may live on a Redis of its own: no two regions share a counter.
"""

from __future__ import annotations

import base64
import binascii
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from worker.enqueue_request import REGIONS
from worker.errors import EkycError
from worker.ledger.scripts import Scripts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

#: The most decisions of a page.
MOST: Final = 100

#: How far a cursor goes back that is beyond the newest decision, in microseconds of the ledger's clock.
REWIND_US: Final = 600_000_000

#: The longest cursor: all regions with 16 digits each.
_LONGEST: Final = 300

#: The first character is the version of the format.
_CURSOR: Final = re.compile(r"1((?: [a-z]{2,6}:[0-9]{1,16})*)")


class CursorExpired(EkycError):
    """Decisions after the cursor are no longer in the feed."""

    cause = "CURSOR_EXPIRED"


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reader has come: the position in each region. A region that is missing is read from the beginning."""

    positions: Mapping[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """As a reader gets it: opaque, and safe in a URL."""
        parts = " ".join(["1", *(f"{region}:{self.positions[region]}" for region in sorted(self.positions))])
        return base64.urlsafe_b64encode(parts.encode()).decode().rstrip("=")

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises ``ValueError`` for a text that no feed has given."""
        if len(text) > _LONGEST or not text.isascii():
            raise ValueError("is not a cursor")
        try:
            plain = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True).decode(
                "ascii"
            )
        except (binascii.Error, ValueError):
            raise ValueError("is not a cursor") from None
        found = _CURSOR.fullmatch(plain)
        positions = dict(part.split(":") for part in found[1].split()) if found else {}
        if found is None or not positions.keys() <= {*REGIONS}:
            raise ValueError("is not a cursor")
        return cls({region: int(position) for region, position in positions.items()})


@dataclass(frozen=True, slots=True)
class Page:
    """Some decisions, the oldest first, each as its JSON text. `cursor` leads to those that follow."""

    decisions: tuple[str, ...] = field(repr=False)
    cursor: Cursor
    #: Whether there were more when it was read.
    more: bool


class DecisionFeed:
    """Reads the feed of several regions. Safe to share between threads."""

    def __init__(self, redis: Redis, regions: Sequence[str]) -> None:
        self._scripts = Scripts(redis)
        self._regions = tuple(regions)

    def read(self, cursor: Cursor, limit: int = MOST) -> Page:
        """The next decisions. Raises ``CursorExpired`` and ``LedgerUnavailable``."""
        positions = dict(cursor.positions)
        found: list[tuple[int, str, str]] = []
        for region in self._regions:
            after, gone, *rows = self._scripts.call(
                "feed", region, cursor.positions.get(region, 0), limit + 1, REWIND_US
            )
            if region in cursor.positions and int(after) < int(gone):
                raise CursorExpired(
                    f"decisions of {region} after this cursor are no longer kept: read from the beginning"
                )
            positions[region] = int(after)
            found += [(int(position), region, text.decode()) for _, position, text in rows]
        found.sort(key=lambda row: row[:2])
        page = found[:limit]
        positions |= {region: position for position, region, _ in page}
        # A decision is forgotten together with its verification, which may be a little before its entry goes.
        texts = tuple(text for _, _, text in page if text)
        return Page(texts, Cursor(positions), more=len(found) > limit)

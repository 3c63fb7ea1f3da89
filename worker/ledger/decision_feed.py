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
from worker.errors import EkycError, LedgerDamaged
from worker.ledger import codec
from worker.ledger.scripts import Scripts, prefix

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from redis import Redis

#: The most decisions of a page.
MOST: Final = 100

#: How far a cursor goes back that is beyond the newest decision, in microseconds of the ledger's clock.
REWIND_US: Final = 600_000_000

#: The longest cursor: all regions with twice 16 digits each.
_LONGEST: Final = 600

#: The first character is the version of the format.
_CURSOR: Final = re.compile(r"1((?: [a-z]{2,6}:[0-9]{1,16}(?:-[0-9]{1,16})?)*)")


class CursorExpired(EkycError):
    """Decisions after the cursor are no longer in the feed."""

    cause = "CURSOR_EXPIRED"


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a reader has come: the position in each region. A region that is missing is read from the beginning.

    `begun`: the newest position of a region when a reader began there, until the reader has come that far. What the
    ledger has forgotten up to there is not missing: it may have been forgotten before the reader began.
    """

    positions: Mapping[str, int] = field(default_factory=dict)
    begun: Mapping[str, int] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """As a reader gets it: opaque, and safe in a URL."""
        parts = ["1"]
        for region, position in sorted(self.positions.items()):
            begun = self.begun.get(region, 0)
            parts.append(f"{region}:{position}" + (f"-{begun}" if begun > position else ""))
        return base64.urlsafe_b64encode(" ".join(parts).encode()).decode().rstrip("=")

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
        pairs = {region: text.partition("-") for region, text in positions.items()}
        return cls(
            {region: int(position) for region, (position, _, _) in pairs.items()},
            {region: int(begun) for region, (_, _, begun) in pairs.items() if begun},
        )


@dataclass(frozen=True, slots=True)
class Page:
    """Some decisions, the oldest first, each as its JSON text. `cursor` leads to those that follow."""

    decisions: tuple[str, ...] = field(repr=False)
    #: Of each decision, its header `webhook-signature`; "": it is not signed.
    signatures: tuple[str, ...] = field(repr=False)
    cursor: Cursor
    #: Whether there were more when it was read.
    more: bool


class DecisionFeed:
    """Reads the feed of several regions. Safe to share between threads."""

    def __init__(self, redis: Redis, regions: Sequence[str]) -> None:
        self._scripts = Scripts(redis)
        self._regions = tuple(regions)

    def read(self, cursor: Cursor, limit: int = MOST) -> Page:
        """The next decisions. Raises ``CursorExpired`` and ``LedgerUnavailable``.

        Reading ends before a decision whose key is damaged, which nobody may miss: there it raises ``LedgerDamaged``.
        """
        positions, begun = dict(cursor.positions), dict(cursor.begun)
        found: list[tuple[int, str, str | None, str, str]] = []
        for region in self._regions:
            after, gone, newest, *rows = self._scripts.call(
                "feed", region, cursor.positions.get(region, 0), limit + 1, REWIND_US
            )
            if region not in cursor.positions:
                begun[region] = max(int(newest), codec.count(gone))
            if max(int(after), begun.get(region, 0)) < codec.count(gone):
                raise _expired(region)
            positions[region] = int(after)
            found += [
                (
                    int(position),
                    region,
                    None if text is None else codec.text(text),
                    codec.text(signature or b""),
                    f"{prefix(region)}v:{codec.text(signature_id)}",
                )
                for signature_id, position, text, signature in rows
            ]
        found.sort(key=lambda row: row[:2])
        damaged = next((number for number, row in enumerate(found) if row[2] is None), limit)
        if damaged == 0:
            raise LedgerDamaged(
                f"the key {found[0][4]} in Redis is no hash, so its decision cannot be read: "
                "restore, rename or remove it"
            )
        page = found[: min(limit, damaged)]
        for position, region, text, _, _ in page:
            # The ledger forgets a decision before the feed's entry goes, which the next decision of the region removes.
            if not text and position > begun.get(region, 0):
                raise _expired(region)
            positions[region] = position
        kept = [(text, signature) for _, _, text, signature, _ in page if text]
        texts, signatures = (tuple(each) for each in zip(*kept, strict=True)) if kept else ((), ())
        return Page(texts, signatures, Cursor(positions, begun), more=len(found) > len(page))


def _expired(region: str) -> CursorExpired:
    return CursorExpired(
        f"decisions of {region} after this cursor are no longer kept: read from the beginning"
    )

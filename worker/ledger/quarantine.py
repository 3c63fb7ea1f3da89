"""The quarantine: verifications that need a person, and what a person can do with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from worker.ledger import codec
from worker.ledger.audit import done, write_lines
from worker.ledger.connection import translated
from worker.ledger.fields import Field
from worker.ledger.hashes import read_hashes
from worker.ledger.models import Quarantined
from worker.ledger.scripts import Scripts, plain, prefix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from redis import Redis

    from worker.ledger.models import Event
    from worker.ledger.webhooks import NewDelivery

    _Events = Callable[[str], Sequence[NewDelivery]]

#: Ids per round trip.
PAGE: Final = 200

#: The acts that a region keeps, as in ``lua/common.lua``.
MAX_ACTS: Final = 1000


class Quarantine:
    """Lists, retries and drops verifications. Every method raises ``LedgerUnavailable`` when Redis cannot be used.

    Parameters:
      redis: a client that returns bytes.
      who: the person who acts, for timelines and the audit log.
      via: how the person reached us, for the audit log.
      retention_s: how long a dropped verification is kept.
    """

    def __init__(self, redis: Redis, *, who: str, via: str = "", retention_s: float = 7 * 86_400.0) -> None:
        self._redis = redis
        self._scripts = Scripts(redis)
        self._who = plain(who)
        self._via = via
        self._retention_ms = round(retention_s * 1000)
        #: The keys of those that an act left as they are, because the key is of another type.
        self.damaged: list[str] = []

    def listed(self, region: str) -> Iterator[Quarantined]:
        """Yield all of a region, oldest first, read in pages. Retry and drop only after the last one is read."""
        base, start = prefix(region), 0
        while True:
            with translated():
                page: list[Any] = self._redis.zrange(
                    f"{base}quarantine", start, start + PAGE - 1, withscores=True
                )
            yield from self._lines(region, page)
            if len(page) < PAGE:
                return
            start += PAGE

    # `events`: what endpoints receive of each, recorded in the same step if it was there.

    def retry(
        self, region: str, signature_ids: Sequence[str], *, events: _Events | None = None
    ) -> list[bool]:
        """Take them out, due now at their former stage, with a new deadline.

        False for each that was not there, or is damaged.
        """
        answers = self._by_page("requeue", region, signature_ids, events)
        self._log("quarantine_retry", region, done(signature_ids, answers))
        return answers

    def drop(
        self, region: str, signature_ids: Sequence[str], *, why: str, events: _Events | None = None
    ) -> list[bool]:
        """End them without a decision. False for each that was not there, or is damaged."""
        answers = self._by_page("drop", region, signature_ids, events, plain(why), self._retention_ms)
        self._log("quarantine_drop", region, done(signature_ids, answers), plain(why))
        return answers

    def acts(self, region: str, *, newest: int = 0) -> tuple[Event, ...]:
        """Return what people did to the region as a whole, oldest first; with `newest` only so many."""
        with translated():
            lines: list[Any] = self._redis.lrange(f"{prefix(region)}acts", -(newest or MAX_ACTS), -1)
        return tuple(codec.event(line) for line in lines)

    def _log(self, act: str, region: str, signature_ids: Sequence[str], detail: str = "") -> None:
        write_lines(act, who=self._who, via=self._via, region=region, subjects=signature_ids, detail=detail)

    def _lines(self, region: str, page: list[Any]) -> Iterator[Quarantined]:
        rows = read_hashes(
            self._redis,
            (f"{prefix(region)}v:{codec.text(signature_id)}" for signature_id, _ in page),
            (Field.QUARANTINE_REASON, Field.ENQUEUED_AT, Field.POLLS),
        )
        for (signature_id, since_ms), (reason, enqueued_at_ms, polls) in zip(page, rows, strict=True):
            yield Quarantined(
                signature_id=codec.text(signature_id),
                region=region,
                reason=codec.text(reason or b""),
                since_ms=codec.moment(since_ms),
                enqueued_at_ms=codec.moment(enqueued_at_ms),
                polls=codec.count(polls),
            )

    def _by_page(
        self,
        script: str,
        region: str,
        ids: Sequence[str],
        events: _Events | None,
        *arguments: str | float,
    ) -> list[bool]:
        answers: list[bool] = []
        for start in range(0, len(ids), PAGE):
            page = ids[start : start + PAGE]
            about = codec.deliveries_by({each: events(each) for each in page} if events else {})
            found: list[int] = self._scripts.call(
                script, region, self._who, self._via, *arguments, about, *page
            )
            answers += [answer > 0 for answer in found]
            self.damaged += [
                f"{prefix(region)}v:{each}" for each, answer in zip(page, found, strict=True) if answer < 0
            ]
        return answers

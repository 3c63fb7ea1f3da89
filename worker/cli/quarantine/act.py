"""An act on many verifications: which are chosen, the confirmation, and how far it got."""

from __future__ import annotations

import json
import sys
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from worker.cli.options import region_of
from worker.cli.quarantine.selection import nobody, read
from worker.enqueue_request import SIGNATURE_ID
from worker.errors import InvalidInput, LedgerUnavailable
from worker.ledger.quarantine import PAGE
from worker.ledger.quarantine_scan import per_region

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from redis import Redis

    from worker.settings import Settings

ids_argument = click.argument("signature_ids", metavar="[ID]...", nargs=-1)


@dataclass(frozen=True, slots=True)
class Chosen:
    """The verifications that an act is for."""

    #: By region.
    signature_ids: Mapping[str, Sequence[str]]
    #: Their description in the confirmation.
    described: str

    def __bool__(self) -> bool:
        return bool(self.signature_ids)

    @classmethod
    def given(
        cls, redis: Redis, settings: Settings, signature_ids: Sequence[str], region: str | None
    ) -> Chosen:
        """Choose by id, in `region` or in the region that knows the id.

        Raises ``LedgerUnavailable``, and ``InvalidInput``, which names the position of each bad id.
        """
        faults = [
            f"id number {position}: must be 1 to 64 of letters, digits, - and _"
            for position, signature_id in enumerate(signature_ids, start=1)
            if not SIGNATURE_ID.fullmatch(signature_id)
        ]
        if faults:
            raise InvalidInput("\n".join([*faults, "nothing was changed"]))
        once = tuple(dict.fromkeys(signature_ids))
        by_region: dict[str, list[str]] = {}
        for signature_id in once:
            by_region.setdefault(region_of(redis, signature_id, region, settings), []).append(signature_id)
        return cls(by_region, f"{len(once)} given by id, of {' and '.join(by_region)}")

    @classmethod
    def found(cls, redis: Redis, regions: Sequence[str], reason: str | None) -> Chosen:
        """Choose all in quarantine, or all with this `reason`. Raises ``LedgerUnavailable``."""
        roll = read(redis, regions, reason)
        if not roll.entries:
            return cls({}, nobody(regions, reason))
        reasons = ", ".join(f"{name} {len(entries)}" for name, entries in roll.reasons().items())
        where = ", ".join(f"{region} {count}" for region, count in per_region(roll.entries).items())
        return cls(roll.signature_ids(), f"{len(roll.entries)} in quarantine: {reasons} ({where})")


def choose(
    redis: Redis, settings: Settings, *, signature_ids: Sequence[str], region: str | None, reason: str | None
) -> Chosen:
    """Choose by the options of a command: the ids, or else all in quarantine, with this `reason` if given.

    Raises ``InvalidInput`` and ``LedgerUnavailable``.
    """
    if signature_ids:
        return Chosen.given(redis, settings, signature_ids, region)
    return Chosen.found(redis, (region,) if region else settings.regions, reason)


def agreed(chosen: Chosen, verb: str) -> bool:
    """Show how many are chosen, and ask. Raises ``InvalidInput`` if stdin is not a terminal."""
    if not (sys.stdin and sys.stdin.isatty() and sys.stderr and sys.stderr.isatty()):
        raise InvalidInput(f"{chosen.described}; stdin is not a terminal: pass --yes to {verb} them")
    click.echo(chosen.described, err=True)
    try:
        answer = click.confirm(f"{verb} them?", err=True)
    except click.Abort:
        click.echo("\nekyc: nothing was changed", err=True)
        raise
    if not answer:
        click.echo("ekyc: nothing was changed", err=True)
    return answer


class Act:
    """Performs an act on the chosen verifications, a page per round trip, and counts the outcomes.

    Parameters:
        verb: the word for the act, such as `retry`.
        done: its past participle, such as `retried`.
        do: performs it on ids of one region, and returns for each whether it was in quarantine.
    """

    def __init__(self, verb: str, done: str, do: Callable[[str, Sequence[str]], list[bool]]) -> None:
        self._verb = verb
        self._done = done
        self._do = do
        self._counts: Counter[bool] = Counter()

    def on(self, chosen: Chosen, *, yes: bool, as_json: bool) -> int:
        """Ask unless `yes`, act, and print the counts. Returns the exit status."""
        if chosen:
            if not yes and not agreed(chosen, self._verb):
                return 1
            self._do_all(chosen)
        elif not as_json:
            click.echo(chosen.described)
            return 0
        counts = {self._done: self._counts[True], "not_in_quarantine": self._counts[False]}
        click.echo(json.dumps(counts) if as_json else str(self))
        return 1 if self._counts[False] else 0

    def _do_all(self, chosen: Chosen) -> None:
        try:
            for region, signature_ids in chosen.signature_ids.items():
                for start in range(0, len(signature_ids), PAGE):
                    self._counts.update(self._do(region, signature_ids[start : start + PAGE]))
        except (KeyboardInterrupt, LedgerUnavailable):
            if self._counts:
                click.echo(f"ekyc: so far, at least: {self}", err=True)
            raise

    def __str__(self) -> str:
        return f"{self._done} {self._counts[True]}, not in quarantine {self._counts[False]}"

"""Takes verifications out of quarantine, with the event that endpoints get: for the commands and the console."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from worker.decisions import events

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.decisions.endpoints import Endpoint
    from worker.ledger import Quarantine
    from worker.ledger.webhooks import NewDelivery

    #: Acts on ids of one region. Returns for each whether it was in quarantine. Raises ``LedgerUnavailable``.
    Release = Callable[[str, Sequence[str]], list[bool]]


def retrying(quarantine: Quarantine, endpoints: Mapping[str, Endpoint]) -> Release:
    """Return what retries."""

    def retry(region: str, signature_ids: Sequence[str]) -> list[bool]:
        return quarantine.retry(region, signature_ids, events=_about(endpoints, region, "retried"))

    return retry


def dropping(quarantine: Quarantine, endpoints: Mapping[str, Endpoint], *, why: str) -> Release:
    """Return what ends verifications without a decision."""

    def drop(region: str, signature_ids: Sequence[str]) -> list[bool]:
        return quarantine.drop(region, signature_ids, why=why, events=_about(endpoints, region, "dropped"))

    return drop


def _about(
    endpoints: Mapping[str, Endpoint], region: str, outcome: str
) -> Callable[[str], Sequence[NewDelivery]] | None:
    if not endpoints:
        return None
    return partial(events.of_verification, endpoints, events.RELEASED, region, outcome=outcome)

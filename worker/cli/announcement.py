"""Events of what people do, for the endpoints that ask for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from worker.decisions import events
from worker.decisions.endpoints import load
from worker.errors import ConfigError
from worker.ledger.webhooks import Webhooks

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from redis import Redis

    from worker.decisions.endpoints import Endpoint
    from worker.settings import Settings


def announce(redis: Redis, settings: Settings, name: str, region: str, **fields: Any) -> None:
    """Add an event about a region. Raises ``LedgerUnavailable``."""
    endpoints = _endpoints(settings)
    Webhooks(redis).add(region, "", events.of_region(endpoints, name, region, **fields))


def announce_each(
    redis: Redis, settings: Settings, name: str, region: str, signature_ids: Iterable[str], **fields: Any
) -> None:
    """Add an event about each of some verifications. Raises ``LedgerUnavailable``."""
    endpoints, webhooks = _endpoints(settings), Webhooks(redis)
    for signature_id in signature_ids if endpoints else ():
        about = events.of_verification(endpoints, name, region, signature_id, **fields)
        webhooks.add(region, signature_id, about)


def _endpoints(settings: Settings) -> Mapping[str, Endpoint]:
    try:
        return load(settings.endpoints_file, with_secrets=False)
    except ConfigError:
        # What the person asked for is done already.
        click.echo("ekyc: no event was sent: EKYC_ENDPOINTS_FILE cannot be used; run `ekyc doctor`", err=True)
        return {}

"""What the commands about deliveries share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from worker.decisions import deliveries
from worker.decisions.endpoints import NAME, load
from worker.errors import EkycError, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.ledger.webhooks import Delivery, EndpointState, Webhooks
    from worker.settings import Settings


class UnknownDelivery(EkycError):
    """The ledger does not know a delivery."""

    cause = "UNKNOWN_DELIVERY"


def endpoint_name(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    """Check the name of an endpoint. A callback for click."""
    if given is not None and not NAME.fullmatch(given):
        raise click.BadParameter("must be 1 to 48 of a-z, 0-9, _ and -", ctx, param)
    return given


def regions_of(given: str | None, settings: Settings) -> tuple[str, ...]:
    return (given,) if given else settings.regions


def states(webhooks: Webhooks, settings: Settings, regions: Sequence[str]) -> list[EndpointState]:
    """The endpoints of each region: those of the file, and those that had a delivery. Raises ``ConfigError``."""
    return deliveries.states(webhooks, regions, load(settings.endpoints_file, with_secrets=False))


def must_exist(webhooks: Webhooks, settings: Settings, endpoint: str) -> None:
    """Raise ``InvalidInput`` for an endpoint that neither the file nor a region knows."""
    known = sorted({each.name for each in states(webhooks, settings, settings.regions)})
    if endpoint not in known:
        those = f"known are {', '.join(known)}" if known else "there is none"
        raise InvalidInput(f"there is no endpoint {endpoint}: {those} (EKYC_ENDPOINTS_FILE)")


def find(webhooks: Webhooks, regions: Sequence[str], delivery_id: str) -> Delivery:
    """A delivery, in the region that knows it. Raises ``UnknownDelivery``."""
    found = deliveries.find(webhooks, regions, delivery_id)
    if found is not None:
        return found
    raise UnknownDelivery(
        f"the ledger does not know this delivery in {' or '.join(regions)}: "
        "give the id in the first column of `ekyc deliveries list`; an acknowledged one is kept for EKYC_RETENTION"
    )

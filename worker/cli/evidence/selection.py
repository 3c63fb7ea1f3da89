"""Options that select verifications by the evidence store, not by the ledger, which forgets them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import click

from worker.cli.options import canonical, only_region
from worker.errors import InvalidInput
from worker.policy.time_format import seconds
from worker.records.listing import found_in

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.evidence.store import Evidence
    from worker.settings import Settings

_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")

_WANTED: Final = (
    "must be a day such as 2026-11-01, a time such as 2026-11-01T08:00:00Z, or an age such as 30d"
)


def moment(ctx: click.Context, param: click.Parameter, given: str | None) -> datetime | None:
    """Return an option's time: the start of a day in UTC, a time with its offset, or an age. A callback for click."""
    if given is None:
        return None
    try:
        return _moment(given.strip())
    except (ValueError, OverflowError):
        raise click.BadParameter(_WANTED, ctx, param) from None


def _moment(text: str) -> datetime:
    if _DAY.fullmatch(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC)
    if text[:4].isdigit() and "-" in text:
        found = datetime.fromisoformat(text)
        if found.tzinfo is None:
            raise ValueError
        return found.astimezone(UTC)
    return datetime.now(UTC) - timedelta(seconds=seconds(text))


since_option = click.option(
    "--since",
    metavar="TIME",
    callback=moment,
    help="Stored at this time or later: 2026-11-01 (UTC), 2026-11-01T08:00:00Z, or an age such as 30d.",
)

until_option = click.option("--until", metavar="TIME", callback=moment, help="Stored before this time.")


#: `--region` of commands about one verification. The ledger may have forgotten it long ago, so the store is asked.
one_region_option = click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help="The region. Default: the one in ADVANCE_REGIONS whose evidence has the id.",
)


def regions_of(region: str | None, settings: Settings) -> Sequence[str]:
    """Return the regions to look in."""
    return (region,) if region else settings.regions


def place_of(evidence: Evidence, settings: Settings, signature_id: str, region: str | None) -> str:
    """Return the given region, the only one in ADVANCE_REGIONS, or the one whose evidence has an id.

    Raises ``InvalidInput`` if none has it, or several.
    """
    return region or only_region(settings) or region_of(evidence, settings, signature_id, None)


def region_of(evidence: Evidence, settings: Settings, signature_id: str, region: str | None) -> str:
    """Return the region whose evidence has an id. Raises ``InvalidInput`` if none has it, or several."""
    regions = regions_of(region, settings)
    found = found_in(evidence, regions, signature_id)
    if not found:
        raise InvalidInput(
            f"there is no evidence of {signature_id} in {' or '.join(regions)} at {evidence.url}: "
            "check the id, and pass --region if ADVANCE_REGIONS does not name its region here"
        )
    if len(found) > 1:
        raise InvalidInput(f"{signature_id} has evidence in {' and '.join(found)}: pass --region")
    return found[0]

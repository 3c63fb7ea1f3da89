"""The options that several commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from schemas.fields import canonical_region
from worker.errors import InvalidInput

if TYPE_CHECKING:
    from worker.settings import Settings


def canonical(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    """A callback for an option: the region's own name, also where its alias was given."""
    try:
        return None if given is None else canonical_region(given)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


#: `--region`, for commands about one region.
region_option = click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help="sg, ph, th, my, vn or global. Default: the one in ADVANCE_REGIONS.",
)

#: `--json`, given to the command as `as_json`.
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for machines.")


def only_region(settings: Settings) -> str | None:
    """The region that is meant when none is given: the only one in ADVANCE_REGIONS; None: there are several."""
    return settings.regions[0] if len(settings.regions) == 1 else None


def need_region(given: str | None, settings: Settings) -> str:
    """The region a command is about. Raises ``InvalidInput`` where none is given and several could be meant."""
    region = given or only_region(settings)
    if region is None:
        raise InvalidInput(
            f"which region? Give --region, one of {', '.join(settings.regions)} "
            "(no need to once ADVANCE_REGIONS names a single one)"
        )
    return region


def must_be_polled(region: str, settings: Settings) -> None:
    """Raises ``InvalidInput`` for a region that no worker with these settings would poll."""
    if region not in settings.regions:
        raise InvalidInput(
            f"--region {region}: ADVANCE_REGIONS names only {', '.join(settings.regions)}, "
            "so nobody would poll it; add the region there, for workers too"
        )

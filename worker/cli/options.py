"""The options that several commands share."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Final

import click

from worker.enqueue_request import BAD_PIPELINE, PIPELINE, REGIONS, SIGNATURE_ID, canonical_region
from worker.errors import InvalidInput
from worker.ledger.connection import translated
from worker.ledger.scripts import plain, prefix

if TYPE_CHECKING:
    from redis import Redis

    from worker.settings import Settings


#: The maximum length of a name or a reason in the ledger. Longer text is refused, not cut.
MAX_TEXT_CHARACTERS: Final = 200


def canonical(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    """Return the canonical name of a region, also for an alias. A callback for click."""
    try:
        return None if given is None else canonical_region(given)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def said(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    """Return a name or a reason as one line that every terminal can show. A callback for click."""
    if given is None:
        return None
    text = " ".join(given.split())
    if not text.isprintable() or not 0 < len(text) <= MAX_TEXT_CHARACTERS:
        raise click.BadParameter(f"must be 1 to {MAX_TEXT_CHARACTERS} characters of plain text", ctx, param)
    return plain(text)


def well_formed(ctx: click.Context, param: click.Parameter, given: str) -> str:
    """Check a signature id. The error says what is wrong, but never quotes the value. A callback for click."""
    if not SIGNATURE_ID.fullmatch(given):
        raise click.BadParameter("must be 1 to 64 of letters, digits, - and _", ctx, param)
    return given


def pipeline_name(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    """Check the name of a pipeline. A callback for click."""
    if given is not None and not PIPELINE.fullmatch(given):
        raise click.BadParameter(BAD_PIPELINE, ctx, param)
    return given


def login_name() -> str:
    """Return the user's login name from the operating system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container's user need not have a name.
        return "unknown"


_REGIONS: Final = ", ".join(REGIONS)

#: `--region`, for commands about one region.
region_option = click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help=f"One of {_REGIONS}. Default: the region in ADVANCE_REGIONS that knows the id.",
)

#: `--region` of `ekyc enqueue`, because no region knows a new id.
new_region_option = click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help=f"One of {_REGIONS}. Default: the region in ADVANCE_REGIONS, if there is only one.",
)

#: `--region`, for commands that read all regions.
regions_option = click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help="Only this region. Default: all in ADVANCE_REGIONS.",
)

pipeline_option = click.option(
    "--pipeline",
    metavar="NAME",
    callback=pipeline_name,
    help="The pipeline that they belong to: 1 to 32 of a-z, digits, - and _; `default` if they name none.",
)

#: `--who`, for commands that change something: the ledger records who ran them.
who_option = click.option(
    "--who",
    metavar="NAME",
    default=login_name,
    callback=said,
    help="Your name, for the record. Default: your login name.",
)

#: `--why`, for commands that need a reason.
why_option = click.option(
    "--why",
    metavar="TEXT",
    required=True,
    callback=said,
    help="The reason, for the record. It is kept in Redis and shown, so it must not hold personal data.",
)

#: `--yes`, for commands that ask before they change much.
yes_option = click.option("--yes", is_flag=True, help="Do not ask for confirmation: for scripts.")

#: `--json`, given to the command as `as_json`.
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for scripts.")


def only_region(settings: Settings) -> str | None:
    """Return the only region in ADVANCE_REGIONS, which is the default; None if there are several."""
    return settings.regions[0] if len(settings.regions) == 1 else None


def need_region(given: str | None, settings: Settings) -> str:
    """Return the given region or the default. Raises ``InvalidInput`` if there is neither."""
    region = given or only_region(settings)
    if region is None:
        raise InvalidInput(
            f"which region? Pass --region, one of {', '.join(settings.regions)} "
            "(not needed if ADVANCE_REGIONS names only one)"
        )
    return region


def region_of(redis: Redis, signature_id: str, given: str | None, settings: Settings) -> str:
    """Return the region of a verification: the given one, or the one in ADVANCE_REGIONS that knows its id.

    If no region knows the id, it is the first in ADVANCE_REGIONS. Raises ``InvalidInput`` if several know it.
    """
    if given:
        return given
    known = known_in(redis, signature_id, settings)
    if len(known) > 1:
        raise InvalidInput(f"{signature_id} is known in {' and '.join(known)}: pass --region")
    return known[0] if known else settings.regions[0]


def known_in(redis: Redis, signature_id: str, settings: Settings) -> list[str]:
    """Return the regions in ADVANCE_REGIONS whose ledger knows an id."""
    with translated(), redis.pipeline(transaction=False) as pipe:
        for region in settings.regions:
            pipe.exists(f"{prefix(region)}v:{signature_id}")
        return [region for region, there in zip(settings.regions, pipe.execute(), strict=True) if there]


def must_be_polled(region: str, settings: Settings) -> None:
    """Raise ``InvalidInput`` for a region that no worker with these settings would poll."""
    if region not in settings.regions:
        raise InvalidInput(
            f"--region {region}: ADVANCE_REGIONS names only {', '.join(settings.regions)}, "
            "so no worker would poll it; add the region there, also in the workers' settings"
        )

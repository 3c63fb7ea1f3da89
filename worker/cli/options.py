"""The options that several commands share."""

from __future__ import annotations

import getpass
from typing import TYPE_CHECKING, Final

import click

from worker.enqueue_request import SIGNATURE_ID, canonical_region
from worker.errors import InvalidInput
from worker.ledger.connection import translated
from worker.ledger.scripts import plain, prefix

if TYPE_CHECKING:
    from redis import Redis

    from worker.settings import Settings


#: The most that the ledger's record keeps of a name or a reason. What is longer is refused, not cut.
MAX_TEXT_CHARACTERS: Final = 200


def canonical(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    """A callback for an option: the region's own name, also where its alias was given."""
    try:
        return None if given is None else canonical_region(given)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


def said(ctx: click.Context, param: click.Parameter, given: str | None) -> str | None:
    """A callback for what a person says for the record: one line that every terminal can show."""
    if given is None:
        return None
    text = " ".join(given.split())
    if not text.isprintable() or not 0 < len(text) <= MAX_TEXT_CHARACTERS:
        raise click.BadParameter(f"must be 1 to {MAX_TEXT_CHARACTERS} characters of plain text", ctx, param)
    return plain(text)


def well_formed(ctx: click.Context, param: click.Parameter, given: str) -> str:
    """A callback for an argument that is one signature id. Says what is wrong, never the value."""
    if not SIGNATURE_ID.fullmatch(given):
        raise click.BadParameter("must be 1 to 64 of letters, digits, - and _", ctx, param)
    return given


def login_name() -> str:
    """Who is at work here, as the operating system knows it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):
        # A container's user need not have a name.
        return "unknown"


#: `--region`, for commands about one region.
region_option = click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help="sg, ph, th, my, vn or global. Default: the one in ADVANCE_REGIONS; of several the one that knows the id.",
)

#: `--region` of `ekyc enqueue`: no region knows a new id.
new_region_option = click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help="sg, ph, th, my, vn or global. Default: the one in ADVANCE_REGIONS; of several one must be given.",
)

#: `--who`, for commands that change something: the record names who did it.
who_option = click.option(
    "--who",
    metavar="NAME",
    default=login_name,
    callback=said,
    help="Who does this, for the record. Default: your login name.",
)

#: `--why`, for commands that nobody should use without a reason.
why_option = click.option(
    "--why",
    metavar="TEXT",
    required=True,
    callback=said,
    help="The reason, for the record. It is kept in Redis and shown: nothing personal in it.",
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


def region_of(redis: Redis, signature_id: str, given: str | None, settings: Settings) -> str:
    """The region of a verification: the one that is given, or the only one of ADVANCE_REGIONS that knows its id.

    Raises ``InvalidInput`` where several regions know it. Where none does it is the first of them.
    """
    if given:
        return given
    with translated(), redis.pipeline(transaction=False) as pipe:
        for region in settings.regions:
            pipe.exists(f"{prefix(region)}v:{signature_id}")
        known = [region for region, there in zip(settings.regions, pipe.execute(), strict=True) if there]
    if len(known) > 1:
        raise InvalidInput(f"{signature_id} is known in {' and '.join(known)}: give --region")
    return known[0] if known else settings.regions[0]


def must_be_polled(region: str, settings: Settings) -> None:
    """Raises ``InvalidInput`` for a region that no worker with these settings would poll."""
    if region not in settings.regions:
        raise InvalidInput(
            f"--region {region}: ADVANCE_REGIONS names only {', '.join(settings.regions)}, "
            "so nobody would poll it; add the region there, for workers too"
        )

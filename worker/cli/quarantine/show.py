"""`ekyc quarantine show`: what happened to a verification, where its raw answer is kept, and what to do."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from worker.cli.options import json_option, region_option, well_formed
from worker.cli.status import told
from worker.errors import EkycError
from worker.ledger.connection import connect
from worker.ledger.models import Stage
from worker.policy.quarantine_reasons import REASONS, UNKNOWN
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.records.status_view import StatusView
    from worker.settings import Settings


@click.command
@click.argument("signature_id", metavar="ID", callback=well_formed)
@region_option
@json_option
def show(signature_id: str, region: str | None, *, as_json: bool) -> None:
    """Show what happened to a verification, and what to do.

    It shows the timeline, where the raw answer is kept, what the reason means, and the commands to run next. Evidence
    is personal data: its files are named, their contents never shown. It also works for a verification that has left
    quarantine.

    With --json: as `ekyc status --json`, and files (URLs of the evidence; null if it could not be listed), means and
    todo (about the reason), and commands (by what they do; empty if it is not in quarantine).

    Exit status: 0 the id is known, 1 it is not, or Redis or the evidence store does not answer.
    """
    settings = current()
    with connect(settings.redis_url) as redis:
        story = told(redis, settings, region, signature_id)
    page = Page(story)
    fault: EkycError | None = None
    try:
        page.files = kept(settings, story)
    except EkycError as error:
        # Everything else is shown first.
        fault = error
    click.echo(json.dumps(page.as_json()) if as_json else "\n".join(page.lines()))
    if fault is not None:
        raise fault


def kept(settings: Settings, story: StatusView) -> list[str] | None:
    """Return the URLs of a verification's evidence; None without EKYC_EVIDENCE_URL, or if its folder is away or empty.

    Raises ``EvidenceUnavailable`` and ``ConfigError``.
    """
    if not settings.evidence_url:
        return None
    from worker.cli.checks.folder import missing  # noqa: PLC0415 - see below
    from worker.evidence.store import Evidence  # noqa: PLC0415 - obstore takes as long to import as all else here

    if missing(settings.evidence_url):
        return None
    verification = story.verification
    evidence = Evidence.from_settings(settings, must_exist=True, may_be_empty=True)
    if evidence.is_empty:
        return None
    one = evidence.of(verification.region, verification.signature_id)
    return [f"{one.url}/{file.name}" for file in one.files()]


class Page:
    """All that is shown of one verification in quarantine.

    `files`: the URLs of its evidence; None if it could not be listed.
    """

    def __init__(self, story: StatusView) -> None:
        self._story = story
        self.files: list[str] | None = None

    def as_json(self) -> dict[str, Any]:
        advice = REASONS.get(self._reason or "", UNKNOWN) if self._reason else None
        return self._story.as_json() | {
            "files": self.files,
            "means": advice and advice.means,
            "todo": advice and advice.todo,
            "commands": dict(self._commands()),
        }

    def lines(self) -> Iterator[str]:
        yield from self._story.lines()
        yield ""
        yield from self._kept()
        yield ""
        if self._reason is None:
            yield "It is not in quarantine: nothing to do here."
            return
        advice = REASONS.get(self._reason, UNKNOWN)
        yield f"{self._reason}: {advice.means}."
        yield f"First {advice.todo}."
        for name, command in self._commands():
            yield f"  {name:<6} {command}"

    @property
    def _reason(self) -> str | None:
        """Why it is in quarantine; None if it is not."""
        known = self._story.verification
        return (known.quarantine_reason or "") if known.stage is Stage.QUARANTINED else None

    def _kept(self) -> Iterator[str]:
        if self.files is None:
            yield (
                "Its evidence could not be listed: EKYC_EVIDENCE_URL is not set here, its folder is not on this "
                "machine or is empty, or the store does not answer."
            )
        elif not self.files:
            yield "The evidence store has no answer of the vendor for it."
        else:
            yield "Evidence, as received (personal data: read it where it is, do not copy it):"
            yield from (f"  {url}" for url in self.files)

    def _commands(self) -> Iterator[tuple[str, str]]:
        if self._reason is None:
            return
        known = self._story.verification
        # An id may begin with a dash.
        which = f"--region {known.region} -- {known.signature_id}"
        yield "retry", f"ekyc quarantine retry {which}"
        yield "drop", f"ekyc quarantine drop --why TEXT {which}"

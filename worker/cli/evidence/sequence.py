"""`ekyc evidence sequence`: adds to the log what the store has and the log does not."""

from __future__ import annotations

import json
from collections import Counter
from contextlib import closing
from itertools import islice
from typing import TYPE_CHECKING, Final

import click

from worker.cli.options import canonical, json_option
from worker.cli.reporter import Reporter
from worker.enqueue_request import REGIONS
from worker.errors import ConfigError, EkycError, EvidenceConflict, EvidenceKeyUnknown, EvidenceUnavailable
from worker.evidence.log.commits import RegionLog
from worker.evidence.log.log_keys import LogKeys
from worker.evidence.log.sequencer import Sequencer, candidate_of
from worker.evidence.store import Evidence
from worker.ledger.connection import connect
from worker.ledger.evidence_log import EvidenceLogQueue, LogLedger
from worker.settings import current

if TYPE_CHECKING:
    from redis import Redis

    from worker.evidence.log.sequencer import Candidate

#: Verifications that are read at a time.
PAGE: Final = 1000


@click.command
@click.option(
    "--region",
    metavar="REGION",
    callback=canonical,
    help=f"Only this one of {', '.join(REGIONS)}. Default: all in ADVANCE_REGIONS.",
)
@json_option
def sequence(*, region: str | None, as_json: bool) -> None:
    """Add to the log all evidence of ended verifications that it does not have.

    Workers do so by themselves for what ends while EKYC_LOG_KEY is set. Use it for what ended before, after the
    ledger's Redis was lost, and to make missing tiles again. It walks through the whole store, may run beside workers,
    and may be interrupted and repeated. It logs what is there now: run `ekyc evidence verify` first, which lists what
    would be added as not_logged. With EKYC_EVIDENCE_KEYS, what is not encrypted is not logged: run `ekyc evidence
    rotate` before. With --json: added, by region, and unreadable, a number of verifications, which includes these.

    Exit status: 0, 1 some evidence cannot be read or is not encrypted, or the store or Redis does not answer, or a
    log is damaged, 2 a setting is wrong, 130 Ctrl-C.
    """
    settings = current()
    if not settings.log_key:
        raise ConfigError("EKYC_LOG_KEY is not set: `ekyc evidence keygen --log NAME FILE` makes a key")
    keys, evidence = LogKeys.parse(settings.log_key), Evidence.from_settings(settings, must_exist=True)
    added, unreadable = Counter[str](), 0
    with connect(settings.redis_url) as redis, closing(Reporter("sequencing")) as reporter:
        for place in (region,) if region else settings.regions:
            keys.signer(place)
            walk = _Walk(redis, evidence, RegionLog(evidence.backend, place, keys), reporter)
            added[place] = walk.run()
            unreadable += walk.unreadable
    if as_json:
        click.echo(json.dumps({"added": dict(added), "unreadable": unreadable}))
    else:
        click.echo(f"added {', '.join(f'{place} {number:,}' for place, number in added.items())}")
    click.get_current_context().exit(1 if unreadable else 0)


class _Walk:
    """The walk through the evidence of one region."""

    def __init__(self, redis: Redis, evidence: Evidence, log: RegionLog, reporter: Reporter) -> None:
        self._evidence = evidence
        self._region = log.region
        self._ledger = LogLedger(redis, log.region)
        self._sequencer = Sequencer(log, evidence, EvidenceLogQueue(redis))
        self._reporter = reporter
        self._seen = 0
        self.unreadable = 0

    def run(self) -> int:
        """Add what waits in the queue, then what the store has. Return how many entries were added."""
        added = self._sequencer.turn()
        ids = iter(self._evidence.ids(self._region))
        while some := list(islice(ids, PAGE)):
            open_ids = self._ledger.open_ids(some)
            found = [self._candidate(each) for each in some if each not in open_ids]
            added += self._sequencer.append([each for each in found if each is not None])
            self._seen += len(some)
            self._reporter.advance(self._seen)
        for signature_id in sorted(self._sequencer.doubted):
            self._reporter.say(
                f"{signature_id}: was not encrypted by a worker, so it may be planted: "
                "if it is not, run `ekyc evidence rotate`"
            )
        self.unreadable += len(self._sequencer.doubted)
        return added

    def _candidate(self, signature_id: str) -> Candidate | None:
        try:
            return candidate_of(self._evidence, self._region, signature_id)
        except EvidenceConflict as error:
            self._unread(signature_id, error)
        except EvidenceKeyUnknown as error:
            # Without any key the setting is missing, and not the key of this verification.
            if not self._evidence.keys.are_on:
                raise
            self._unread(signature_id, error)
        except EvidenceUnavailable as error:
            # One object that cannot be read must not stop the others.
            self._evidence.check_answers()
            self._unread(signature_id, error)
        return None

    def _unread(self, signature_id: str, error: EkycError) -> None:
        self._reporter.say(f"{signature_id}: {error}")
        self.unreadable += 1

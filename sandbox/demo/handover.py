"""Enqueues verifications in each of the ways that a pipeline has."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox.demo.plan import Way

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.demo.api import Api, Enqueued
    from sandbox.demo.journal import Journal
    from sandbox.demo.parts import Parts
    from sandbox.demo.plan import Planned
    from sandbox.demo.processes import Processes
    from worker.ledger import Ledger


@dataclass(frozen=True, slots=True)
class HandedOver:
    """How many verifications were new, by way; messages are only sent. `http` is what the HTTP API answered."""

    accepted: Mapping[Way, int]
    http: Enqueued

    def plus(self, way: Way, count: int) -> HandedOver:
        """Return the same with `count` more of a way."""
        return replace(self, accepted={**self.accepted, way: self.accepted[way] + count})


def hand_over(  # noqa: PLR0913 - a demo's whole
    planned: Sequence[Planned],
    ledger: Ledger,
    parts: Parts,
    processes: Processes,
    *,
    api: Api,
    journal: Journal,
) -> HandedOver:
    """Enqueue each verification in its own way. Raises ``DemoFailed`` and ``LedgerUnavailable``."""
    by_way = {way: [verification for verification in planned if verification.way is way] for way in Way}
    by_message(by_way[Way.MESSAGE], parts)
    http = by_http(by_way[Way.HTTP], api, journal)
    accepted = {
        Way.HTTP: http.new,
        Way.PYTHON: by_python(by_way[Way.PYTHON], ledger),
        Way.COMMAND: by_command(by_way[Way.COMMAND], parts, processes),
        Way.MESSAGE: len(by_way[Way.MESSAGE]),
    }
    return HandedOver(accepted, http)


def by_http(planned: Sequence[Planned], api: Api, journal: Journal) -> Enqueued:
    """Enqueue by `POST /v1/verifications`, as a pipeline in any language does."""
    http = api.enqueue(planned)
    again = "the same answer, and nothing is enqueued twice" if http.repeated_alike else "another answer"
    journal.tell(
        f"{http.new:,} enqueued by HTTP in {http.requests:,} {'request' if http.requests == 1 else 'requests'}; "
        f"the first, sent again with its Idempotency-Key, gets {again}"
    )
    return http


def by_python(planned: Sequence[Planned], ledger: Ledger) -> int:
    """Enqueue as `worker.client.enqueue_many` does, in the ledger of the demo."""
    return sum(ledger.enqueue([verification.request() for verification in planned]))


def by_command(planned: Sequence[Planned], parts: Parts, processes: Processes) -> int:
    """Enqueue by `ekyc enqueue --from -`, with a CSV on its standard input."""
    text = io.StringIO(newline="")
    rows = csv.writer(text)
    rows.writerow(("signature_id", "region", "context"))
    rows.writerows(
        (verification.signature_id, verification.region, json.dumps(verification.context))
        for verification in planned
    )
    command = [sys.executable, "-m", "worker.cli", "enqueue", "--from", "-", "--json"]
    counted = json.loads(processes.run("enqueue", command, text.getvalue().encode(), **parts.environment))
    return int(counted["enqueued"])


def by_message(planned: Sequence[Planned], parts: Parts) -> None:
    """Enqueue by the task's name, as a pipeline without our code does."""
    with parts.celery.connection_for_write() as connection, connection.Producer() as producer:
        for verification in planned:
            parts.celery.send_task(
                "tasks.enqueue",
                kwargs={
                    "signature_id": verification.signature_id,
                    "region": verification.region,
                    "context": verification.context,
                },
                producer=producer,
            )

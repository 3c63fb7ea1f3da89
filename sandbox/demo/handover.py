"""Enqueues verifications in each of the ways that a pipeline has."""

from __future__ import annotations

import csv
import io
import json
import sys
from typing import TYPE_CHECKING

from sandbox.demo.plan import Way

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sandbox.demo.parts import Parts
    from sandbox.demo.plan import Planned
    from sandbox.demo.processes import Processes
    from worker.ledger import Ledger


def hand_over(
    planned: Sequence[Planned], ledger: Ledger, parts: Parts, processes: Processes
) -> dict[Way, int]:
    """Enqueue each verification in its own way. Return how many were new, by way; messages are only sent.

    Raises ``DemoFailed`` and ``LedgerUnavailable``.
    """
    by_way = {way: [verification for verification in planned if verification.way is way] for way in Way}
    by_message(by_way[Way.MESSAGE], parts)
    return {
        Way.PYTHON: by_python(by_way[Way.PYTHON], ledger),
        Way.COMMAND: by_command(by_way[Way.COMMAND], parts, processes),
        Way.MESSAGE: len(by_way[Way.MESSAGE]),
    }


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

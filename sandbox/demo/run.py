"""Runs one demo, from the first process to the report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from kombu.exceptions import OperationalError

from sandbox.demo import parts as parts_
from sandbox.demo.checks import checks
from sandbox.demo.deliveries import Deliveries
from sandbox.demo.failure import DemoFailed
from sandbox.demo.folder import shown
from sandbox.demo.gather import gather
from sandbox.demo.handover import hand_over
from sandbox.demo.journal import Journal
from sandbox.demo.journey import Journey, under_way
from sandbox.demo.operator import Operator
from sandbox.demo.plan import Way
from sandbox.demo.tally import tally
from worker.errors import LedgerUnavailable
from worker.ledger import Ledger
from worker.ledger.connection import connect

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.demo.folder import Folder
    from sandbox.demo.plan import Plan
    from sandbox.demo.processes import Processes
    from sandbox.demo.progress import Face
    from sandbox.demo.report import Report

#: How long workers may take to end on request, with nothing in flight.
_END_S: Final = 10.0

#: Seconds between a broken connection and the exit of its process being visible.
_DEATH_S: Final = 0.2


def run(  # noqa: PLR0913 - given by name
    plan: Plan, folder: Folder, processes: Processes, face: Face, *, server: Path, timeout_s: float
) -> Report:
    """Start the parts, enqueue the plan, watch, and return the report. Raises ``DemoFailed``."""
    try:
        return _run(plan, folder, processes, face, server=server, timeout_s=timeout_s)
    except (LedgerUnavailable, OperationalError) as error:
        # A process that has ended explains more; its exit may take a moment.
        time.sleep(_DEATH_S)
        processes.check()
        raise DemoFailed(f"Valkey cannot be used: {error}; logs: {shown(folder.logs)}") from None


def _run(  # noqa: PLR0913 - as above
    plan: Plan, folder: Folder, processes: Processes, face: Face, *, server: Path, timeout_s: float
) -> Report:
    journal = Journal(face.tell)
    parts = parts_.start(processes, folder, server, plan.regions, journal)
    deliveries = Deliveries(folder.deliveries)
    with connect(parts.redis_url) as redis:
        ledger = Ledger(redis)
        operator = Operator(plan, ledger, journal)
        journey = Journey(
            plan,
            redis=redis,
            deliveries=deliveries,
            processes=processes,
            operator=operator,
            journal=journal,
            face=face,
        )

        operator.begin()
        accepted = hand_over(plan.at_once, ledger, parts, processes)
        journal.tell(f"{len(plan.all):,} verifications, handed over in {len(Way)} ways")
        frame = journey.watch(timeout_s=timeout_s)
        if not frame.over:
            raise under_way(plan, ledger, folder, timeout_s)

        journal.tell("all accounted for; stopping the workers, then checking the outcome")
        exit_codes = processes.end(*parts_.WORKERS, parts_.PIPELINE, within_s=_END_S)
        deliveries.look()
        findings = gather(
            plan,
            accepted | {Way.PYTHON: accepted[Way.PYTHON] + operator.accepted},
            deliveries,
            ledger=ledger,
            redis=redis,
            parts=parts,
            folder=folder,
            exit_codes=exit_codes,
        )
    return tally(findings, checks(findings), holds=journey.holds, seconds=journey.took_s, folder=folder.root)

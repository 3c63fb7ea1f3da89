"""Runs one demo, from the first process to the report."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import requests
from kombu.exceptions import OperationalError

from sandbox.demo import api as api_
from sandbox.demo import endpoint as endpoint_
from sandbox.demo import parts as parts_
from sandbox.demo import web as web_
from sandbox.demo.checks import checks
from sandbox.demo.deliveries import Deliveries
from sandbox.demo.endpoint import Endpoint
from sandbox.demo.failure import DemoFailed
from sandbox.demo.folder import shown as shown_path
from sandbox.demo.gather import gather
from sandbox.demo.handover import hand_over
from sandbox.demo.journal import Journal
from sandbox.demo.journey import Journey, under_way
from sandbox.demo.listener import Listener
from sandbox.demo.operator import Operator
from sandbox.demo.plan import Way
from sandbox.demo.tally import tally
from sandbox.demo.web import Web
from worker.errors import LedgerUnavailable
from worker.ledger import Ledger
from worker.ledger.connection import connect

if TYPE_CHECKING:
    from pathlib import Path

    from sandbox.demo.folder import Folder
    from sandbox.demo.parts import Parts
    from sandbox.demo.plan import Plan
    from sandbox.demo.processes import Processes
    from sandbox.demo.progress import Face
    from sandbox.demo.report import Report

#: How long workers may take to end on request, with nothing in flight.
_END_S: Final = 10.0

#: Seconds between a broken connection and the exit of its process being visible.
_DEATH_S: Final = 0.2


def run(  # noqa: PLR0913 - given by name
    plan: Plan,
    folder: Folder,
    processes: Processes,
    face: Face,
    *,
    server: Path,
    timeout_s: float,
    keep: bool = False,
) -> tuple[Report, Parts]:
    """Start the parts, enqueue the plan, watch, and return the report. Raises ``DemoFailed``.

    `keep`: all parts run at the end; otherwise only Valkey and the vendor do.
    """
    try:
        with Listener(stays=keep) as for_web, Listener(stays=keep) as for_webhooks:
            web, endpoint = Web(for_web), Endpoint(for_webhooks, folder)
            journal = Journal(face.tell)
            parts = parts_.start(processes, folder, server, plan.regions, journal, web=web, endpoint=endpoint)
            face.hint(f"Console: {parts.web.console.login}")
            report = _run(plan, folder, processes, face, parts=parts, journal=journal, timeout_s=timeout_s)
            if keep:
                parts_.start_fleet(parts, processes, folder)
            return report, parts
    except (LedgerUnavailable, OperationalError, requests.RequestException) as error:
        # A process that has ended explains more; its exit may take a moment.
        time.sleep(_DEATH_S)
        processes.check()
        what = (
            "an HTTP request failed"
            if isinstance(error, requests.RequestException)
            else "Valkey cannot be used"
        )
        raise DemoFailed(f"{what}: {error}; logs: {shown_path(folder.logs)}") from None


def _run(  # noqa: PLR0913 - as above
    plan: Plan,
    folder: Folder,
    processes: Processes,
    face: Face,
    *,
    parts: Parts,
    journal: Journal,
    timeout_s: float,
) -> Report:
    deliveries = Deliveries(folder.deliveries)
    with connect(parts.redis_url) as redis, api_.connected(parts.web.url, parts.web.pipeline) as api:
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
        handed_over = hand_over(plan.at_once, ledger, parts, processes, api=api, journal=journal)
        journal.tell(f"{len(plan.all):,} verifications, handed over in {len(Way)} ways")
        frame = journey.watch(timeout_s=timeout_s)
        if not frame.over:
            raise under_way(plan, ledger, folder, timeout_s)

        journal.tell("all accounted for; stopping the workers, then checking the outcome")
        exit_codes = processes.end(*parts_.WORKERS, parts_.PIPELINE, within_s=_END_S)
        deliveries.look()
        seen = api.look(plan.ids_by_region)
        shown = parts.web.console.look()
        exit_codes |= processes.end(web_.NAME, endpoint_.RECEIVER, within_s=_END_S)
        findings = gather(
            plan,
            handed_over.plus(Way.PYTHON, operator.accepted),
            deliveries,
            seen,
            shown=shown,
            ledger=ledger,
            redis=redis,
            parts=parts,
            folder=folder,
            processes=processes,
            exit_codes=exit_codes,
        )
    return tally(findings, checks(findings), holds=journey.holds, seconds=journey.took_s, folder=folder.root)

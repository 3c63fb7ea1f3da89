"""What needs a person: each thing is found, with a next step, and nothing else is."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from typing import Any

import click
import pytest

from worker.cli.program import ekyc
from worker.errors import BrokerUnavailable, EvidenceKeyUnknown, EvidenceUnavailable
from worker.ledger.audit import KEPT
from worker.ledger.audit_state import Kind, Part
from worker.ledger.evidence_log import LogState, Seen
from worker.ledger.hour import Hour
from worker.ledger.models import Counts, Event, Hold, Lately
from worker.ledger.webhooks import EndpointState
from worker.ledger.worker_registry import Presence, Worker
from worker.policy.attention import (
    MANY_EXPIRED,
    OVERDUE_S,
    UNREAD_S,
    Fleet,
    RegionFigures,
    UnreadDecisions,
    Urgency,
    needs,
)

NOW = 1_800_000_000_000
LOG = LogState(Seen(), 0, 0.0, 0, 0, 0, "")
WORKER = Presence(Worker("w1@host", "1", "0.1.0"), 2.0)
ENDPOINT = EndpointState("shop", "ph", NOW, 0, 0, None, 0, 0, 0)


def figures(
    *, lately: Lately | None = None, log: LogState = LOG, lines: tuple[bytes, ...] = (), **counted: Any
) -> RegionFigures:
    counts = Counts(**{"enqueued": 5, "read_at_ms": NOW} | counted)
    return RegionFigures(counts, lately or Lately(), Hour.of(lines, counts), log)


WELL = Fleet({"ph": figures(), "sg": figures()}, (WORKER,), (ENDPOINT,), UnreadDecisions(0, 1.0, True, 0.0))


def of_ph(**counted: Any) -> Fleet:
    return replace(WELL, regions={"ph": figures(**counted), "sg": figures()})


def held(word: str, reason: str = "", **more: Any) -> Fleet:
    return of_ph(holds=(Hold("ph", NOW + 60_000, reason or word, word, NOW - 5000, **more),))


def with_workers(*workers: Presence) -> Fleet:
    return replace(WELL, seen=workers)


def other(**changed: str) -> Presence:
    return Presence(replace(WORKER.worker, name="w2@host", **changed), 1.0)


def with_endpoint(**changed: Any) -> Fleet:
    return replace(WELL, endpoints=(replace(ENDPOINT, **changed),))


def with_audit(**changed: Any) -> Fleet:
    return replace(WELL, audit=(Part(Kind.EVIDENCE, "ph", **changed), Part(Kind.LOG_INS)))


def with_unread(*figures_: Any) -> Fleet:
    return replace(WELL, unread=UnreadDecisions(*figures_))


QUIET = tuple(f"{NOW - back * 60_000}|5|0|0|0|".encode() for back in range(60, 0, -1))
EXPIRED = (f"{NOW - 120_000}|5|0|0|7|".encode(),)

CASES: dict[str, tuple[Fleet, Urgency]] = {
    "redis_refuses": (replace(WELL, refusal="OOM"), Urgency.NOW),
    "redis_fills_up": (replace(WELL, memory_share=0.81), Urgency.SOON),
    "no_worker": (with_workers(), Urgency.NOW),
    "workers_missing": (with_workers(WORKER, replace(other(), seen_s_ago=30.0)), Urgency.SOON),
    "tables_differ": (with_workers(WORKER, other(table="2")), Urgency.SOON),
    "versions_differ": (with_workers(WORKER, other(version="0.2.0")), Urgency.NOTE),
    "signing_differs": (with_workers(WORKER, other(signing="k1")), Urgency.SOON),
    "ledger_replaced": (
        replace(WELL, regions={"ph": replace(figures(), is_replaced=True)}),
        Urgency.NOW,
    ),
    "overdue": (of_ph(oldest_due_s=OVERDUE_S + 1), Urgency.NOW),
    "evidence_failing": (of_ph(lately=Lately(faults={EvidenceUnavailable.cause: 3})), Urgency.NOW),
    "deliveries_stuck": (of_ph(lately=Lately(faults={BrokerUnavailable.cause: 3})), Urgency.NOW),
    "log_damaged": (of_ph(log=replace(LOG, fault="EVIDENCE_LOG_DAMAGED")), Urgency.NOW),
    "log_unopened": (of_ph(log=replace(LOG, pending=3, unopened=2, oldest_pending_s=61.0)), Urgency.NOW),
    "evidence_key_missing": (of_ph(lately=Lately(faults={EvidenceKeyUnknown.cause: 3})), Urgency.NOW),
    "evidence_keys_differ": (with_workers(WORKER, other(evidence_keys="odd")), Urgency.NOW),
    "log_behind": (of_ph(log=replace(LOG, pending=3, oldest_pending_s=1000.0)), Urgency.SOON),
    "leases_expire": (of_ph(lines=EXPIRED, leases_expired=7 + MANY_EXPIRED), Urgency.SOON),
    "quarantine": (of_ph(quarantine={"UNREADABLE": 2}), Urgency.SOON),
    "held_by_hand": (held("BY_HAND", "we look into it"), Urgency.SOON),
    "vendor": (held("VENDOR_DOWN"), Urgency.SOON),
    "account": (held("INSUFFICIENT_BALANCE"), Urgency.NOW),
    "half_open": (held("VENDOR_DOWN", half_open=True), Urgency.NOTE),
    "endpoint_paused": (with_endpoint(paused_at_ms=NOW - 1, paused_why="GONE"), Urgency.NOW),
    "endpoint_failing": (
        with_endpoint(failing_since_ms=NOW - 600_000, worst_tries=5, failures_in_a_row=9),
        Urgency.SOON,
    ),
    "given_up": (with_endpoint(failed=4), Urgency.SOON),
    "deliveries_late": (with_endpoint(waiting=1, due=1, due_at_ms=NOW - 120_000), Urgency.SOON),
    "broker_away": (with_unread(4, 30.0, False, 0.0), Urgency.SOON),
    "unread": (with_unread(4, 1.0, True, UNREAD_S), Urgency.NOW),
    "nothing_enqueued": (of_ph(lines=QUIET), Urgency.NOTE),
    "audit_full": (with_audit(entries=KEPT * 91 // 100), Urgency.SOON),
    "audit_refuses": (with_audit(refused=1, refused_at_ms=NOW - 60_000), Urgency.SOON),
}


def test_a_fleet_that_is_well_needs_nobody() -> None:
    assert needs(WELL) == ()


@pytest.mark.parametrize("kind", CASES)
def test_each_is_found_alone_with_a_next_step(kind: str) -> None:
    fleet, urgency = CASES[kind]
    (need,) = needs(fleet)
    assert (need.kind, need.urgency) == (kind, urgency)
    assert need.said
    assert need.todo


@pytest.mark.parametrize(
    "fleet",
    [
        of_ph(oldest_due_s=OVERDUE_S),
        with_unread(4, 1.0, True, UNREAD_S - 1),
        with_unread(None, 0.0, True, 0.0),
        of_ph(log=replace(LOG, pending=3, oldest_pending_s=900.0)),
        of_ph(log=replace(LOG, pending=3, unopened=2, oldest_pending_s=60.0)),
        replace(WELL, memory_share=0.8),
        with_endpoint(failing_since_ms=NOW - 1000, failures_in_a_row=1),
        with_endpoint(due=1, due_at_ms=NOW - 120_000, held_until_ms=NOW + 1000),
        of_ph(lines=EXPIRED, leases_expired=6 + MANY_EXPIRED),
        of_ph(lines=QUIET[30:]),
        with_audit(entries=KEPT * 9 // 10),
        with_audit(refused=1, refused_at_ms=NOW - 2 * 86_400_000),
        replace(WELL, refusal=None),
        replace(WELL, unread=None),
        with_workers(WORKER, other()),
    ],
)
def test_below_a_limit_nothing_is_said(fleet: Fleet) -> None:
    assert needs(fleet) == ()


def test_a_redis_that_refuses_writes_explains_why_no_worker_signs_in() -> None:
    assert [need.kind for need in needs(replace(WELL, refusal="OOM", seen=()))] == ["redis_refuses"]


def test_without_workers_nothing_else_explains_what_is_overdue() -> None:
    assert [need.kind for need in needs(replace(of_ph(oldest_due_s=900.0), seen=()))] == ["no_worker"]


def test_an_empty_fleet_is_no_quiet_hour() -> None:
    empty = replace(
        WELL, regions={"ph": figures(enqueued=0, lines=tuple(line.replace(b"|5|", b"|0|") for line in QUIET))}
    )
    assert needs(empty) == ()


def test_a_hold_by_hand_names_the_person_of_that_act() -> None:
    fleet = held("BY_HAND", "we look into it")
    acts = (
        Event(NOW - 9000, "hold", "an older one", "ann"),
        Event(NOW - 5000, "hold", "we look into it", "ben"),
    )
    fleet = replace(fleet, regions={"ph": replace(fleet.regions["ph"], acts=acts)})
    (need,) = needs(fleet)
    assert need.quoted == "we look into it (ben)"


def test_the_most_urgent_comes_first() -> None:
    fleet = replace(
        of_ph(quarantine={"A": 1, "B": 5}, holds=(Hold("ph", NOW, "x", half_open=True),)), refusal="OOM"
    )
    found = needs(fleet)
    assert [need.kind for need in found] == ["redis_refuses", "quarantine", "quarantine", "half_open"]
    assert [need.quoted for need in found[1:3]] == ["B", "A"]


def test_text_of_others_is_never_a_part_of_our_own() -> None:
    """It would be shown without being isolated, and backquotes in it would become code."""
    evil = "`evil`"
    fleet = replace(
        of_ph(
            quarantine={evil: 1},
            holds=(Hold("ph", NOW + 1, evil, evil, 0),),
            log=replace(LOG, fault=evil),
        ),
        seen=(
            replace(WORKER, worker=Worker(evil, evil, evil, evil, evil, evil)),
            other(),
            Presence(Worker(evil, "1", "1"), 30.0),
        ),
        endpoints=(replace(ENDPOINT, paused_at_ms=NOW, paused_why=evil, paused_by=evil),),
    )
    found = needs(fleet)
    assert {need.kind for need in found} >= {"tables_differ", "workers_missing", "account", "quarantine"}
    for need in found:
        assert "evil" not in need.said + need.todo


def test_every_command_that_is_named_exists() -> None:
    """With its options: a person types it at three in the morning."""
    said = {
        command
        for fleet, _ in CASES.values()
        for need in needs(fleet)
        for command in re.findall(r"`([^`]*)`", need.said + need.todo)
    }
    ours = [shlex.split(command) for command in said if command.startswith("ekyc ")]
    assert len(ours) >= 6
    for _, *words in ours:
        command: click.Command = ekyc
        context = click.Context(ekyc)
        left = list(words)
        while isinstance(command, click.Group):
            found = command.get_command(context, left.pop(0))
            assert found is not None, words
            command = found
        # Without the callbacks, which read the settings.
        command.make_parser(context).parse_args(left)

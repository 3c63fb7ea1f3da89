"""The metrics of a real ledger."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client import generate_latest as as_text
from prometheus_client.openmetrics.exposition import generate_latest as as_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from schemas.enqueue import EnqueueRequest
from tests.support.promql import needs_promtool, promtool
from tests.support.redis_states import account, full
from worker.advance import answers
from worker.advance.token_store import TokenStore
from worker.decisions.table import Table
from worker.ledger import Ledger, Stats, transitions
from worker.ledger.connection import connect
from worker.ledger.histograms import PREFIX
from worker.ledger.models import Batch, EvidenceState, Stage
from worker.ledger.transitions import Heard
from worker.ledger.worker_registry import Worker, WorkerRegistry
from worker.observability.metrics import Metrics
from worker.policy.rules import Policy
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from redis import Redis

pytestmark = pytest.mark.every_server

#: So patient that nothing comes back while a test runs.
POLICY = Policy.from_settings(Settings(poll_first_s=600))

Samples = dict[tuple[str, tuple[str, ...]], float]


def registry(redis: Redis) -> CollectorRegistry:
    fresh = CollectorRegistry()
    fresh.register(Metrics(redis, ["ph", "sg"], Table.load(None)))
    return fresh


def scrape(redis: Redis) -> Samples:
    """What a scrape says: the value by name and label values, region first."""
    return samples(read_text(as_text(registry(redis)).decode()))


def samples(families: Iterable[Any]) -> Samples:
    def values(labels: dict[str, str]) -> tuple[str, ...]:
        return tuple(labels[name] for name in sorted(labels, key=lambda name: (name != "region", name)))

    return {
        (sample.name, values(sample.labels)): sample.value for family in families for sample in family.samples
    }


def lasting(seen: Samples) -> Samples:
    """All but what each scrape changes by itself."""
    return {key: value for key, value in seen.items() if key[0] != "ekyc_redis_memory_used_bytes"}


def poll(ledger: Ledger, answer: answers.Answer, *, region: str = "ph", limit: int = 64) -> None:
    """Poll what is due, and record the same answer for all."""
    for batch in ledger.claim(region, limit=limit).batches:
        ledger.record(batch, [POLICY.after(one, answer) for one in ledger.load(batch)])


def decide(ledger: Ledger, signature_id: str, *, error_code: str = "SUCCESS", name: str = "approve") -> None:
    """Take one from the enqueue to the delivered decision."""
    ledger.enqueue([EnqueueRequest(signature_id, "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    settled = transitions.settle(one, Heard("result"), overall_result="PASS", error_code=error_code)
    ledger.record(batch, [settled])
    archiving = Batch(batch.id, "ph", Stage.ARCHIVING, batch.signature_ids)
    (one,) = ledger.load(archiving)
    ledger.record(archiving, [transitions.archived(one, EvidenceState.COMPLETE, files=3, size_bytes=2048)])
    routing = Batch(batch.id, "ph", Stage.ROUTING, batch.signature_ids)
    (one,) = ledger.load(routing)
    ledger.record(routing, [transitions.delivered(one, name=name)])


def test_both_forms_can_be_read_by_the_librarys_parsers_and_say_the_same(
    redis: Redis, ledger: Ledger
) -> None:
    decide(ledger, "a")
    ledger.hold("sg", for_s=60, reason="VENDOR_BUSY")
    WorkerRegistry(redis).sign_in(Worker('w"1\\@test', "1", "0.1.0"))
    text = samples(read_text(as_text(registry(redis)).decode()))
    openmetrics = samples(read_openmetrics(as_openmetrics(registry(redis)).decode()))  # type: ignore[no-untyped-call]
    assert lasting(text) == lasting(openmetrics)
    assert text["ekyc_worker_info", ("1", "0.1.0", 'w"1\\@test')] == 1
    assert text["ekyc_up", ()] == 1


@needs_promtool
def test_prometheuss_own_linter_finds_nothing(redis: Redis, ledger: Ledger) -> None:
    decide(ledger, "a")
    ledger.hold("sg", for_s=60, reason="VENDOR_BUSY")
    WorkerRegistry(redis).sign_in(Worker("w1@test", "1", "0.1.0"))
    promtool("check", "metrics", stdin=as_text(registry(redis)).decode())


def test_a_histogram_has_each_poll_and_each_decision_once(redis: Redis, ledger: Ledger) -> None:
    """Two workers count into the same buckets, and each `web` reads all of them."""
    ledger.enqueue([EnqueueRequest(f"v{number}", "ph") for number in range(40)])
    poll(ledger, answers.Pending(submission_completed=False, took_s=0.2), limit=30)
    slow = answers.Pending(submission_completed=False, took_s=7.0)
    poll(Ledger(redis, worker="another"), slow, limit=10)
    decide(ledger, "decided")
    seen = scrape(redis)
    assert lasting(seen) == lasting(scrape(redis))
    name = "ekyc_vendor_call_duration_seconds"
    buckets = [seen[f"{name}_bucket", ("ph", bound)] for bound in ("0.1", "0.25", "5.0", "10.0", "+Inf")]
    assert buckets == [0, 30, 30, 40, 40]
    assert seen[f"{name}_count", ("ph",)] == 40
    assert seen[f"{name}_sum", ("ph",)] == pytest.approx(30 * 0.2 + 10 * 7)
    for name in ("ekyc_enqueued_to_decided_seconds", "ekyc_settled_to_decided_seconds"):
        assert seen[f"{name}_count", ("ph",)] == 1
        assert seen[f"{name}_bucket", ("ph", "+Inf")] == 1
        assert seen[f"{name}_count", ("sg",)] == 0


def test_a_decision_without_a_result_says_nothing_of_the_vendor(redis: Redis, ledger: Ledger) -> None:
    """At the deadline nobody knows when the vendor was ready."""
    ledger.enqueue([EnqueueRequest("late", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    unsettled = transitions.unsettled(one, Heard("pending"), reason="DEADLINE_PASSED", answer_kept=False)
    ledger.record(batch, [unsettled])
    routing = Batch(batch.id, "ph", Stage.ROUTING, batch.signature_ids)
    (one,) = ledger.load(routing)
    ledger.record(routing, [transitions.delivered(one, name="review")])
    seen = scrape(redis)
    assert seen["ekyc_enqueued_to_decided_seconds_count", ("ph",)] == 1
    assert seen["ekyc_settled_to_decided_seconds_count", ("ph",)] == 0
    assert seen["ekyc_decision_error_codes_total", ("ph", "DEADLINE_PASSED")] == 1


def test_a_write_of_a_batch_that_lost_its_lease_counts_nothing(redis: Redis, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph")])
    (batch,) = ledger.claim("ph", limit=1).batches
    (one,) = ledger.load(batch)
    write = POLICY.after(one, answers.Pending(submission_completed=False, took_s=0.2))
    before = redis.hgetall("ekyc:{ph}:counts")
    ledger.record(replace(batch, id="another"), [write])
    assert redis.hgetall("ekyc:{ph}:counts") == before


def test_due_is_what_hands_could_take_now(redis: Redis, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest(f"v{number}", "ph") for number in range(5)])
    poll(ledger, answers.Pending(submission_completed=False), limit=2)
    seen = scrape(redis)
    assert seen["ekyc_verifications_waiting", ("ph", "polling")] == 5
    assert seen["ekyc_verifications_due", ("ph", "polling")] == 3
    assert seen["ekyc_oldest_due_seconds", ("ph",)] > 0
    ledger.hold("ph", for_s=60, reason="VENDOR_BUSY")
    seen = scrape(redis)
    assert seen["ekyc_verifications_waiting", ("ph", "polling")] == 5
    assert seen["ekyc_verifications_due", ("ph", "polling")] == 0
    assert seen["ekyc_oldest_due_seconds", ("ph",)] == 0


def test_no_word_of_the_vendors_or_of_a_person_becomes_a_label(redis: Redis, ledger: Ledger) -> None:
    """A code nobody knows, a reason that a person wrote, a word with which no token was given."""
    decide(ledger, "a", error_code="CARD_OF_JUAN", name="review")
    ledger.hold("ph", for_s=60, reason="Juan asked for it", who="juan")
    ledger.hold("sg", for_s=60, reason="TOKEN_JUAN")
    seen = scrape(redis)
    assert not [labels for _, labels in seen if any("juan" in value.lower() for value in labels)]
    assert seen["ekyc_decision_error_codes_total", ("ph", "other")] == 1
    assert ("ekyc_hold_until_timestamp_seconds", ("ph", "BY_HAND")) in seen
    assert ("ekyc_hold_until_timestamp_seconds", ("sg", "TOKEN_REFUSED")) in seen
    assert seen["ekyc_holds_total", ("ph", "BY_HAND")] == 1
    assert seen["ekyc_holds_total", ("sg", "TOKEN_REFUSED")] == 1


def test_a_rest_is_there_while_it_lasts_with_its_end(redis: Redis, ledger: Ledger) -> None:
    until_ms = ledger.hold("ph", for_s=60, reason="VENDOR_DOWN")
    assert scrape(redis)["ekyc_hold_until_timestamp_seconds", ("ph", "VENDOR_DOWN")] == until_ms / 1000
    ledger.resume("ph")
    assert not [name for name, _ in scrape(redis) if name == "ekyc_hold_until_timestamp_seconds"]


def test_counters_are_there_from_the_start(redis: Redis) -> None:
    """A rate needs a counter's 0 before its first step."""
    seen = scrape(redis)
    for name, value in (
        ("ekyc_decision_error_codes_total", "other"),
        ("ekyc_decisions_total", "review"),
        ("ekyc_polls_total", "unreadable"),
        ("ekyc_faults_total", "EVIDENCE_UNAVAILABLE"),
        ("ekyc_deliveries_total", "failed"),
        ("ekyc_archivals_total", "failed"),
        ("ekyc_token_refusals_total", "account_fault"),
    ):
        assert seen[name, ("ph", value)] == 0, name


def test_a_redis_says_how_full_it_is_and_whether_it_takes_a_write(redis: Redis) -> None:
    seen = scrape(redis)
    assert seen["ekyc_redis_writable", ()] == 1
    assert 0 < seen["ekyc_redis_memory_used_bytes", ()] < seen["ekyc_redis_memory_limit_bytes", ()]
    with full(redis):
        seen = scrape(redis)
    assert seen["ekyc_up", ()] == 1
    assert seen["ekyc_redis_writable", ()] == 0
    assert seen["ekyc_redis_memory_used_bytes", ()] > seen["ekyc_redis_memory_limit_bytes", ()] == 1


def test_what_the_account_may_not_ask_is_left_out_and_no_fault(redis: Redis, redis_url: str) -> None:
    """It may read, and neither write nor see INFO: whether Redis takes writes it does not know."""
    with account(redis, "~*", "+@all", "-@write", "-info") as name:
        reader = connect(redis_url.replace("//", f"//{name}@"))
        seen = scrape(reader)
        reader.close()
    assert seen["ekyc_up", ()] == 1
    assert not [known for known, _ in seen if known.startswith("ekyc_redis_")]


def test_tokens_have_an_age_while_they_live_and_refusals_are_counted(redis: Redis) -> None:
    tokens = TokenStore(redis)
    assert ("ekyc_token_age_seconds", ("ph",)) not in scrape(redis)
    tokens.store("ph", "secret-token", 3600)
    redis.pexpire("ekyc:{ph}:token", 3_000_000)
    tokens.refuse("sg", answers.AccountFault("ACCOUNT_DISABLED"))
    seen = scrape(redis)
    assert seen["ekyc_token_age_seconds", ("ph",)] == pytest.approx(600, abs=10)
    assert seen["ekyc_tokens_issued_total", ("ph",)] == 1
    assert seen["ekyc_token_refusals_total", ("sg", "account_fault")] == 1
    assert b"secret-token" not in as_text(registry(redis))


def test_faults_of_ours_are_told_by_outcome(redis: Redis, ledger: Ledger) -> None:
    ledger.enqueue([EnqueueRequest("a", "ph"), EnqueueRequest("b", "ph")])
    (batch,) = ledger.claim("ph", limit=2).batches
    one, other = ledger.load(batch)
    faults = [
        transitions.retry(one, in_s=60, cause="EVIDENCE_UNAVAILABLE"),
        transitions.retry(other, in_s=60, cause="DELIVERY_FAILED"),
    ]
    ledger.record(batch, faults)
    seen = scrape(redis)
    assert seen["ekyc_archivals_total", ("ph", "failed")] == 1
    assert seen["ekyc_deliveries_total", ("ph", "failed")] == 1
    assert seen["ekyc_faults_total", ("ph", "EVIDENCE_UNAVAILABLE")] == 1


def test_each_that_is_enqueued_is_somewhere(redis: Redis, ledger: Ledger) -> None:
    decide(ledger, "done")
    ledger.enqueue([EnqueueRequest(f"v{number}", "ph") for number in range(6)])
    poll(ledger, answers.Unreadable("data", b"", took_s=0.1), limit=2)
    ledger.claim("ph", limit=1)
    seen = scrape(redis)
    waiting = sum(figure for (name, _), figure in seen.items() if name == "ekyc_verifications_waiting")
    assert (waiting, seen["ekyc_verifications_in_flight", ("ph",)]) == (3, 1)
    assert seen["ekyc_verifications_quarantined_by_reason", ("ph", "UNREADABLE")] == 2
    assert seen["ekyc_verifications_quarantined", ("ph",)] == 2
    assert seen["ekyc_verifications_done_total", ("ph",)] == 1
    assert seen["ekyc_verifications_enqueued_total", ("ph",)] == 7


def test_a_scrape_costs_the_same_however_many_wait(redis: Redis, ledger: Ledger) -> None:
    """The same commands, none of them longer than log n, and as many bytes but for the digits."""

    def cost() -> tuple[dict[str, int], int]:
        redis.config_resetstat()
        size_bytes = len(as_text(registry(redis)))
        stats = redis.info("commandstats")
        return {name: row["calls"] for name, row in stats.items() if name != "cmdstat_info"}, size_bytes

    def enqueued(number: int) -> None:
        # What waits for a poll is a member of this set; the rest of it a scrape does not touch.
        redis.zadd("ekyc:{ph}:due:polling", {f"{number}-{index:x}": index for index in range(number)})

    enqueued(100)
    few_commands, few_bytes = cost()
    enqueued(100_000)
    assert Stats(redis).counts("ph").waiting == 100_100
    many_commands, many_bytes = cost()
    assert many_commands == few_commands
    assert not {"cmdstat_keys", "cmdstat_scan", "cmdstat_zscan", "cmdstat_lrange"} & set(many_commands)
    assert many_bytes - few_bytes < 30


def test_the_counters_of_a_region_are_few_whatever_happens(redis: Redis, ledger: Ledger) -> None:
    times_s = (0.01, 0.03, 0.07, 0.2, 0.4, 0.9, 2, 4, 9, 20) * 20
    ledger.enqueue([EnqueueRequest(f"v{number}", "ph") for number in range(len(times_s))])
    for took_s in times_s:
        poll(ledger, answers.Pending(submission_completed=False, took_s=took_s), limit=1)
    names: list[bytes] = redis.hkeys("ekyc:{ph}:counts")  # type: ignore[assignment]
    took = [name for name in names if name.startswith(PREFIX.encode())]
    assert len([name for name in took if b"vendor_call" in name]) == 11
    # And how late the claims were.
    assert len(took) <= 11 + 9


def test_a_redis_that_is_away_is_no_fault_of_a_scrape(unused_port: int) -> None:
    away = connect(f"redis://127.0.0.1:{unused_port}/0", timeout_s=0.2)
    assert scrape(away) == {("ekyc_up", ()): 0}


@pytest.mark.parametrize(
    ("setting", "value", "figure"),
    [
        ("appendonly", "yes", 1.0),
        ("appendonly", "no", 0.0),
        ("appendfsync", "always", 1.0),
        ("appendfsync", "everysec", 0.5),
        ("appendfsync", "no", 0.0),
        ("maxmemory-policy", "noeviction", 1.0),
        ("maxmemory-policy", "allkeys-lru", 0.0),
    ],
)
def test_the_settings_of_a_redis_say_how_far_it_keeps_what_it_is_given(
    redis: Redis, setting: str, value: str, figure: float
) -> None:
    before = redis.config_get(setting)[setting] or ""
    redis.config_set(setting, value)
    try:
        assert scrape(redis)["ekyc_redis_durable", (setting,)] == figure
    finally:
        redis.config_set(setting, before)

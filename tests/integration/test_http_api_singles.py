"""Single enqueues that come at the same time: a real `web`, a real Valkey, HTTP over sockets."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from tests.support.web_process import ALL, SHOP, Web
from worker.ledger import Stats

if TYPE_CHECKING:
    from redis import Redis

    from worker.ledger import Ledger

CLIENTS: Final = 8
ROUNDS: Final = 12


def test_each_gets_the_answer_to_its_own_request_and_an_id_is_new_once(
    web: Web, redis: Redis, ledger: Ledger
) -> None:
    def send(client: int) -> list[tuple[str, str, int, Any]]:
        found = []
        for number in range(ROUNDS):
            region = ("ph", "sg")[client % 2]
            for name in (f"shared-{number}", f"own-{client}-{number}"):
                answer = web.post(
                    "/v1/verifications",
                    {"signature_id": name, "region": region, "context": {"client": client}},
                    name=SHOP if client % 4 == 3 else ALL,
                )
                assert answer.json["signature_id"] == name
                assert answer.json["region"] == region
                assert (
                    answer.json["url"]
                    == answer.headers.get("location")
                    == f"/v1/verifications/{region}/{name}"
                )
                assert (answer.status == 202) is answer.json["new"]
                found.append((region, name, client, answer.json["new"]))
        return found

    with ThreadPoolExecutor(CLIENTS) as threads:
        found = [each for answers in threads.map(send, range(CLIENTS)) for each in answers]
    new = Counter((region, name) for region, name, _, is_new in found if is_new)
    assert set(new) == {(region, name) for region, name, _, _ in found}
    assert set(new.values()) == {1}
    counts = {region: Stats(redis).counts(region).enqueued for region in ("ph", "sg")}
    assert counts == dict.fromkeys(("ph", "sg"), ROUNDS + ROUNDS * CLIENTS // 2)
    for region, name, client, is_new in found:
        if not is_new:
            continue
        status = ledger.status(region, name)
        assert status is not None
        # What the ledger has is of the request that was told that it is new.
        assert status.verification.context == f'{{"client":{client}}}'
        assert status.verification.pipeline == ("shop" if client % 4 == 3 else "default")


def test_a_request_with_a_key_gets_the_same_answer_again_beside_others(web: Web) -> None:
    def send(number: int) -> tuple[int, bool]:
        headers = {"Idempotency_Key": "one-key"} if number % 2 else {}
        answer = web.post("/v1/verifications", {"signature_id": "a", "region": "ph"}, **headers)
        return number % 2, answer.json["new"]

    assert send(1) == (1, True)
    with ThreadPoolExecutor(CLIENTS) as threads:
        found = Counter(threads.map(send, range(40)))
    assert found == {(0, False): 20, (1, True): 20}

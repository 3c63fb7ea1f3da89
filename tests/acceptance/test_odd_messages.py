"""Messages that no Celery client of ours sends: no JSON, no envelope, compressed, huge, or as other languages write."""

from __future__ import annotations

import base64
import bz2
import json
import lzma
import re
import signal
import uuid
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import amqp
import pytest
from celery import Celery

from tests.support.rabbitmq import installed
from tests.support.waiting import until

if TYPE_CHECKING:
    from tests.acceptance.fleet import Fleet, Process
    from tests.support.rabbitmq import RabbitMQ

pytestmark = pytest.mark.timeout(240)

MARKER: Final = "JuanDelaCruz"

#: What a bomb unpacks to, and how much more memory a worker may have taken after all of them.
BOMB_BYTES: Final = 400 * 1024 * 1024
MEMORY_KB: Final = 250 * 1024


def envelope(body: Any = None, **changes: Any) -> dict[str, Any]:
    """A message in kombu's envelope. `headers` and `properties` are added to those of a good one."""
    packed = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = {"id": str(uuid.uuid4()), "task": "tasks.enqueue", "origin": "gen7@pipeline-3"}
    properties = {
        "body_encoding": "base64",
        "delivery_tag": str(uuid.uuid4()),
        "delivery_mode": 2,
        "delivery_info": {"exchange": "", "routing_key": "celery"},
        "priority": 0,
    }
    message = {
        "body": base64.b64encode(packed).decode(),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": headers | changes.pop("headers", {}),
        "properties": properties | changes.pop("properties", {}),
    }
    return message | {name.replace("_", "-"): value for name, value in changes.items()}


def task(signature_id: str = "pass-x") -> list[Any]:
    return [[], {"signature_id": signature_id, "region": "ph", "context": {"name": MARKER}}, {}]


def odd() -> list[bytes]:
    """Raw items of the queue's list, each wrong in a way of its own."""
    no_tag = envelope(task())
    del no_tag["properties"]["delivery_tag"]
    good = task()
    messages: list[Any] = [
        envelope(good) | {"headers": ["a"]},
        envelope(good) | {"headers": "a"},
        envelope(good) | {"properties": None},
        envelope(good) | {"body": 5},
        envelope(good) | {"body": f"no base64: {MARKER}"},
        envelope(good, properties={"body_encoding": "rot13"}),
        envelope(good, properties={"delivery_info": None}),
        envelope(good, content_type="application/x-python-serialize"),
        envelope(good, content_type="text/plain"),
        envelope(good, content_type=None),
        envelope(good, content_encoding="no-such-encoding"),
        envelope(b"\xff\xfe\x00", content_encoding="utf-8"),
        envelope(b"\x80\x04\x95"),
        envelope(b"[" * 100_000),
        envelope(b"9" * 10_000),
        envelope(f'[[], {{"signature_id": NaN, "{MARKER}": Infinity}}, {{}}]'.encode()),
        envelope([[], [], []]),
        envelope([5, {}, {}]),
        envelope([["pass-x", "ph"], {}, 5]),
        envelope([["pass-x", "ph"], {}, {"callbacks": 5}]),
        envelope([["pass-x", "ph"], {}, {"chain": [MARKER]}]),
        envelope({"args": 5, "kwargs": MARKER}),
        envelope(good, headers={"task": {}}),
        envelope(good, headers={"task": None}),
        envelope(good, headers={"id": None}),
        envelope(good, headers={"timelimit": 5}),
        envelope(good, headers={"eta": [MARKER]}),
        envelope(good, headers={"expires": MARKER}),
        envelope(good, headers={"compression": "application/x-gzip"}),
        envelope(good, headers={"compression": "no-such-compression"}),
        envelope(good, headers={"compression": {}}),
        no_tag,
        {},
        [],
        None,
        5,
        MARKER,
    ]
    return [
        b"",
        b"\xff\xfe",
        b"no JSON",
        f'{{"{MARKER}'.encode(),
        *(json.dumps(message).encode() for message in messages),
    ]


def bombs() -> list[tuple[str, bytes]]:
    """What unpacks to `BOMB_BYTES` of blanks between the brackets of an empty list, or is huge as it is."""
    return [
        ("application/x-gzip", _packed(zlib.compressobj(), BOMB_BYTES)),
        ("application/x-bz2", _packed(bz2.BZ2Compressor(), BOMB_BYTES // 4)),
        ("application/x-lzma", _packed(lzma.LZMACompressor(preset=0), BOMB_BYTES // 2)),
        ("", b"[" + b" " * (4 * 1024 * 1024) + b"]"),
        ("", b"[" + b" " * (16 * 1024 * 1024) + b"]"),
    ]


def _packed(compressor: Any, size_bytes: int) -> bytes:
    chunk = b" " * (4 * 1024 * 1024)
    pieces = [compressor.compress(b"[")]
    pieces += [compressor.compress(chunk) for _ in range(size_bytes // len(chunk))]
    return b"".join([*pieces, compressor.compress(b"]"), compressor.flush()])


def peak_kb(pid: int) -> int:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    assert found is not None
    return int(found[1])


def refused(fleet: Fleet, worker: Process) -> int:
    """Messages that the worker has refused by its end: of one cause a minute there is one line, with a count."""
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    lines = [json.loads(line) for line in fleet.log("w1").splitlines() if "message_refused" in line]
    return sum(line.get("repeated", 1) for line in lines)


def test_no_message_of_any_kind_ends_a_worker(fleet: Fleet) -> None:
    worker = fleet.worker()
    messages = odd()
    with fleet.redis() as redis:
        for item in messages:
            redis.lpush("celery", item)
        redis.lpush("celery", json.dumps(envelope(task("pass-last"))))
        fleet.await_done(1)
        until(lambda: redis.llen("celery") == 0, "the queue is empty")
        until(lambda: redis.hlen("unacked") == 0, "none is taken and forgotten", 15.0)
    assert worker.poll() is None
    assert refused(fleet, worker) >= len(messages) // 2
    assert MARKER not in fleet.log("w1")
    assert "Traceback" not in fleet.log("w1")


def test_nothing_unpacks_beyond_its_limit(fleet: Fleet) -> None:
    worker = fleet.worker()
    before_kb = peak_kb(worker.pid)
    with fleet.redis() as redis:
        for compression, body in bombs():
            headers = {"compression": compression} if compression else {}
            redis.lpush("celery", json.dumps(envelope(body, headers=headers)))
        small = zlib.compress(json.dumps(task("pass-last")).encode())
        redis.lpush("celery", json.dumps(envelope(small, headers={"compression": "application/x-gzip"})))
        fleet.await_done(1)
        until(lambda: redis.llen("celery") == 0, "the queue is empty")
    assert worker.poll() is None
    assert peak_kb(worker.pid) - before_kb < MEMORY_KB
    assert refused(fleet, worker) == len(bombs())


@pytest.mark.skipif(not installed(), reason="needs Debian's rabbitmq-server")
def test_neither_does_it_on_rabbitmq(fleet: Fleet, rabbitmq: RabbitMQ) -> None:
    fleet.environment["CELERY_BROKER_URL"] = rabbitmq.url
    worker = fleet.worker()
    before_kb = peak_kb(worker.pid)
    port = int(re.sub(r".*:(\d+)//$", r"\1", rabbitmq.url))
    with amqp.Connection(f"127.0.0.1:{port}") as connection:
        publish = connection.channel().basic_publish
        good: dict[str, Any] = {"task": "tasks.enqueue", "id": "7d0c"}
        kinds: list[tuple[bytes, dict[str, Any]]] = [
            (b"", {}),
            (b"no JSON", good),
            (b"\xff\xfe", good),
            (b"[" * 100_000, good),
            (b"{}", {"task": 5}),
            (b"[[], {}, {}]", {"task": "tasks.enqueue"}),
            *((body, good | ({"compression": packed} if packed else {})) for packed, body in bombs()[:4]),
        ]
        for body, headers in kinds:
            publish(
                amqp.Message(
                    body,
                    content_type="application/json",
                    content_encoding="utf-8",
                    application_headers=headers,
                ),
                routing_key="celery",
            )
    Celery("p", broker=rabbitmq.url).send_task(
        "tasks.enqueue", kwargs={"signature_id": "pass-1", "region": "ph"}
    )
    fleet.await_done(1)
    assert worker.poll() is None
    assert peak_kb(worker.pid) - before_kb < MEMORY_KB


def protocol_1(signature_id: str) -> dict[str, Any]:
    return {
        "id": str(uuid.uuid4()),
        "task": "tasks.enqueue",
        "args": [signature_id, "ph"],
        "kwargs": {},
        "retries": 0,
        "eta": None,
        "expires": None,
    }


def test_what_other_languages_write_for_nothing_is_absent(fleet: Fleet) -> None:
    """Clients in Go, of protocol 1 and 2."""
    fleet.worker()
    by_name = {"signature_id": "pass-4", "region": "ph"}
    messages = [
        (protocol_1("pass-1") | {"kwargs": None}, {}),
        (protocol_1("pass-2") | {"eta": "", "expires": ""}, {}),
        (protocol_1("pass-3") | {"args": None, "kwargs": {"signature_id": "pass-3", "region": "ph"}}, {}),
        ([None, by_name, None], {}),
        ([["pass-5", "ph"], None, {}], {}),
        ([["pass-6", "ph"], {}, {}], {"eta": "", "expires": ""}),
    ]
    with fleet.redis() as redis:
        for body, headers in messages:
            message = envelope(body, headers=headers)
            if isinstance(body, dict):
                message["headers"] = {}
            redis.lpush("celery", json.dumps(message))
    fleet.await_done(len(messages))
    assert "message_refused" not in fleet.log("w1")


def test_a_refused_enqueue_says_which_field_and_who_sent_it(fleet: Fleet) -> None:
    fleet.worker()
    app = Celery("p", broker=fleet.redis_url)
    sent = app.send_task("tasks.enqueue", kwargs={"signature_id": MARKER + " ", "region": "ph"})
    app.send_task("tasks.enqueue", kwargs={"signature_id": "a", "region": MARKER})
    app.send_task("tasks.enqueue", kwargs={"signature_id": "a", "region": "my"})
    app.send_task("tasks.enqueue", kwargs={"signature_id": "a", "region": "ph", "name": MARKER})

    def lines() -> list[dict[str, Any]]:
        log = fleet.log("w1").splitlines()
        return [json.loads(line) for line in log if "enqueue_refused" in line]

    until(lambda: len(lines()) == 4, "all are refused")
    assert {line["level"] for line in lines()} == {"warning"}
    assert sorted(line["field"] for line in lines()) == ["arguments", "region", "region", "signature_id"]
    (line,) = (line for line in lines() if line["field"] == "signature_id")
    assert line["id"] == sent.id
    assert "@" in line["origin"]
    assert MARKER not in fleet.log("w1")
    with fleet.redis() as redis:  # A refusal is counted after its line is written.
        counts = {b"arguments": b"1", b"region": b"2", b"signature_id": b"1"}
        until(lambda: redis.hgetall("ekyc:enqueue_refused") == counts, "all are counted")

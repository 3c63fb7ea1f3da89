"""Timestamps of RFC 3161: an independent authority signs that a checkpoint existed on a day.

A checkpoint and its answer are two files, written once: `timestamps/<day>.checkpoint` and `timestamps/<day>.tsr`.
"""

from __future__ import annotations

import base64
import hashlib
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import requests
from rfc3161_client import HashAlgorithm, TimestampRequestBuilder, decode_timestamp_response

from worker.errors import TimestampUnavailable
from worker.evidence.log.checkpoint import Checkpoint
from worker.evidence.log.commits import CHECKPOINT
from worker.evidence.log.notes import NoteRefused
from worker.http_client import deadline, fault, read_bounded, session

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from rfc3161_client import TimeStampResponse

    from worker.evidence.log.commits import RegionLog

#: What begins the names of the files below the folder of a log.
FOLDER: Final = "timestamps/"

#: How long an authority may take, in seconds, and the most bytes of its answer.
CALL_S: Final = 20.0
MAX_ANSWER: Final = 64 * 1024

_FILE: Final = re.compile(r"timestamps/\d{4}-\d{2}-\d{2}\.(checkpoint|tsr)")
_GRANTED: Final = frozenset({0, 1})


class Authority:
    """A timestamp authority, by its URL.

    Parameters:
        proxy: see ``worker.http_client``; `ca_bundle` too.
    """

    def __init__(self, url: str, *, proxy: str = "", ca_bundle: str = "") -> None:
        self._url = url
        self._session = session(proxy=proxy, ca_bundle=ca_bundle)

    def stamp(self, text: bytes) -> bytes:
        """Return the authority's answer for a text, with its certificate. Raises ``TimestampUnavailable``."""
        query = TimestampRequestBuilder().data(text).hash_algorithm(HashAlgorithm.SHA256).build()
        request = requests.Request(
            "POST",
            self._url,
            headers={"Content-Type": "application/timestamp-query", "Accept": "application/timestamp-reply"},
            data=query.as_bytes(),
        )
        try:
            prepared = self._session.prepare_request(request)
            with deadline(CALL_S), self._session.send(prepared, stream=True) as response:
                if response.status_code != requests.codes.ok:
                    raise TimestampUnavailable(f"the timestamp authority answers HTTP {response.status_code}")
                raw = read_bounded(response, MAX_ANSWER)
        except requests.RequestException as error:
            raise TimestampUnavailable(f"the timestamp authority does not answer ({fault(error)})") from None
        answer = _decoded(raw)
        if answer is None:
            raise TimestampUnavailable("the timestamp authority does not answer with a granted timestamp")
        if answer.tst_info.message_imprint.message != hashlib.sha256(text).digest():
            raise TimestampUnavailable("the timestamp authority answers with the timestamp of another text")
        if answer.tst_info.nonce != query.nonce:
            raise TimestampUnavailable("the timestamp authority answers with an old timestamp")
        return raw


def stamp_day(log: RegionLog, authority: Authority, now: datetime) -> str | None:
    """Have the log's checkpoint stamped for the day that ended last, unless it is. Return the day; None: nothing new.

    Safe to repeat and to kill: what is stamped is written first, and once. Raises ``EvidenceUnavailable``,
    ``LogDamaged`` and ``TimestampUnavailable``.
    """
    day = (now.astimezone(UTC) - timedelta(days=1)).date()
    answer = f"{_stem(day)}.tsr"
    if log.read(answer) is not None:
        return None
    note = log.read(CHECKPOINT)
    if note is None or log.checkpoint() is None or note == _newest_stamped(log, day):
        return None
    if not log.create(f"{_stem(day)}.checkpoint", note):
        note = log.read(f"{_stem(day)}.checkpoint") or note
    log.create(answer, authority.stamp(note))
    return day.isoformat()


def _newest_stamped(log: RegionLog, before: date) -> bytes | None:
    """Return the newest checkpoint of an earlier day that has its timestamp; None: there is none."""
    names = (name for name in log.names(FOLDER.rstrip("/")) if is_file(name) and name.endswith(".tsr"))
    earlier = [stem for name in names if (stem := name.removesuffix(".tsr")) < _stem(before)]
    return log.read(f"{max(earlier)}.checkpoint") if earlier else None


def is_file(name: str) -> bool:
    """Whether a name below the folder of a log is that of a timestamp."""
    return bool(_FILE.fullmatch(name))


def fault_of(log: RegionLog, name: str, roots: Mapping[int, bytes]) -> str | None:
    """Return what is wrong with a file of timestamps; None: nothing. `roots`: those of the commits, by size.

    Whether the authority can be trusted is not checked here: `openssl ts -verify` does so by its certificate.
    """
    stem, _, kind = name.rpartition(".")
    note = log.read(f"{stem}.checkpoint")
    if note is None:
        return "is a timestamp without its checkpoint"
    if kind == "checkpoint":
        try:
            checkpoint = Checkpoint.opened(note, log.keys.verifiers(log.region), log.origin)
        except NoteRefused as error:
            return str(error)
        return None if roots.get(checkpoint.size) == checkpoint.root else "is of no commit of this log"
    answer = _decoded(log.read(name) or b"")
    if answer is None or answer.tst_info.message_imprint.message != hashlib.sha256(note).digest():
        return "is not the timestamp of its checkpoint"
    return None


def base64_of(raw: bytes) -> str:
    """Return bytes in base64, as checkpoints and the ledger have them."""
    return base64.b64encode(raw).decode()


def _decoded(raw: bytes) -> TimeStampResponse | None:
    try:
        answer = decode_timestamp_response(raw)
        if answer.status in _GRANTED and answer.tst_info is not None:
            return answer
    except ValueError:
        pass
    return None


def _stem(day: date) -> str:
    return f"{FOLDER}{day.isoformat()}"

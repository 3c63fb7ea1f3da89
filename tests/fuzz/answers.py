"""Random answers of the vendor: bytes that were damaged, and JSON that was changed, read as a worker reads them.

    python -m tests.fuzz.answers [--seconds 30] [--seed N]

The properties: no answer ends the reader or makes it wait, its time and memory grow with the length of an answer and no
faster, and it approves only what an independent reader finds to be PASS with SUCCESS for the id that was asked.
"""

from __future__ import annotations

import argparse
import json
import random
import signal
import sys
import time
import tracemalloc
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from tests.support.answer_path import ASKED, answer_to, fate, may_be_approved
from tests.support.odd_answers import ROWS
from tests.unit import vendor_examples
from worker.advance.answers import classify_token
from worker.advance.exchange import Exchange

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

#: Whom nobody asks about.
OTHER: Final = "other-person"

#: The longest answer: twice what a full one of the vendor with images in it has. Most are far shorter.
LONGEST: Final = 2 * 1024 * 1024

#: The bound of the time of one answer, in seconds of this thread: ten times of what the slowest took.
FIRST_S: Final = 0.5
PER_MIB_S: Final = 2.0

#: The bound of its memory, in bytes: of 20,000 values, and of each byte.
FIRST_BYTES: Final = 24 * 1024 * 1024
PER_BYTE: Final = 48

#: After this time of the clock, an answer is one that never ends.
HANGS_S: Final = 60.0

#: One in so many answers is made longer, in steps, and measured.
MEASURED: Final = 400

TOKENS: Final = tuple(
    text.encode()
    for text in (
        *(
            '"PASS"',
            '"FAIL"',
            '"INCOMPLETE"',
            '"SUCCESS"',
            '"ERROR"',
            "null",
            "true",
            "false",
            "0",
            "-1",
            "NaN",
            "1e999",
        ),
        *(
            '""',
            "[]",
            "{}",
            "[[",
            "{{",
            "]",
            "}",
            ",",
            ":",
            '"',
            "\\",
            "\\u0050",
            "\\ud800",
            "//",
            "'",
            "\0",
            "\ufeff",
        ),
        *(
            '"overallResult":"PASS",',
            '"overallResult":null,',
            '"errorCode":"SUCCESS",',
            '"idvResult":"FAIL",',
        ),
        *(
            f'"signatureId":"{OTHER}",',
            f'"signatureId":"{ASKED}",',
            '"code":"SUCCESS",',
            '"errorCodes":["SUCCESS"],',
        ),
        *(
            '"data":{',
            '"code":"SERVICE_BUSY"',
            '"docResult":"FAIL",',
            '"livenessAttackType":1,',
            "\u017f",
            "\u0130",
        ),
    )
)

#: What a value is replaced by.
VALUES: Final[tuple[Any, ...]] = (
    *(
        None,
        True,
        False,
        0,
        1,
        3,
        -1,
        1e300,
        float("nan"),
        "",
        " ",
        "PASS",
        "pass",
        "FAIL",
        "INCOMPLETE",
        "SUCCESS",
    ),
    *(
        "success",
        "ID_FORGERY_DETECTED",
        "LIVENESS_ATTACK",
        ASKED,
        ASKED.upper(),
        OTHER,
        "\u017fuccess",
        "PASS\0",
        [],
        {},
    ),
    *(["SUCCESS"], ["SUCCESS", "ERROR"], [None], [[]], {"front": None}, "x" * 70, "\ud800", 10**400),
)

NAMES: Final = (
    *(
        "signatureId",
        "overallResult",
        "idvResult",
        "errorCode",
        "errorCodes",
        "submissionCompleted",
        "docDetail",
    ),
    *(
        "docResult",
        "ocrResult",
        "faceDetail",
        "faceResult",
        "livenessAttackType",
        "faceLivenessScore",
        "code",
        "data",
    ),
    *(
        "forgeryLabels",
        "docType",
        "qualityLabels",
        "eventDetails",
        "docFrontImage",
        "addressDetail",
        "transactionId",
    ),
)

ENCODINGS: Final = (
    "utf-8",
    "utf-8",
    "utf-8",
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "latin-1",
)

STATUSES: Final = (*[200] * 12, 201, 204, 301, 400, 401, 404, 429, 500, 503)


def seeds() -> list[bytes]:
    """Answers to begin with: those of the tests, as they are and with what makes them short."""
    found = [row.body(ASKED) for row in ROWS] + [
        text.encode()
        for name, text in vars(vendor_examples).items()
        if isinstance(text, str) and name.isupper()
    ]
    return [each for each in found if len(each) < 64 * 1024]


class Changes:
    """Damages answers as chance has it."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self.seeds = seeds()
        self._parsed = [parsed for each in self.seeds if isinstance(parsed := _parsed(each), dict)]

    def answer(self) -> bytes:
        """A new answer."""
        raw = self._structured() if self._chance.random() < 0.6 else self._chance.choice(self.seeds)
        for _ in range(self._chance.choice((0, 1, 1, 2, 5)) if raw else 0):
            raw = self._damaged(raw)
        return raw[:LONGEST]

    def longer(self, raw: bytes) -> Iterator[bytes]:
        """The same answer with one of its pieces repeated, each time to twice the length."""
        start = self._chance.randrange(len(raw) + 1)
        end = min(len(raw), start + self._chance.choice((1, 2, 7, 40, 300)))
        piece = raw[start:end] or b"["
        size = 64 * 1024
        while size <= LONGEST:
            yield raw[:start] + piece * (size // len(piece)) + raw[end:]
            size *= 2

    def _structured(self) -> bytes:
        document = json.loads(json.dumps(self._chance.choice(self._parsed)))
        for _ in range(self._chance.choice((0, 1, 1, 2, 4))):
            self._change(document)
        text = json.dumps(document, ensure_ascii=self._chance.random() < 0.5)
        if self._chance.random() < 0.3:
            # A name for a second time, which `json` does not write.
            name, value = json.dumps(self._chance.choice(NAMES)), json.dumps(self._chance.choice(VALUES))
            at = self._chance.choice([at for at, mark in enumerate(text) if mark == "{"])
            text = f"{text[: at + 1]}{name}:{value},{text[at + 1 :]}"
        return text.encode(self._chance.choice(ENCODINGS), "replace")

    def _change(self, document: dict[str, Any]) -> None:
        """Change one member of one object, anywhere."""
        place = self._chance.choice(list(_objects(document)))
        kind = self._chance.randrange(4)
        names = [*place] or ["x"]
        name = self._chance.choice(names if kind < 2 else NAMES)
        if kind == 0:
            place.pop(name, None)
        elif kind == 1:
            place[
                self._chance.choice((name.upper(), name.lower(), f" {name}", name.replace("s", "\u017f")))
            ] = place.get(name)
        else:
            # A copy: the next change may choose an object within it, and put the same value there.
            place[name] = deepcopy(self._chance.choice(VALUES))

    def _damaged(self, raw: bytes) -> bytes:
        at, length = self._chance.randrange(len(raw) + 1), self._chance.choice((1, 1, 2, 8, 64))
        match self._chance.randrange(7):
            case 0:
                return raw[:at]
            case 1:
                return raw[:at] + raw[at + length :]
            case 2:
                return raw[:at] + self._chance.randbytes(length) + raw[at + length :]
            case 3:
                return (
                    raw[:at] + raw[at : at + length] * self._chance.choice((2, 3, 100)) + raw[at + length :]
                )
            case 4:
                other = self._chance.choice(self.seeds)
                return raw[:at] + other[self._chance.randrange(len(other) + 1) :]
        return raw[:at] + self._chance.choice(TOKENS) + raw[at:]


def _parsed(raw: bytes) -> Any:
    try:
        return json.loads(raw)
    except (ValueError, RecursionError):
        return None


def _objects(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value:
        if isinstance(inner, dict | list):
            yield from _objects(inner)


@dataclass
class Outcome:
    """What a run found."""

    answers: int = 0
    approved: int = 0
    measured: int = 0
    slowest_s: float = 0.0
    broken: list[str] = field(default_factory=list)


class Hangs(Exception):
    """An answer takes longer than any may."""


@contextmanager
def _ended() -> Iterator[None]:
    """Raise ``Hangs`` in what takes too long."""

    def end(*_: Any) -> None:
        raise Hangs

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, HANGS_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def check(raw: bytes, outcome: Outcome, *, status: int = 200, read: Callable[..., str] = fate) -> None:
    """Read one answer, and add what is wrong to `outcome`."""
    outcome.answers += 1
    began = time.thread_time()
    try:
        with _ended():
            decided = read(raw, status=status)
            repr(answer_to(raw, status=status))
            classify_token(Exchange(status, body=raw), now=0.0)
    except Exception as error:  # noqa: BLE001 - whatever it is, it ends a worker's greenlet
        outcome.broken.append(f"{type(error).__name__} for HTTP {status} and {raw[:4096]!r}")
        return
    took_s = time.thread_time() - began
    outcome.slowest_s = max(outcome.slowest_s, took_s)
    if took_s > FIRST_S + PER_MIB_S * len(raw) / 2**20:
        outcome.broken.append(f"{took_s:.1f} s for {len(raw)} bytes: {raw[:1024]!r}")
    if decided == "approve":
        outcome.approved += 1
        if status != 200 or not may_be_approved(raw):
            outcome.broken.append(f"approved HTTP {status} and {raw[:4096]!r}")


def measure(raw: bytes, outcome: Outcome) -> None:
    """Check the memory that one answer takes."""
    outcome.measured += 1
    tracemalloc.start()
    try:
        answer_to(raw)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak > FIRST_BYTES + PER_BYTE * len(raw):
        outcome.broken.append(f"{peak} bytes of memory for {len(raw)} bytes: {raw[:1024]!r}")


def run(seed: int, seconds: float, *, answers: int = sys.maxsize, read: Callable[..., str] = fate) -> Outcome:
    """Read answers until `seconds` have passed, or one breaks a property."""
    outcome, chance, over_at = Outcome(), random.Random(seed), time.monotonic() + seconds
    changes = Changes(chance)
    for each in changes.seeds:
        check(each, outcome, read=read)
    while outcome.answers < answers and not outcome.broken and time.monotonic() < over_at:
        raw = changes.answer()
        check(raw, outcome, status=chance.choice(STATUSES), read=read)
        if outcome.answers % MEASURED == 0:
            for longer in changes.longer(raw):
                check(longer, outcome, read=read)
                measure(longer, outcome)
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(2**32))
    arguments = parser.parse_args()
    outcome = run(arguments.seed, arguments.seconds)
    sys.stdout.write(
        f"seed {arguments.seed}: {outcome.answers} answers, {outcome.approved} approved, {outcome.measured} measured, "
        f"the slowest took {outcome.slowest_s:.3f} s\n"
    )
    sys.exit("\n".join(outcome.broken) or None)


if __name__ == "__main__":
    main()

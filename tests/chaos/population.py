"""The verifications of a run, and their expected outcomes."""

from __future__ import annotations

import json
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Any, Final

from sandbox.grammar import parse
from sandbox.scenario import DOCUMENTED, Shape, catalogue
from schemas.enqueue import EnqueueRequest

if TYPE_CHECKING:
    from tests.chaos.profile import Profile

REGIONS: Final = ("ph", "sg")

#: The weight of each kind of id, and its magic words (see `docs/sandbox.md`); a result's code and digits are added.
#: Many are slow, so that a crash at any moment interrupts something.
_MIX: Final = (
    (40, ""),
    (20, "n2"),
    (12, "sub1-n4"),
    (40, "latency1500msx4-n2"),
    (20, "latency3sx2"),
    (8, "http500-n1"),
    (8, "truncated-reset"),
    (28, "imgslow2s"),
    (8, "imgexpired"),
    (6, "img503x2"),
    (4, "lag1"),
    (1, "tokenexpired"),
    (5, "UNREADABLE"),
)
_UNREADABLE: Final = ("nosigid", "unknownresult", "nodata")
_UNREADABLE_SHAPES: Final = frozenset({Shape.NO_SIGNATURE_ID, Shape.UNKNOWN_RESULT, Shape.NO_DATA})

#: The decision for each code, from the hand-written expectations of the sandbox's catalogue.
_DECISIONS: Final = {
    entry.expect.error_code: entry.expect.decision
    for entry in catalogue()
    if entry.id_prefix in {"pass", *DOCUMENTED}
}


@dataclass(frozen=True, slots=True)
class Traveller:
    """One verification, and the name of its expected decision; None: quarantine."""

    signature_id: str
    region: str
    context: dict[str, Any]
    decision: str | None

    def request(self) -> EnqueueRequest:
        return EnqueueRequest(self.signature_id, self.region, json.dumps(self.context, separators=(",", ":")))


@dataclass(frozen=True, slots=True)
class Wave:
    """The verifications that are enqueued in one call, and when."""

    at_s: float
    travellers: tuple[Traveller, ...]


def waves(seed: int, profile: Profile) -> tuple[Wave, ...]:
    """Return all verifications in calls of 1 to 40, spread over `travel_s`; one in thirty is enqueued again."""
    random = Random(f"{seed}:{profile.name}:population")
    travellers = [traveller(random, number, seed) for number in range(profile.verifications)]
    calls: list[tuple[Traveller, ...]] = []
    at = 0
    while at < len(travellers):
        size = random.randint(1, 40)
        again = random.sample(travellers[:at], min(at, size // 30))
        calls.append((*travellers[at : at + size], *again))
        at += size
    step_s = profile.travel_s / len(calls)
    return tuple(Wave(step_s * (turn + random.random()), call) for turn, call in enumerate(calls))


def traveller(random: Random, number: int, seed: int, words: str | None = None) -> Traveller:
    """Return a verification whose id asks for `words`; None: for words of the mix, at random."""
    if words is None:
        weights, kinds = zip(*_MIX, strict=True)
        words = random.choices(kinds, weights)[0]
    if words == "UNREADABLE":
        words = random.choice(_UNREADABLE)
    elif words:
        words = f"{random.choice(['pass', 'pass', *DOCUMENTED])}-{words}"
    signature_id = f"{words}-{number:06d}" if words else f"{random.getrandbits(64):016x}{number:06d}"
    return Traveller(
        signature_id,
        random.choice(REGIONS),
        {"application": number},
        expected(signature_id, seed),
    )


def expected(signature_id: str, seed: int) -> str | None:
    """Return the name of the expected decision of an id; None: quarantine."""
    scenario = parse(signature_id, seed=seed)
    if scenario.shapes & _UNREADABLE_SHAPES:
        return None
    return _DECISIONS[scenario.error_code]

"""Who travels: the verifications of a run, and what must become of each."""

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

#: How often each kind of id comes, and its magic words (see `docs/sandbox.md`); a result's code and digits follow.
#: Many are slow, so that a crash at any moment has something to cut off.
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

#: What the default table makes of each code, by the hand-written expectations of the sandbox's catalogue.
_DECISIONS: Final = {
    entry.expect.error_code: entry.expect.decision
    for entry in catalogue()
    if entry.id_prefix in {"pass", *DOCUMENTED}
}


@dataclass(frozen=True, slots=True)
class Traveller:
    """One verification, and its decision's name as it must be; None: it must end in quarantine."""

    signature_id: str
    region: str
    context: dict[str, Any]
    decision: str | None

    def request(self) -> EnqueueRequest:
        return EnqueueRequest(self.signature_id, self.region, json.dumps(self.context, separators=(",", ":")))


@dataclass(frozen=True, slots=True)
class Wave:
    """What is enqueued in one call, and when."""

    at_s: float
    travellers: tuple[Traveller, ...]


def waves(seed: int, profile: Profile) -> tuple[Wave, ...]:
    """The whole population in calls of 1 to 40, spread over the travel time; one in thirty is enqueued again."""
    random = Random(f"{seed}:{profile.name}:population")
    everybody = [traveller(random, number, seed) for number in range(profile.verifications)]
    calls: list[tuple[Traveller, ...]] = []
    at = 0
    while at < len(everybody):
        size = random.randint(1, 40)
        again = random.sample(everybody[:at], min(at, size // 30))
        calls.append((*everybody[at : at + size], *again))
        at += size
    step_s = profile.travel_s / len(calls)
    return tuple(Wave(step_s * (turn + random.random()), call) for turn, call in enumerate(calls))


def traveller(random: Random, number: int, seed: int, words: str | None = None) -> Traveller:
    """One verification whose id asks for `words`; None: for what the mix has."""
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
    """The name of the decision that an id must come to; None: quarantine."""
    scenario = parse(signature_id, seed=seed)
    if scenario.shapes & _UNREADABLE_SHAPES:
        return None
    return _DECISIONS[scenario.error_code]

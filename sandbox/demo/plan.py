"""The verifications of a demo, how each is enqueued, and its expected outcome: all examples, and plain ids."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2b
from random import Random
from typing import TYPE_CHECKING, Any, Final

from sandbox.callbacks import COMPLETED, CallbackSettings, is_announced
from sandbox.catalogue import Expectation, catalogue
from sandbox.grammar import parse
from sandbox.scenario import Kind, Links
from schemas.enqueue import load_enqueue

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sandbox.catalogue import Entry
    from sandbox.scenario import Scenario
    from worker.enqueue_request import EnqueueRequest

#: The regions without holds.
REGIONS: Final = ("ph", "sg", "my", "th")

#: Those of them about which the vendor sends callbacks, and loses half of them: the others of the same regions, which
#: are polled at the same times, show what a callback is worth.
CALLBACK_REGIONS: Final = REGIONS[:2]
CALLBACKS: Final = CallbackSettings(lost=0.5)

#: The region whose vendor is busy, and the one whose account has faults: they are on hold while the others continue.
BUSY_REGION: Final = "vn"
ACCOUNT_REGION: Final = "global"

#: Codes that hold a region for seconds. All other holds wait for a person.
_BUSY: Final = frozenset({"SERVICE_BUSY", "RETRY_LATER"})

_SHOWN: Final = tuple(entry for entry in catalogue() if entry.demo)

#: Examples that take too long for a demo.
NOT_SHOWN: Final = tuple(entry.id_prefix for entry in catalogue() if not entry.demo)

#: One verification for each example.
FEWEST: Final = len(_SHOWN)


class Way(StrEnum):
    """How a verification is enqueued."""

    PYTHON = "worker.client"
    COMMAND = "ekyc enqueue"
    MESSAGE = "tasks.enqueue"
    HTTP = "POST /v1/verifications"


#: A third of the verifications by HTTP. Their number has no divisor in common with that of the regions, so each way is
#: used in each region.
_WAYS: Final = (
    *(Way.HTTP, Way.PYTHON, Way.COMMAND),
    *(Way.HTTP, Way.MESSAGE, Way.PYTHON),
    *(Way.HTTP, Way.COMMAND, Way.MESSAGE),
)


@dataclass(frozen=True, slots=True)
class Planned:
    """One planned verification."""

    signature_id: str
    region: str
    way: Way
    #: What the pipeline attaches, and receives with the decision.
    context: dict[str, Any]
    expect: Expectation
    #: No fault of the vendor: the result only takes time.
    smooth: bool
    #: The vendor has a callback about its result, sent or lost.
    announced: bool = False
    #: That callback is sent.
    called_back: bool = False

    @property
    def compared(self) -> bool:
        """True if a callback can bring its decision forward, and no fault delays it."""
        return self.smooth and self.announced

    @property
    def never_ready(self) -> bool:
        """True if the vendor never has a result for it."""
        return self.expect.outcome == "quarantined" or self.expect.overall_result is None

    def request(self) -> EnqueueRequest:
        return load_enqueue(
            {"signature_id": self.signature_id, "region": self.region, "context": self.context}
        )


@dataclass(frozen=True, slots=True)
class Plan:
    """All of a demo's verifications.

    Parameters:
      at_once: enqueued at the start.
      one_by_one: faults of the account. Each holds its region until an operator resumes it; then the next is enqueued.
    """

    at_once: tuple[Planned, ...]
    one_by_one: tuple[Planned, ...]

    @property
    def all(self) -> tuple[Planned, ...]:
        return self.one_by_one + self.at_once

    @property
    def ids_by_region(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {region: [] for region in self.regions}
        for planned in self.all:
            found[planned.region].append(planned.signature_id)
        return found

    @property
    def regions(self) -> tuple[str, ...]:
        return (*REGIONS, BUSY_REGION, ACCOUNT_REGION)


def plan(total: int) -> Plan:
    """Return a plan of `total` verifications, at least ``FEWEST``. It is always the same, to make demos comparable."""
    numbered = [
        *((f"{entry.id_prefix}-{number:04d}", entry) for number, entry in enumerate(_SHOWN, start=1)),
        *((_plain(number), None) for number in range(FEWEST + 1, total + 1)),
    ]
    Random(0).shuffle(numbered)  # noqa: S311 - spreads the faults
    planned = [_planned(number, *each) for number, each in enumerate(numbered)]
    return Plan(
        at_once=tuple(verification for verification in planned if verification.region != ACCOUNT_REGION),
        one_by_one=tuple(verification for verification in planned if verification.region == ACCOUNT_REGION),
    )


def _plain(number: int) -> str:
    """Return an id in the vendor's form, in which no word has a meaning."""
    return blake2b(f"demo {number}".encode(), digest_size=8).hexdigest()


def _planned(number: int, signature_id: str, entry: Entry | None) -> Planned:
    scenario = parse(signature_id)
    region = _region(number, entry, scenario)
    announced = region in CALLBACK_REGIONS and _waits(scenario) and is_announced(scenario)
    return Planned(
        signature_id=signature_id,
        region=region,
        # Verifications that hold a region come at the same time, so that they share one hold.
        way=_WAYS[number % len(_WAYS)] if region in REGIONS else Way.PYTHON,
        context={"application": number},
        expect=entry.expect if entry else _EXPECTED[scenario.overall_result, scenario.error_code],
        smooth=_smooth(scenario),
        announced=announced,
        called_back=announced and CALLBACKS.copies(signature_id, COMPLETED) > 0,
    )


def _region(number: int, entry: Entry | None, scenario: Scenario) -> str:
    fault = scenario.faults[0] if scenario.faults else None
    if fault and fault.kind is Kind.TOKEN_EXPIRED:
        # No other id of this region has its token refused: two refusals in a row are a fault of the account.
        return BUSY_REGION
    if fault is None or entry is None or not entry.holds_region:
        return REGIONS[number % len(REGIONS)]
    return ACCOUNT_REGION if fault.kind is Kind.CODE and fault.code not in _BUSY else BUSY_REGION


def _smooth(scenario: Scenario) -> bool:
    late = scenario.latency_s or scenario.image_latency_s
    broken = scenario.faults or scenario.image_fault or scenario.dead_links
    return not late and not broken and scenario.links is not Links.PRIVATE


def _waits(scenario: Scenario) -> bool:
    return bool(scenario.nulls or scenario.wait_s)


def _plain_expectations() -> Iterator[tuple[tuple[str | None, str | None], Expectation]]:
    for entry in catalogue():
        expect = entry.expect
        if expect.outcome == "decided" and expect.evidence_complete:
            yield (expect.overall_result, expect.error_code), expect


#: The expected outcome of a plain id, by its result.
_EXPECTED: Final = dict(_plain_expectations())

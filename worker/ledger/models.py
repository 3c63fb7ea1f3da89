"""The values that go into the ledger and come out of it. Times are milliseconds of Redis's own clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class Stage(StrEnum):
    """The task a verification needs next, or how it ended."""

    POLLING = "polling"
    ARCHIVING = "archiving"
    ROUTING = "routing"
    DONE = "done"
    QUARANTINED = "quarantined"
    #: A person ended it without a decision.
    DROPPED = "dropped"


@dataclass(frozen=True, slots=True)
class Recorded:
    """What became of a write."""

    #: False: the batch no longer holds the verification, and nothing changed.
    written: bool
    #: The region is on hold because of it, until then; 0: it is not.
    held_until_ms: int = 0
    #: The breaker of the region was open, and closed because of it.
    closed_breaker: bool = False


class EvidenceState(StrEnum):
    """How much of a verification's evidence is kept."""

    COMPLETE = "complete"
    #: Something will never be had; the manifest says what and why.
    INCOMPLETE = "incomplete"
    #: The host of an image is down: decided without it, archiving goes on.
    PENDING = "pending"


@dataclass(frozen=True, slots=True)
class Batch:
    """The verifications that one claim took. `id` is the fencing token of every write that follows."""

    id: str
    region: str
    stage: Stage
    signature_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Verification:
    """One verification as the ledger knows it."""

    signature_id: str
    region: str
    stage: Stage
    enqueued_at_ms: int
    #: Answers the vendor gave so far, of whatever kind.
    polls: int = 0
    #: Null answers since the countdown last started.
    nulls: int = 0
    #: Faults in a row, and the cause they have in common.
    faults: int = 0
    fault_cause: str | None = None
    #: Faults since the deadline, for whatever causes.
    late_faults: int = 0
    #: Times that the answer that was kept of it was gone.
    losses: int = 0
    submission_completed: bool = False
    #: Of the vendor's newest answer: the only handle the vendor's support takes.
    transaction_id: str | None = None
    #: Compact JSON text of the pipeline's own.
    context: str | None = None
    overall_result: str | None = None
    error_code: str | None = None
    #: Why it was settled without a result: `DEADLINE_PASSED`, `SIGNATURE_NOT_EXIST`.
    reason: str | None = None
    settled_at_ms: int | None = None
    #: None: not archived yet.
    evidence: EvidenceState | None = None
    #: The decision's name, and its JSON exactly as it is delivered.
    decision_name: str | None = None
    decision: str | None = None
    quarantine_reason: str | None = None
    #: When a person took it out of quarantine: its deadline counts from there.
    retried_at_ms: int | None = None
    #: The moment at which this was read.
    read_at_ms: int = 0
    #: By how much the ledger's clock was ahead of Redis's own then: 0 unless that has jumped.
    clock_ahead_ms: int = 0

    def tries(self, cause: str) -> int:
        """How often it failed in a row for this cause: each has a countdown and a limit of its own."""
        return self.faults if self.fault_cause == cause else 0

    @property
    def age_s(self) -> float:
        """Since it was enqueued, or a person took it out of quarantine."""
        return (self.read_at_ms - (self.retried_at_ms or self.enqueued_at_ms)) / 1000

    @property
    def settled_for_s(self) -> float:
        """Since the vendor decided; 0 where it has not."""
        return (self.read_at_ms - self.settled_at_ms) / 1000 if self.settled_at_ms else 0.0


@dataclass(frozen=True, slots=True)
class LeaseExpired:
    """A verification whose lease ended before its batch was done; it is due again."""

    signature_id: str
    stage: Stage
    #: The worker that had loaded it; empty: none had.
    worker: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim took, and for how long there is nothing more to take."""

    batches: tuple[Batch, ...]
    sleep_s: float
    #: What it put into quarantine as `CRASHES_WORKERS`, as it was before: the claim is the first to know.
    quarantined: tuple[Verification, ...] = ()
    #: The newest act of a person on the region, whenever that was.
    act: Event | None = None
    #: Leases that had ended.
    expired: tuple[LeaseExpired, ...] = ()
    #: Set where nothing was taken, because this ledger is not the expected one.
    replaced: Identity | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """Which ledger a region has: a Redis that comes back empty, or another Redis, is another ledger."""

    #: Random; empty: it has none, as one that is new.
    id: str
    #: Identities of ledgers that people accepted to be replaced by this one.
    before: tuple[str, ...] = ()
    #: What a dispatcher expects here; empty, or the same: this is the ledger it knows.
    expected: str = ""
    #: Since when a dispatcher has found another one; 0: none has.
    since_ms: int = 0

    @property
    def is_replaced(self) -> bool:
        """Whether dispatchers claim nothing here until a person accepts this ledger."""
        return self.expected not in {"", self.id, *self.before}


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a verification's timeline, or an act of a person on a region."""

    at_ms: int
    #: `submitted`, `settled`, `archived`, `decided`, `delivered`, `fault`, `lease_expired`, `quarantined`, …
    #: `left_out` stands instead of lines for which there was no room: their kind, how many, within what time.
    name: str
    #: A code, a count, a reason; never anything personal.
    detail: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """All there is to say about one verification."""

    verification: Verification
    now_ms: int
    #: When something must next happen to it; None: nothing must.
    due_at_ms: int | None
    #: When the batch that holds it must be done; None: none does.
    leased_until_ms: int | None
    #: How often it was started without a recorded outcome since.
    starts: int
    #: The batch that holds it, where one does.
    batch_id: str | None
    timeline: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One line of the list of those that a person must look at."""

    signature_id: str
    region: str
    reason: str
    since_ms: int
    enqueued_at_ms: int
    polls: int


@dataclass(frozen=True, slots=True)
class Hold:
    """A region's hold, or its half-open state after it."""

    region: str
    #: When the hold ends; half-open: when the next probe may be made.
    until_ms: int
    reason: str
    #: The reason as it is counted: one word, of which there are few, also for what a person wrote. Empty: a worker of
    #: an older version ordered it.
    word: str = ""
    #: When it was ordered: the moment of the act, where a person did. 0: half-open, or by a worker of an older version.
    at_ms: int = 0
    #: The hold is over, and one verification at a time probes the vendor: all others wait as they did.
    half_open: bool = False


@dataclass(frozen=True, slots=True)
class Lately:
    """What happened in a region, or in all, in the last minutes."""

    #: For how long: five to six minutes; less where the fleet has not been at work for as long.
    seconds: float = 0.0
    enqueued: int = 0
    done: int = 0
    polls: int = 0
    #: As in `Counts`, without those that are 0.
    decisions: dict[str, int] = field(default_factory=dict)
    error_codes: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    faults: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Counts:
    """The ledger of one region, or of all, in figures."""

    waiting: int = 0
    in_flight: int = 0
    #: Of those in flight, whose lease has ended: the next claim takes them back.
    lapsed: int = 0
    done: int = 0
    quarantined: int = 0
    dropped: int = 0
    #: Every id that was ever accepted.
    enqueued: int = 0
    polls: int = 0
    #: Vendor calls beyond the polls: for fresh links of images, and to confirm an answer.
    extra_calls: int = 0
    #: Seconds that the one longest due has been due, or its lease over, excluding regions on hold or half-open; 0:
    #: none is.
    oldest_due_s: float = 0.0
    #: Delivered decisions by name.
    decisions: dict[str, int] = field(default_factory=dict)
    #: Delivered decisions by `errorCode`, or by reason where there was no result.
    error_codes: dict[str, int] = field(default_factory=dict)
    #: Faults by cause.
    faults: dict[str, int] = field(default_factory=dict)
    #: What is kept of those that are archived; the manifests not counted.
    evidence_files: int = 0
    evidence_bytes: int = 0
    #: Answers of the vendor by kind.
    answers: dict[str, int] = field(default_factory=dict)
    #: Quarantined verifications by reason.
    quarantine: dict[str, int] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    #: Those waiting, by the stage that they wait for.
    stages: dict[str, int] = field(default_factory=dict)
    #: Of those, what is due by now, excluding regions on hold or half-open.
    due: dict[str, int] = field(default_factory=dict)
    #: Rests that were ordered so far, by word.
    holds_begun: dict[str, int] = field(default_factory=dict)
    #: Leases that ended before their batch was done with the verification.
    leases_expired: int = 0
    #: Evidence that is sealed, by its state.
    evidence: dict[str, int] = field(default_factory=dict)
    tokens_issued: int = 0
    #: Times that the vendor gave us no token, by the answer's kind.
    tokens_refused: dict[str, int] = field(default_factory=dict)
    #: What ``worker.ledger.histograms`` reads.
    took: dict[str, int] = field(default_factory=dict)

"""The values that go into the ledger and come out of it. Times are milliseconds of Redis's own clock."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from worker.enqueue_request import DEFAULT_PIPELINE


class Stage(StrEnum):
    """The task a verification needs next, or how it ended."""

    POLLING = "polling"
    ARCHIVING = "archiving"
    ROUTING = "routing"
    #: Decided and archived; endpoints have to acknowledge the decision.
    DELIVERING = "delivering"
    DONE = "done"
    QUARANTINED = "quarantined"
    #: A person ended it without a decision.
    DROPPED = "dropped"
    #: Everything about it was erased except this mark, so that nothing brings it back.
    ERASED = "erased"


@dataclass(frozen=True, slots=True)
class Recorded:
    """The outcome of a recorded transition."""

    #: False: the batch no longer holds the verification, and nothing changed.
    written: bool
    #: When the hold ends that it caused; 0: it caused none.
    held_until_ms: int = 0
    #: It closed the circuit breaker of the region.
    closed_breaker: bool = False


class EvidenceState(StrEnum):
    """How much of a verification's evidence is kept."""

    COMPLETE = "complete"
    #: Something is missing for good; the manifest says what and why.
    INCOMPLETE = "incomplete"
    #: The host of an image is down: decided without it, archiving continues.
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
    """One verification as the ledger stores it."""

    signature_id: str
    region: str
    stage: Stage
    enqueued_at_ms: int
    #: Answers of the vendor so far, of any kind.
    polls: int = 0
    #: Null answers since the countdown last started over.
    nulls: int = 0
    #: Faults in a row, and the cause they have in common.
    faults: int = 0
    fault_cause: str | None = None
    #: Faults since the deadline, of any cause.
    late_faults: int = 0
    #: Times that its stored answer was missing from the evidence store.
    losses: int = 0
    submission_completed: bool = False
    #: From the vendor's newest answer; the vendor's support takes no other reference.
    transaction_id: str | None = None
    #: Compact JSON text of the pipeline.
    context: str | None = None
    overall_result: str | None = None
    error_code: str | None = None
    #: Why it was settled without a result (`DEADLINE_PASSED`, `SIGNATURE_NOT_EXIST`), or what contradicts its result.
    reason: str | None = None
    settled_at_ms: int | None = None
    #: None: not archived yet.
    evidence: EvidenceState | None = None
    #: The decision's name, and its JSON exactly as it is delivered.
    decision_name: str | None = None
    decision: str | None = None
    quarantine_reason: str | None = None
    #: When a person took it out of quarantine: its deadline counts from then.
    retried_at_ms: int | None = None
    #: When this was read.
    read_at_ms: int = 0
    #: By how much the ledger's clock was ahead of Redis's own then; 0 unless Redis's clock has jumped.
    clock_ahead_ms: int = 0
    #: JSON text of `worker.decisions.facts`. None: not settled yet, or settled by an older release.
    facts: str | None = None
    #: The endpoints that have not acknowledged its decision yet.
    deliveries: tuple[str, ...] = ()
    #: Whose share of the region's polls it uses.
    pipeline: str = DEFAULT_PIPELINE
    #: The MACs of its outcome and of its decision: see `worker.policy.outcome_seal`. None: an older release wrote it.
    outcome_seal: str | None = field(default=None, repr=False)
    decision_seal: str | None = field(default=None, repr=False)
    #: The header `webhook-signature` of the decision as a Celery task. None: the fleet has no signing key.
    decision_signature: str | None = field(default=None, repr=False)
    #: Answers of the vendor that were faults, of any cause.
    vendor_faults: int = 0

    def tries(self, cause: str) -> int:
        """Return how often it failed in a row for `cause`. Each cause has its own countdown and limit."""
        return self.faults if self.fault_cause == cause else 0

    @property
    def age_s(self) -> float:
        """Seconds since it was enqueued, or since a person took it out of quarantine."""
        return (self.read_at_ms - (self.retried_at_ms or self.enqueued_at_ms)) / 1000

    @property
    def settled_for_s(self) -> float:
        """Seconds since it was settled; 0 if it is not."""
        return (self.read_at_ms - self.settled_at_ms) / 1000 if self.settled_at_ms else 0.0


@dataclass(frozen=True, slots=True)
class LeaseExpired:
    """A verification whose lease ended before its batch was done; it is due again."""

    signature_id: str
    stage: Stage
    #: The worker that had loaded it; empty if none had.
    worker: str


@dataclass(frozen=True, slots=True)
class Claim:
    """What one claim took, and for how long nothing more will be due."""

    batches: tuple[Batch, ...]
    sleep_s: float
    #: Verifications that it put into quarantine as `CRASHES_WORKERS`, as they were before.
    quarantined: tuple[Verification, ...] = ()
    #: The newest act of a person on the region, of any age.
    act: Event | None = None
    #: Leases that had ended.
    expired: tuple[LeaseExpired, ...] = ()
    #: Verifications whose keys are no hashes, so somebody else wrote them. They are looked at again in a minute.
    damaged: tuple[str, ...] = ()
    #: Set if nothing was taken because this ledger is not the expected one.
    replaced: Identity | None = None


@dataclass(frozen=True, slots=True)
class Identity:
    """The identity of a region's ledger. A Redis that comes back empty, or another Redis, is another ledger."""

    #: Random; empty if it has none, like a new ledger.
    id: str
    #: Identities of ledgers that this one replaces, as people accepted.
    before: tuple[str, ...] = ()
    #: The identity that a dispatcher expects here; empty or equal to `id`: this is the expected ledger.
    expected: str = ""
    #: Since when a dispatcher has found another ledger than it expects; 0: none has.
    since_ms: int = 0
    #: The URL of the evidence store that has noted `id`; empty: none has, as far as the ledger knows.
    store: str = ""

    @property
    def is_replaced(self) -> bool:
        """Whether dispatchers claim nothing here until a person accepts this ledger."""
        return self.expected not in {"", self.id, *self.before}


@dataclass(frozen=True, slots=True)
class Event:
    """A line of a verification's timeline, or an act of a person on a region."""

    at_ms: int
    #: `submitted`, `settled`, `archived`, `decided`, `delivered`, `fault`, `lease_expired`, `quarantined`, …
    #: `left_out` replaces lines removed from a full list; its detail has their kind, their number and their time span.
    name: str
    #: A code, a count, a reason; never personal data.
    detail: str = ""
    worker: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """Everything about one verification."""

    verification: Verification
    now_ms: int
    #: When something must next happen to it; None if it is not waiting.
    due_at_ms: int | None
    #: When the lease of the batch that holds it ends; None if no batch does.
    leased_until_ms: int | None
    #: Starts since its last recorded outcome.
    starts: int
    #: The batch that holds it, if one does.
    batch_id: str | None
    timeline: tuple[Event, ...]


@dataclass(frozen=True, slots=True)
class Quarantined:
    """A verification in quarantine, as one line of a list."""

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
    #: The reason as it is counted: one of a few words, also if a person wrote the reason. Empty: a worker of an older
    #: version ordered it.
    word: str = ""
    #: When it was ordered; by a person, the time of that act. 0: half-open, or ordered by an older version.
    at_ms: int = 0
    #: The hold is over, and one verification at a time probes the vendor. All others still wait.
    half_open: bool = False


@dataclass(frozen=True, slots=True)
class Lately:
    """What happened in a region, or in all, in the last minutes."""

    #: The length of that time: five to six minutes, or less if the fleet has not run for that long.
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
    """The counts of the ledger of one region, or of all."""

    waiting: int = 0
    in_flight: int = 0
    #: Of those waiting, how many wait only for endpoints to acknowledge their decisions.
    delivering: int = 0
    #: Of those in flight, how many have a lease that has ended: the next claim takes them back.
    lapsed: int = 0
    done: int = 0
    quarantined: int = 0
    dropped: int = 0
    #: All ids ever accepted.
    enqueued: int = 0
    polls: int = 0
    #: Vendor calls beyond the polls: for fresh links of images, and to confirm an answer.
    extra_calls: int = 0
    #: Seconds by which the oldest due verification, or the oldest ended lease, is overdue, excluding regions on hold or
    #: half-open. 0 if none is.
    oldest_due_s: float = 0.0
    #: Delivered decisions by name.
    decisions: dict[str, int] = field(default_factory=dict)
    #: Delivered decisions by `errorCode`, or by reason if there is one.
    error_codes: dict[str, int] = field(default_factory=dict)
    #: Faults by cause.
    faults: dict[str, int] = field(default_factory=dict)
    #: Stored evidence of archived verifications, without the manifests.
    evidence_files: int = 0
    evidence_bytes: int = 0
    #: Answers of the vendor by kind.
    answers: dict[str, int] = field(default_factory=dict)
    #: Quarantined verifications by reason.
    quarantine: dict[str, int] = field(default_factory=dict)
    holds: tuple[Hold, ...] = ()
    #: Waiting verifications by the stage that they wait for.
    stages: dict[str, int] = field(default_factory=dict)
    #: Of those, how many are due by now, excluding regions on hold or half-open.
    due: dict[str, int] = field(default_factory=dict)
    #: Waiting verifications by the pipeline whose share they use: of each that has some, and of the default one.
    pipelines: dict[str, int] = field(default_factory=dict)
    #: Holds ordered so far, by word.
    holds_begun: dict[str, int] = field(default_factory=dict)
    #: Leases that ended before their batch was done with the verification.
    leases_expired: int = 0
    #: Sealed evidence by its state.
    evidence: dict[str, int] = field(default_factory=dict)
    tokens_issued: int = 0
    #: Token requests that got no token, by the answer's kind.
    tokens_refused: dict[str, int] = field(default_factory=dict)
    #: Decisions for which the shadow table names another one: `<decision>:<of the shadow table>`.
    shadow: dict[str, int] = field(default_factory=dict)
    #: Counters of durations, for ``worker.ledger.histograms``.
    took: dict[str, int] = field(default_factory=dict)
    #: Of deliveries by webhook: `<what>:<endpoint>`.
    webhook_counts: dict[str, int] = field(default_factory=dict)
    #: Failed tries of deliveries by webhook, by cause.
    webhook_faults: dict[str, int] = field(default_factory=dict)
    #: When this was read, by the ledger's clock.
    read_at_ms: int = 0

    def webhooks(self, what: str) -> dict[str, int]:
        """Deliveries by endpoint: `created`, `acknowledged`, `failed` (tries), `given_up`, `paused`."""
        start = f"{what}:"
        return {
            name.removeprefix(start): count
            for name, count in self.webhook_counts.items()
            if name.startswith(start)
        }

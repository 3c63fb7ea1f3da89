"""The erasure of a verification: everywhere, in steps that can be repeated, with a signed certificate.

    check       nothing is held, under way or unknown, and what a bucket keeps will be unreadable
    mark        the ledger removes its record; a mark keeps a second enqueue and late messages out
    plan        what there is to destroy is written down once, for the certificate
    entomb      the data key is destroyed: a tombstone takes the place of `key.json`
    delete      the objects are deleted where the store allows it
    vendor      the vendor is asked to delete its data
    certify     the signed certificate is stored
    seal        the tombstone names the certificate: only now the verification counts as erased
    queue       the log of evidence gets an entry for it
    finish      the ledger's mark may expire, and the operator log has the act

A process may die after any step, and within any: the next run begins at the top, and each step finds what is done. From
`mark` on nothing decides the person again; before `seal` nothing claims that the person is erased.
"""

from __future__ import annotations

import json
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hmac import compare_digest
from typing import TYPE_CHECKING, Any, Final

from schemas.decision import decision_id
from worker.advance.answers import Busy
from worker.advance.answers.values import Cleared, NotCleared
from worker.errors import EkycError, EvidenceConflict, EvidenceKeyUnknown, EvidenceUnavailable
from worker.evidence import paths
from worker.evidence.keys import Tombstone, WrappedKey
from worker.evidence.lifecycle import fingerprint
from worker.evidence.marks import ErasurePlan, StoredObject, dump_plan, rfc3339
from worker.ledger.erasures import Marked
from worker.policy.backoff import BUSY_REST_S
from worker.policy.rules import VENDOR_BUSY
from worker.records.certificate import VendorOutcome, certificate_text

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.advance.answers.values import Clearing
    from worker.evidence.lifecycle import Lifecycle
    from worker.evidence.marks import Act, RetentionFact
    from worker.evidence.storage.backend import Found
    from worker.evidence.store import Evidence
    from worker.ledger.erasures import Begun, Erasures

#: The longest wait for a permit of the region's rate. A hold is longer, so the erasure ends without the vendor then.
LONGEST_WAIT_S: Final = 5.0

#: The most erasures that have not ended and are named in a line.
MOST_NAMED: Final = 5

#: What is between the text of a signed note and its signatures.
SIGNATURES: Final = "\n\n"


class NotErased(EkycError):
    """Raised when a verification cannot be erased, or not yet. One line: why, and what to do."""

    cause = "NOT_ERASED"


class AlreadyErased(NotErased):
    """Raised for a verification whose erasure has ended. `certificate`: as it is stored."""

    def __init__(self, message: str, certificate: str) -> None:
        super().__init__(message)
        self.certificate = certificate


@dataclass(frozen=True, slots=True)
class Order:
    """Whose evidence is to be erased, and by whom.

    Parameters:
        over_age: because of its age, not by request of a person.
        begun: only if its erasure has begun already: a plan proves that, which our key has signed.
    """

    region: str
    signature_id: str
    act: Act
    over_age: bool = False
    begun: bool = False

    @property
    def name(self) -> str:
        return f"{self.region}/{self.signature_id}"


@dataclass(frozen=True, slots=True)
class Vendor:
    """How the vendor is asked, as one client with the fleet.

    Parameters:
        spend: takes a permit of the region's rate. Returns 0, or the seconds until there is one; also while the region
            is on hold.
        hold: puts a region on hold for seconds, for a reason.
    """

    clear: Callable[[str, str], Clearing]
    spend: Callable[[str], float]
    hold: Callable[[str, float, str], object]
    pause: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Eraser:
    """What an erasure works on.

    Parameters:
        vendor: None: the vendor is not asked.
        sign: returns the signed note of a text, for a region.
        queue: queues a verification for the log of evidence; None: there is no log.
        retention: returns how long a verification is kept, for the certificate; None: that is not known.
        now: the clock of certificates.
    """

    evidence: Evidence
    ledger: Erasures
    vendor: Vendor | None
    sign: Callable[[str, str], str]
    queue: Callable[[str, str], object] | None = None
    retention: Callable[[str, str], RetentionFact | None] = lambda _region, _signature_id: None
    now: Callable[[], datetime] = lambda: datetime.now(UTC)

    def erase(self, order: Order, *, reached: Callable[[str], object] = lambda _: None) -> str:
        """Erase a verification, and return its certificate.

        `reached` is called with the name of each step that is done, and of each object that is deleted. Raises
        ``NotErased``, ``LedgerUnavailable`` and ``EvidenceUnavailable``.
        """
        erasure = _Erasure(self, order, self.evidence.lifecycle(order.region, order.signature_id), reached)
        for name, step in STEPS:
            step(erasure)
            reached(name)
        return erasure.certificate


@dataclass(slots=True)
class _Erasure:
    """One run of an erasure."""

    parts: Eraser
    order: Order
    evidence: Lifecycle
    reached: Callable[[str], object]
    found: tuple[Found, ...] = ()
    key: WrappedKey | Tombstone | None = None
    plan: ErasurePlan | None = None
    #: What was there beside what the plan names: it came later.
    met: tuple[StoredObject, ...] = ()
    vendor: VendorOutcome | None = None
    certificate: str = ""

    def refuse(self, why: str) -> NotErased:
        return NotErased(f"{self.order.name} {why}")

    @property
    def planned(self) -> ErasurePlan:
        if self.plan is None:
            raise RuntimeError("the plan comes first")
        return self.plan


def _check(run: _Erasure) -> None:
    """Look at everything that may stop it, before anything is changed."""
    run.key, run.found = run.evidence.key(), run.evidence.objects()
    run.certificate = run.evidence.certificate() or ""
    run.plan = _our_plan(run)
    if isinstance(run.key, Tombstone) and run.key.certificate is not None and run.plan is None:
        raise _already_erased(run, run.key)
    if not _is_ours(run, run.certificate):
        run.certificate = ""
    if isinstance(run.key, Tombstone):
        if run.order.over_age and run.key.certificate is None and run.plan is None:
            # A sweep must not sign for what a writer of the store has destroyed.
            raise run.refuse(
                "has a tombstone, and no plan that our key has signed: find out who wrote it, "
                "then run `ekyc evidence erase`"
            )
        return
    if run.order.begun and run.plan is None:
        raise run.refuse(
            "has a plan of an erasure that our key has not signed: find out who wrote it, then remove "
            f"{run.evidence.url}/{paths.PLAN}"
        )
    if hold := run.evidence.holds().in_force:
        raise run.refuse(
            f"is on legal hold since {rfc3339(hold.placed.at)} ({hold.placed.who}: {hold.placed.why}): "
            "run `ekyc evidence release` first"
        )
    _check_locks(run)


def _is_ours(run: _Erasure, certificate: str) -> bool:
    """Whether a stored certificate is one of this verification that our key has signed: others can be planted.

    Signatures of Ed25519 are the same each time. One by a key of before is written again.
    """
    text = f"{certificate.rpartition(SIGNATURES)[0]}\n"
    try:
        certified(certificate, run.order.region, run.order.signature_id)
        return run.parts.sign(run.order.region, text) == certificate
    except (EvidenceConflict, ValueError):
        return False


def _already_erased(run: _Erasure, tombstone: Tombstone) -> AlreadyErased:
    """Delete what was put back since, as a restored backup does, and return the error.

    Nothing is deleted without the certificate of this verification: who can write the store can write a tombstone.
    """
    said = f"{run.order.name} was erased at {tombstone.at}"
    if fingerprint(run.certificate) != tombstone.certificate:
        run.certificate = ""
        return AlreadyErased(f"{said}: restore its certificate at {run.evidence.url} from a backup", "")
    certified(run.certificate, run.order.region, run.order.signature_id)
    if run.found and run.evidence.holds().in_force:
        raise run.refuse("is on legal hold, and objects were put back: run `ekyc evidence release` first")
    # The ledger may come from a backup of before the end.
    run.parts.ledger.finish(run.order.region, run.order.signature_id)
    back = {run.evidence.name(each) for each in run.found}
    _delete(run)
    run.evidence.end_plan()
    back -= {run.evidence.name(each) for each in run.evidence.objects()}
    if back:
        act = run.order.act
        run.parts.ledger.note(
            run.order.region,
            "erase",
            f"{len(back)} objects that had been put back ({act.why})",
            who=act.who,
            signature_ids=[run.order.signature_id],
        )
        said += f", and {len(back)} that had been put back {'is' if len(back) == 1 else 'are'} deleted"
    return AlreadyErased(f"{said}: its certificate is at {run.evidence.url}", run.certificate)


def _check_locks(run: _Erasure) -> None:
    """Refuse what a bucket would keep readable: a certificate could not say that it is gone."""
    now = run.parts.now()
    ends = [until for each in run.found if (until := run.evidence.locked_until(each)) and until > now]
    if not ends:
        return
    if not isinstance(run.key, WrappedKey) or run.key.plain:
        raise run.refuse(
            f"is not encrypted, and the bucket keeps it until {rfc3339(max(ends))}: it would stay readable until then"
        )
    if run.evidence.keys_beside:
        raise run.refuse(
            "cannot be made unreadable, because its key is in the locked bucket, too: set EKYC_EVIDENCE_KEYS_URL"
        )


def _mark(run: _Erasure) -> None:
    order = run.order
    outcome = run.parts.ledger.mark(
        order.region,
        order.signature_id,
        decision_id=decision_id(order.region, order.signature_id),
        stored=bool(run.found or run.key or run.plan),
        over_age=order.over_age,
        who=order.act.who,
        why=order.act.why,
    )
    if outcome is Marked.UNDER_WAY:
        raise run.refuse("is under way: wait until it is done, or until it is in quarantine")
    if outcome is Marked.LEGAL_HOLD:
        raise run.refuse("is on legal hold: run `ekyc evidence release` first")
    if outcome is Marked.CLOSING:
        raise run.refuse("has a new closing time: the next sweep after ten minutes judges it again")
    if outcome is Marked.UNKNOWN:
        raise run.refuse("is unknown: neither the ledger nor the evidence store has it")
    if not isinstance(run.key, Tombstone) and run.evidence.holds().in_force:
        # It was placed while another one was released.
        raise run.refuse("is on legal hold since a moment ago: run `ekyc evidence release` first")


def _our_plan(run: _Erasure) -> ErasurePlan | None:
    """Return the stored plan. None: there is none, or somebody else wrote it: our key must not sign what it says."""
    try:
        plan = run.evidence.plan()
    except (EvidenceConflict, EvidenceKeyUnknown):
        return None
    return (
        plan
        if plan is not None and compare_digest(plan.seal.encode(), _plan_seal(run, plan).encode())
        else None
    )


def _plan_seal(run: _Erasure, plan: ErasurePlan) -> str:
    """Return the hash of a signature of a plan, which is the same each time, and which only our key can make."""
    text = f"ekyc erasure plan\n{run.order.name}\n{dump_plan(replace(plan, seal='')).decode()}"
    return fingerprint(run.parts.sign(run.order.region, text))


def _plan(run: _Erasure) -> None:
    if run.plan is not None:
        return
    objects = tuple(
        StoredObject(run.evidence.name(each), each.size_bytes, run.evidence.locked_until(each))
        for each in run.found
    )
    data_key = run.key.data_key_id if isinstance(run.key, WrappedKey) else None
    retention = run.parts.retention(run.order.region, run.order.signature_id)
    plan = ErasurePlan(run.order.act, data_key, objects, retention)
    plan = replace(plan, seal=_plan_seal(run, plan))
    with suppress(EvidenceConflict, EvidenceKeyUnknown):  # there is one that cannot be read
        run.evidence.keep_plan(plan)
    run.plan = _our_plan(run)
    if run.plan is None:
        run.evidence.replace_plan(plan)
        run.plan = plan


def _entomb(run: _Erasure) -> None:
    run.evidence.entomb(Tombstone(rfc3339(run.planned.act.at), None))


def _delete(run: _Erasure) -> None:
    now = run.parts.now()
    planned = {each.name for each in run.plan.objects} if run.plan else set()
    for each in run.evidence.objects():
        if (name := run.evidence.name(each)) not in planned:
            run.met += (StoredObject(name, each.size_bytes, run.evidence.locked_until(each)),)
        try:
            run.evidence.remove(each)
        except EvidenceUnavailable:
            until = run.evidence.locked_until(each)
            if until is None or until <= now:
                raise
        run.reached(f"delete {run.evidence.name(each)}")


def _ask_vendor(run: _Erasure) -> None:
    if run.certificate:
        return
    vendor, order = run.parts.vendor, run.order
    if vendor is None:
        run.vendor = VendorOutcome(cleared=False)
        return
    while wait_s := vendor.spend(order.region):
        if wait_s > LONGEST_WAIT_S:
            raise _vendor_away(run, f"{order.region} is on hold for {wait_s:.0f} s more")
        vendor.pause(wait_s)
    answer = vendor.clear(order.region, order.signature_id)
    if isinstance(answer, Cleared | NotCleared):
        run.vendor = VendorOutcome.of(answer)
        return
    if isinstance(answer, Busy):
        hold_s = BUSY_REST_S if answer.retry_after_s is None else answer.retry_after_s
        vendor.hold(order.region, hold_s, VENDOR_BUSY)
    raise _vendor_away(run, " ".join(filter(None, (answer.kind, answer.detail))))


def _vendor_away(run: _Erasure, why: str) -> NotErased:
    return run.refuse(
        f"is destroyed here, but the vendor was not reached ({why}): run the same command again, "
        "or add --without-vendor"
    )


def _certify(run: _Erasure) -> None:
    if run.certificate:
        return
    order, vendor = run.order, run.vendor or VendorOutcome(cleared=False)
    planned = replace(run.planned, objects=(*run.planned.objects, *run.met))
    text = certificate_text(
        order.region, order.signature_id, planned, vendor, url=run.evidence.url, at=run.parts.now()
    )
    note = run.parts.sign(order.region, text)
    run.certificate = run.evidence.keep_certificate(note)
    if not _is_ours(run, run.certificate):
        run.evidence.replace_certificate(note)
        run.certificate = note


def _seal(run: _Erasure) -> None:
    run.evidence.entomb(Tombstone(rfc3339(run.planned.act.at), fingerprint(run.certificate)))


def _queue(run: _Erasure) -> None:
    if run.parts.queue is not None:
        run.parts.queue(run.order.region, run.order.signature_id)


def _finish(run: _Erasure) -> None:
    act, region, who = run.planned.act, run.order.region, run.order.act.who
    run.parts.ledger.finish(region, run.order.signature_id)
    by_another = "" if who == act.who else f", begun by {act.who}"
    # The certificate and the audit log name the verification; the acts of the region need not.
    run.parts.ledger.note(
        region,
        "erase",
        f"certificate {fingerprint(run.certificate)[:16]} ({act.why}{by_another})",
        who=who,
        signature_ids=[run.order.signature_id],
    )
    run.evidence.end_plan()


#: The steps in their order.
STEPS: Final[tuple[tuple[str, Callable[[_Erasure], None]], ...]] = (
    ("check", _check),
    ("mark", _mark),
    ("plan", _plan),
    ("entomb", _entomb),
    ("delete", _delete),
    ("vendor", _ask_vendor),
    ("certify", _certify),
    ("seal", _seal),
    ("queue", _queue),
    ("finish", _finish),
)


def members_of(certificate: str) -> dict[str, Any]:
    """Return the JSON of a certificate, without checking its signature. Raises ``EvidenceConflict`` if it has none."""
    try:
        members: Any = json.loads(certificate.rpartition("\n\n")[0])
    except (ValueError, RecursionError):
        members = None
    if not isinstance(members, dict) or members.get("certificate") != "erasure":
        raise EvidenceConflict(
            "CERTIFICATE",
            "the file certificate.txt is no certificate of an erasure: restore it from a backup",
        )
    return members


def certified(certificate: str, region: str, signature_id: str) -> dict[str, Any]:
    """Return the JSON of a certificate. Raises ``EvidenceConflict`` if it is not that of this verification."""
    members = members_of(certificate)
    if (members.get("region"), members.get("signature_id")) != (region, signature_id):
        raise EvidenceConflict(
            "CERTIFICATE",
            f"the certificate of {region}/{signature_id} is that of another verification: restore it from a backup",
        )
    return members


def begun_text(region: str, begun: Begun) -> str:
    """Say how many erasures of a region have begun and not ended."""
    return f"{region}: {begun.count:,} {'erasure has' if begun.count == 1 else 'erasures have'} begun and not ended"


def begun_todo(region: str, begun: Begun) -> str:
    """Return what to type to end them."""
    if not begun.ids:
        return f"the names in the ledger of {region} are no ids: find out who wrote them"
    return f"run `ekyc evidence erase {begun.ids[0]} --region {region} --why …` again" + (
        f", also for {', '.join(begun.ids[1:MOST_NAMED])}{'' if begun.count <= MOST_NAMED else ', …'}"
        if begun.ids[1:]
        else ""
    )

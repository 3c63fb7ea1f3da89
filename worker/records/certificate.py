"""The certificate of an erasure: JSON in a signed note, about what is gone, what is kept, and until when. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from worker.advance.answers.values import Cleared, NotCleared
from worker.evidence.marks import rfc3339

if TYPE_CHECKING:
    from datetime import datetime

    from worker.evidence.marks import ErasurePlan, StoredObject

VERSION: Final = 1

#: What no erasure here reaches, in every certificate.
NOT_COVERED: Final = (
    "decisions and events that were delivered, and what the pipelines keep",
    "backups of the evidence, of its keys and of Redis, until they expire",
    "entries of the log of evidence: salted hashes, which tell nothing without the evidence",
)


@dataclass(frozen=True, slots=True)
class VendorOutcome:
    """What the vendor answered when it was asked to delete its data. `code` "": it was not asked."""

    cleared: bool
    code: str = ""
    transaction_id: str | None = None

    @classmethod
    def of(cls, answer: Cleared | NotCleared) -> VendorOutcome:
        code = answer.code if isinstance(answer, NotCleared) else "SUCCESS"
        return cls(isinstance(answer, Cleared), code, answer.transaction_id)


def certificate_text(  # noqa: PLR0913 - the parts of a certificate
    region: str, signature_id: str, plan: ErasurePlan, vendor: VendorOutcome, *, url: str, at: datetime
) -> str:
    """Return the text that is signed. `at`: when it is written, after everything was deleted."""
    kept = [each for each in plan.objects if _is_kept(each, at)]
    gone = [each for each in plan.objects if each not in kept]
    members: dict[str, Any] = {
        "certificate": "erasure",
        "version": VERSION,
        "region": region,
        "signature_id": signature_id,
        "begun_at": rfc3339(plan.act.at),
        "certified_at": rfc3339(at),
        "by": plan.act.who,
        "why": plan.act.why,
        "retention": _retention(plan),
        "data_key": {"id": plan.data_key, "destroyed": True} if plan.data_key else None,
        "evidence": {
            "url": url,
            "deleted": [{"name": each.name, "size_bytes": each.size_bytes} for each in gone],
            "kept_unreadable": [
                {
                    "name": each.name,
                    "size_bytes": each.size_bytes,
                    "locked_until": each.locked_until and rfc3339(each.locked_until),
                }
                for each in kept
            ],
        },
        "ledger": {"record_deleted": True, "history_deleted": True, "mark_left": True},
        "vendor": {
            "asked": bool(vendor.code),
            "cleared": vendor.cleared,
            "code": vendor.code or None,
            "transaction_id": vendor.transaction_id,
        },
        "not_covered": list(NOT_COVERED),
    }
    return f"{json.dumps(members, indent=2)}\n"


def _retention(plan: ErasurePlan) -> dict[str, Any] | None:
    """Return how long the evidence would have been kept, and whether the erasure came before. None: not known."""
    found = plan.retention
    if found is None:
        return None
    return {
        "rule": found.rule,
        "until": found.until and rfc3339(found.until),
        "ended_early": found.until is None or plan.act.at < found.until,
    }


def _is_kept(each: StoredObject, at: datetime) -> bool:
    return each.locked_until is not None and each.locked_until > at - timedelta(minutes=1)


def summary(members: dict[str, Any]) -> list[str]:
    """Return a certificate in a few lines for people."""
    evidence, vendor, key = members["evidence"], members["vendor"], members["data_key"]
    lines = [f"the data key {key['id']} is destroyed" if key else "the evidence was not encrypted"]
    lines.append(f"{_objects(evidence['deleted'])} deleted at {evidence['url']}")
    if kept := evidence["kept_unreadable"]:
        until = max(each["locked_until"] for each in kept)
        lines.append(f"{_objects(kept)} stay in the locked bucket until {until}; nobody can read them")
    if (retention := members.get("retention")) and retention["ended_early"]:
        lines.append(f"its retention ({retention['rule']}) ends early: {_would_be_kept(retention['until'])}")
    lines.append("the ledger keeps nothing but a mark")
    if not vendor["asked"]:
        lines.append("the vendor was not asked to delete its data")
    elif vendor["cleared"]:
        lines.append("the vendor has deleted its data")
    else:
        lines.append(f"the vendor has not deleted anything: it answered {vendor['code']}")
    return lines


def _would_be_kept(until: str | None) -> str:
    return f"it would have been kept until {until}" if until else "it had no end yet"


def _objects(found: list[Any]) -> str:
    return f"{len(found)} {'object' if len(found) == 1 else 'objects'}"

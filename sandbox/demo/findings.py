"""What became of it all, from every place that could know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.demo.deliveries import Delivery
    from sandbox.demo.plan import Plan, Way
    from worker.evidence.store import Usage
    from worker.ledger.models import Counts, Status


@dataclass(frozen=True, slots=True)
class Kept:
    """The evidence of one verification.

    Parameters:
      files: names of all that lies in its folder.
      listed: how many the manifest lists, and of what size together; None: there is no manifest.
      complete: what the manifest says.
      faults: what lies there and is not as the manifest says.
    """

    files: tuple[str, ...]
    listed: int | None = None
    listed_bytes: int = 0
    complete: bool = False
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leaks:
    """Where personal data was found: names of files, and keys. In `evidence` it has to be."""

    logs: tuple[str, ...] = ()
    redis: tuple[str, ...] = ()
    decisions: bool = False
    evidence: bool = True


@dataclass(frozen=True, slots=True)
class Findings:
    """All that the checks and the report are made of. Mappings are by signatureId: no two regions share one here."""

    plan: Plan
    #: New ones, by the way they were handed over.
    accepted: Mapping[Way, int]
    #: What the pipeline received, mostly once each.
    deliveries: Mapping[str, Sequence[Delivery]]
    statuses: Mapping[str, Status | None]
    counts: Counts
    #: When the vendor had a result, in epoch milliseconds.
    ready_at_ms: Mapping[str, int | None]
    kept: Mapping[str, Kept]
    usage: Usage
    #: Messages on any queue, or taken and not acknowledged.
    messages_left: int
    leaks: Leaks
    #: Logs that tell of a failure nobody foresaw.
    failures: tuple[str, ...]
    exit_codes: Mapping[str, int]

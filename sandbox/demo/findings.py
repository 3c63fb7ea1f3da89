"""The outcome of a demo, collected from the ledger, the pipeline, the evidence and the logs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sandbox.demo.api import Enqueued, Seen
    from sandbox.demo.console import Shown
    from sandbox.demo.deliveries import Delivery
    from sandbox.demo.endpoint import Webhook
    from sandbox.demo.plan import Plan, Way
    from worker.evidence.store import Usage
    from worker.ledger.models import Counts, Status


@dataclass(frozen=True, slots=True)
class Kept:
    """The evidence of one verification.

    Parameters:
      files: names of all files in its folder.
      listed: how many files the manifest lists; None: there is no manifest. `listed_bytes` is their total size.
      complete: `complete` of the manifest.
      faults: how the files differ from the manifest.
    """

    files: tuple[str, ...]
    listed: int | None = None
    listed_bytes: int = 0
    complete: bool = False
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Logged:
    """The log of evidence of all regions.

    Parameters:
      entries: how many it has.
      faults: what its audit found: one line each.
    """

    entries: int
    faults: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Erased:
    """A verification that was erased once everything else was looked at.

    Parameters:
      deleted: how many objects the certificate names. `vendor_cleared`: the vendor deleted its data, too.
      is_readable: the answer can still be read.
      stage: what the ledger says.
      log: the log of evidence afterwards.
    """

    region: str
    signature_id: str
    deleted: int
    vendor_cleared: bool
    is_readable: bool
    stage: str | None
    log: Logged


@dataclass(frozen=True, slots=True)
class Leaks:
    """Where personal data was found: names of files, and keys. `evidence`, which is read with its key, has to be true.

    `logs`, `redis` and `stored` (the files of the evidence as they are) also list those that have a secret in them.
    """

    logs: tuple[str, ...] = ()
    redis: tuple[str, ...] = ()
    decisions: bool = False
    stored: tuple[str, ...] = ()
    evidence: bool = True


@dataclass(frozen=True, slots=True)
class Findings:
    """The input of the checks and the report. Mappings are by signatureId: no two regions share one in a demo."""

    plan: Plan
    #: Verifications that were new, by the way they were enqueued.
    accepted: Mapping[Way, int]
    http: Enqueued
    #: What a pipeline sees by the HTTP API alone.
    seen: Seen
    #: What a user of the console sees.
    shown: Shown
    #: What the receiver of webhooks got.
    webhooks: Sequence[Webhook]
    #: Of the vendor, by outcome, such as `sent` (taken) and `failed`.
    callbacks: Mapping[str, int]
    #: The decisions that the pipeline received, usually one for each verification.
    deliveries: Mapping[str, Sequence[Delivery]]
    statuses: Mapping[str, Status | None]
    counts: Counts
    #: When the vendor had a result, in epoch milliseconds.
    ready_at_ms: Mapping[str, int | None]
    kept: Mapping[str, Kept]
    usage: Usage
    log: Logged
    #: Messages on any queue, or received and not acknowledged.
    messages_left: int
    leaks: Leaks
    #: Logs with an unexpected failure.
    failures: tuple[str, ...]
    exit_codes: Mapping[str, int]
    erased: Erased

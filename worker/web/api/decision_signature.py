"""The signature of a decision, as the headers that a receiver verifies."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING

from worker import signatures

if TYPE_CHECKING:
    from collections.abc import Mapping


def signature_headers(decision: str | None, signature: str | None) -> Mapping[str, str] | None:
    """The three headers of a decision that a worker signed; None: it is not signed. They are stored, not made here."""
    if not decision or not signature:
        return None
    fields = json.loads(decision)
    return {
        signatures.ID: fields["id"],
        signatures.TIMESTAMP: str(int(datetime.fromisoformat(fields["decided_at"]).timestamp())),
        signatures.SIGNATURE: signature,
    }

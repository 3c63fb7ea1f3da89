"""The product with a bug, for a test: `celery -A tests.acceptance.buggy worker`. It quotes a person when it fails."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NoReturn

from sandbox.documents import PERSON
from worker.ledger.ledger import Ledger
from worker.policy.backoff import Backoff
from worker.runtime.app import app
from worker.runtime.services import services

if TYPE_CHECKING:
    from worker.ledger.models import Verification
    from worker.runtime.batch_runner import Attempt

__all__ = ["app"]


def poll(verification: Verification, _: Attempt) -> NoReturn:
    parts = services()
    # It is given up at its second try, not after a minute.
    parts.policy.backoffs = replace(parts.policy.backoffs, unforeseen=Backoff(0.05, 1.0, 0.05, limit=2))
    name_of_the_person = f"{PERSON} of {verification.signature_id}"
    raise KeyError(name_of_the_person)


app.loader.import_default_modules()
sys.modules["tasks.get_result"].poll = poll  # type: ignore[attr-defined]
_load = Ledger.load


def load(self: Ledger, batch: Any) -> Any:
    loaded = _load(self, batch)
    if any(name.startswith("taskfails") for name in batch.signature_ids):
        raise LookupError(PERSON)
    return loaded


Ledger.load = load  # type: ignore[method-assign]

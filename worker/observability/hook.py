"""The instrumentation hook: what traces and error reports wrap around the work on each verification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.ledger.models import Batch, Verification

Made = TypeVar("Made")


class Interceptor(Protocol):
    """Wraps the function that is called for each verification of a batch. Called once a batch, by its task."""

    def __call__(
        self, batch: Batch, each: Callable[[Verification], Made], /
    ) -> Callable[[Verification], Made]: ...

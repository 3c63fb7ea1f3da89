"""The instrumentation hook: the interface with which traces and error reports wrap the work on each verification."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.ledger.models import Batch, Verification

Made = TypeVar("Made")


class Interceptor(Protocol):
    """Wraps the function that a task calls for each verification of a batch. Called once per batch."""

    def __call__(
        self, batch: Batch, each: Callable[[Verification], Made], /
    ) -> Callable[[Verification], Made]: ...

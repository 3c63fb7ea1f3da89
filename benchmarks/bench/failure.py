"""What ends a benchmark before its report."""

from __future__ import annotations

from worker.errors import EkycError


class BenchFailed(EkycError):
    """A part did not start, died, or counted otherwise than the others: the message says which."""

    cause = "BENCH_FAILED"


class Missing(EkycError):
    """Something that the benchmark needs is not installed; the message says how to get it."""

    cause = "BENCH_MISSING"

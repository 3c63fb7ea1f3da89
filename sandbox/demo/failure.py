"""The error that ends a demo before its report."""

from __future__ import annotations

from worker.errors import EkycError


class DemoFailed(EkycError):
    """Raised when a part of the demo did not start, died, or did not finish. The message names it and its log."""

    cause = "DEMO_FAILED"

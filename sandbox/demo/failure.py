"""What ends a demo before its report."""

from __future__ import annotations

from worker.errors import EkycError


class DemoFailed(EkycError):
    """A part of the demo did not start, died, or did not come to an end: the message says which and where to look."""

    cause = "DEMO_FAILED"

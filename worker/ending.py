"""How a process of ours ends that cannot go on: with a line for people, and no traceback."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import NoReturn

    from worker.errors import EkycError


def end_with(error: EkycError) -> NoReturn:
    """Say what is wrong, one line per fault, and exit with the error's own code. Raises ``SystemExit``."""
    print("\n".join(f"ekyc: {line}" for line in str(error).splitlines()), file=sys.stderr)  # noqa: T201
    raise SystemExit(error.exit_code) from None

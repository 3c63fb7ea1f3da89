"""JSON that the console keeps in Redis, where another client may have written it."""

from __future__ import annotations

import json
from typing import Any


def loads(raw: bytes | str) -> Any:
    """Parse JSON. Raises ``ValueError`` also for what no page can show, such as half of a surrogate pair or infinity.

    Raises ``RecursionError`` if it is nested too deeply.
    """
    found = json.loads(raw)
    json.dumps(found, ensure_ascii=False, allow_nan=False).encode()
    return found

"""The key that signs deliveries."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.signatures import key_id, public_keys

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings


def check_signing_key(settings: Settings) -> Iterator[Finding]:
    """Which keys sign, and whether other accounts can read their file."""
    keys = public_keys(settings.signing_key)
    if not keys:
        said = "EKYC_SIGNING_KEY is not set: any client that can write to the broker can send decisions"
        yield Finding("signing key", Level.OK, said)
        return
    ids = ", then ".join(map(key_id, keys))
    path = os.environ.get("EKYC_SIGNING_KEY_FILE")
    if path and Path(path).stat().st_mode & stat.S_IROTH:
        said = f"deliveries are signed by {ids}, but every account of this machine can read EKYC_SIGNING_KEY_FILE"
        yield Finding("signing key", Level.WARNING, said, "take the right from others: chmod o-rwx")
        return
    yield Finding("signing key", Level.OK, f"deliveries are signed by {ids}")

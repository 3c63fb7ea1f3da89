"""Checks of the folder of local evidence. They never create it: it would belong to the account that runs `ekyc`."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from worker.cli.checks.finding import Finding, Level
from worker.evidence.storage.backend import clear


def missing(evidence_url: str) -> Path | None:
    """Return the folder that a `file` URL names if it does not exist; None if it exists, or for any other URL.

    Raises ``EvidenceUnavailable`` if no folder can exist there, or if this account may not look.
    """
    parts = urlsplit(evidence_url)
    folder = Path(unquote(parts.path))
    if parts.scheme != "file" or parts.netloc or not folder.is_absolute():
        return None
    with clear("looked for", evidence_url):
        try:
            folder.stat()
        except FileNotFoundError:
            return folder
    return None


def to_be_made(folder: Path) -> Finding:
    """Return the finding for a folder that does not exist."""
    above = next(parent for parent in folder.parents if parent.exists())
    if os.access(above, os.W_OK | os.X_OK, effective_ids=True):
        return Finding(
            "evidence",
            Level.WARNING,
            f"{folder} does not exist yet: a worker creates it when it starts",
            "if it should hold evidence already, check that its disk is mounted",
        )
    return Finding(
        "evidence",
        Level.ERROR,
        f"{folder} does not exist, and this account cannot create it in {above}",
        "create it, owned by the account that runs the workers, or change EKYC_EVIDENCE_URL",
    )

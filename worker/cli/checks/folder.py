"""The folder of local evidence, inspected and never created: its creator owns it, and may not be the workers."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from worker.cli.checks.finding import Finding, Level
from worker.evidence.storage.backend import clear


def missing(evidence_url: str) -> Path | None:
    """The folder that a URL names and that is not there; None: it is, or the URL is that of something else.

    Raises ``EvidenceUnavailable`` where there can be none, or nobody may look.
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
    """What to say of a folder that is not there."""
    above = next(parent for parent in folder.parents if parent.exists())
    if os.access(above, os.W_OK | os.X_OK, effective_ids=True):
        return Finding(
            "evidence",
            Level.WARNING,
            f"{folder} is not there yet: a worker makes it when it starts",
            "if there should be evidence in it already, see that its disk is mounted",
        )
    return Finding(
        "evidence",
        Level.ERROR,
        f"{folder} is not there, and this account cannot make it in {above}",
        "make it as a folder of the account that runs the workers, or change EKYC_EVIDENCE_URL",
    )

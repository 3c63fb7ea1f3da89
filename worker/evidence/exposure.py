"""For whom evidence without keys lies readable."""

from __future__ import annotations

import pwd
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from worker.settings import Settings


def warning(settings: Settings) -> str | None:
    """Return a line if evidence is not encrypted; None: it is."""
    if settings.evidence_keys or not settings.evidence_url:
        return None
    return (
        f"EKYC_EVIDENCE_KEYS is not set: the documents at {settings.evidence_url} lie readable for "
        f"{readers(settings.evidence_url)}"
    )


def readers(url: str) -> str:
    """Return who can read the files under an evidence URL."""
    parts = urlsplit(url)
    if parts.scheme != "file":
        return f"everyone who may read the bucket {parts.netloc}"
    try:
        found = Path(unquote(parts.path)).stat()
    except (OSError, ValueError):
        return "the account that runs the workers"
    mode = stat.S_IMODE(found.st_mode)
    accounts = " and ".join(dict.fromkeys((f"the account {_account(found.st_uid)}", "the account root")))
    whom = f"{accounts}, and everyone who reads the disk or a backup"
    if mode & (stat.S_IXGRP | stat.S_IXOTH):
        whom += "; other accounts can open the folder"
    return f"{whom} (folder mode {mode:04o})"


def _account(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)

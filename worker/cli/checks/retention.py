"""How long evidence is kept, and whether that is shorter than the law of a region asks for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.cli.checks.finding import Finding, Level
from worker.policy.retention import load

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings import Settings


def check_retention(settings: Settings) -> Iterator[Finding]:
    """Raises ``ConfigError`` for an EKYC_RETAIN that cannot be read."""
    rules = load(settings.retain)
    short = [line for line in rules.shorter() if line.partition("/")[0] in settings.regions]
    for line in short:
        yield Finding(
            "retention", Level.WARNING, line, "keep it if another law allows that (docs/retention.md)"
        )
    if not short:
        said = "as EKYC_RETAIN says" if settings.retain else "as the law of each region asks"
        yield Finding("retention", Level.OK, f"evidence is kept {said}")

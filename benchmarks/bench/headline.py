"""The results in a few lines, for the README."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.bench.profile import PROFILES
from benchmarks.bench.summary import BARE, OURS, PLAIN_CELERY, profiles, standings

if TYPE_CHECKING:
    from benchmarks.bench.results import Results


def headline(results: Results) -> str:
    """A line for each profile: ours, beside plain Celery, and which other peers are faster."""
    lines = (_line(results, profile) for profile in profiles(results))
    return "\n".join(line for line in lines if line)


def _line(results: Results, profile: str) -> str:
    paces = {one.contender: one.per_s.median for one in standings(results, profile) if one.per_s}
    ours = paces.pop(OURS, None)
    if not ours:
        return ""
    parts = [f"- {PROFILES[profile].about}: **{ours:,.0f}** verifications a second"]
    celery = paces.pop(PLAIN_CELERY, None)
    if celery:
        parts.append(f", {ours / celery:.2f} × plain Celery")
    faster = [f"{name} {pace / ours:.2f} ×" for name, pace in paces.items() if name != BARE and pace > ours]
    if faster:
        parts.append(f"; faster than ours: {', '.join(faster)}")
    return "".join(parts)

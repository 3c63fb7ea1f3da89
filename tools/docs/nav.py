"""The pages of the site in order: tutorial, how-to, reference, explanation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tools.docs.page import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Pages outside of `docs/` that belong to the site, and their paths in it.
OUTSIDE: Final[Mapping[str, str]] = {
    "README.md": "index.md",
    "deploy/README.md": "deploy.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}

#: The sections, and the paths of their pages in the site.
NAV: Final[Mapping[str, tuple[str, ...]]] = {
    "Start": ("index.md",),
    "Tutorial": ("tutorial.md", "sandbox.md"),
    "How-to": (
        "pipelines.md",
        "http-api.md",
        "receivers.md",
        "webhooks.md",
        "testing.md",
        "settings.md",
        "decisions.md",
        "encryption.md",
        "evidence-log.md",
        "evidence-export.md",
        "deploy.md",
        "operations.md",
        "metrics.md",
        "operators.md",
        "console.md",
        "console-screens.md",
        "runbooks.md",
        "upkeep.md",
        "flower.md",
        "traces.md",
        "contributing.md",
    ),
    "Reference": (
        "reference/settings.md",
        "reference/commands.md",
        "reference/operations.md",
        "reference/decisions.md",
        "reference/metrics.md",
        "reference/events.md",
        "reference/errors.md",
        "reference/licences.md",
        "redis.md",
        "rabbitmq.md",
        "evidence-stores.md",
        "retention.md",
        "malformed-answers.md",
        "changelog.md",
    ),
    "Explanation": (
        "architecture.md",
        "limits.md",
        "schedule.md",
        "scale.md",
        "privacy.md",
        "security.md",
        "chaos.md",
        "chaos-report.md",
        "chaos-report-short.md",
        "benchmarks.md",
        "measurements.md",
    ),
    "Design decisions": tuple(f"adr/{path.name}" for path in sorted((ROOT / "docs" / "adr").glob("*.md"))),
}

"""Checks PromQL expressions against the metrics of `/metrics`."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from typing import TYPE_CHECKING, Any, Final

import pytest
from redis import Redis

from worker.decisions.table import Table
from worker.observability.metrics import Metrics
from worker.observability.metrics.catalogue import catalogue
from worker.observability.metrics.families import Tally
from worker.observability.metrics.label import OTHER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

needs_promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: prometheus)"
)

#: Prometheus's own series, and the labels that it or a cluster adds to all series.
_THEIRS: Final = {"up": frozenset[str](), "ALERTS": frozenset({"alertname", "alertstate"})}
_ADDED: Final = frozenset({"job", "namespace", "instance", "pod"})

#: The labels of `ekyc_worker_info`, whose description does not name them.
_INFO: Final = frozenset({"worker", "table", "version"})

_SERIES: Final = re.compile(r"(?<![:\w])(ekyc_\w+|up|ALERTS)\b(?!\()(?:\{([^}]*)\})?")
#: A series that a rule records from a counter; it has that counter's labels.
_RECORDED: Final = re.compile(r"\bregion:(ekyc_\w+):")
_MATCHER: Final = re.compile(r'(\w+)(=~|!~|!=|=)"([^"]*)"')
_GROUPED: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left)\s*\(([^)]*)\)")


def _exposed() -> Iterator[tuple[str, frozenset[str]]]:
    """Yield every series that `/metrics` may have, with its labels. `describe` does not connect to Redis."""
    for metric in Metrics(Redis(port=1), ["ph"], Table.load(None)).describe():
        labels = _INFO if metric.type == "info" else frozenset(getattr(metric, "_labelnames", ()))
        match metric.type:
            case "histogram":
                yield f"{metric.name}_bucket", labels | {"le"}
                yield from ((f"{metric.name}_{end}", labels) for end in ("count", "sum"))
            case "counter" | "info":
                yield metric.name + {"counter": "_total", "info": "_info"}[metric.type], labels
            case _:
                yield metric.name, labels


EXPOSED: Final = dict(_exposed())

#: The values that exist from the start, by metric and label.
_KNOWN: Final = {
    (each.name, each.label.name): {*each.label.known, OTHER}
    for each in catalogue(Table.load(None))
    if isinstance(each, Tally) and each.label.known
}


def metrics(expr: str) -> set[str]:
    """Return the names of our metrics in an expression."""
    return {name for name, _ in _SERIES.findall(expr)} - _THEIRS.keys()


def faults(expr: str, legend: str = "") -> list[str]:
    """Return the faults of an expression: metrics, labels or values that do not exist."""
    found: list[str] = []
    there = set(_ADDED).union(*(EXPOSED.get(f"{name}_total", ()) for name in _RECORDED.findall(expr)))
    for name, matchers in _SERIES.findall(expr):
        labels = EXPOSED.get(name, _THEIRS.get(name))
        if labels is None:
            found.append(f"no metric {name}")
            continue
        there |= labels
        for label, kind, value in _MATCHER.findall(matchers):
            if label not in labels | _ADDED:
                found.append(f"{name} has no label {label}")
            elif kind == "=" and value not in _KNOWN.get((name, label), {value}):
                found.append(f"{name} has no {label} {value}")
    grouped = {label for each in _GROUPED.findall(expr) for label in re.findall(r"\w+", each)}
    in_legend = set(re.findall(r"\{\{(\w+)\}\}", legend))
    return found + [f"nothing has a label {label}" for label in sorted((grouped | in_legend) - there)]


def promtool(*arguments: str | Path, stdin: str = "") -> None:
    """Run promtool. Fails with its output if it reports an error."""
    ran = subprocess.run(
        ["promtool", *arguments], check=False, input=stdin, capture_output=True, text=True, timeout=300,
        env=os.environ | {"GOGC": "800"},  # A sixth of its time goes into collecting garbage early.
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr


def of_rules(groups: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [rule for group in groups for rule in group["rules"]]

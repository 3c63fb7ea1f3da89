"""The page of metrics, from `worker/observability/metrics/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from redis import Redis

from tools.docs.page import code, generated, table
from worker import errors
from worker.decisions.table import Table
from worker.errors import EkycError
from worker.observability.metrics import Metrics
from worker.observability.metrics.catalogue import catalogue
from worker.observability.metrics.families import Spread, Tally

if TYPE_CHECKING:
    from collections.abc import Iterable

    from prometheus_client.core import Metric

    from worker.observability.metrics.label import FirstSeen, Label

_INTRO = """
The metrics of `/metrics` of [`web`](../metrics.md), with the help text of each. What a figure leaves out, how to scrape
it and which questions it answers: [metrics and health](../metrics.md#notes-on-some-metrics).

Counters count from the start of the ledger. They survive restarts of workers, of `web`, and of Redis with its
append-only file. Metrics named `_total` and histograms are for `rate()` and `increase()`.
"""

_KINDS = {
    "Now": ("gauge", "info"),
    "So far": ("counter",),
    "How long things take": ("histogram",),
}


def page() -> str:
    # `describe` needs no Redis: the client never connects.
    found = list(Metrics(Redis(port=1), ["ph"], Table.load(None)).describe())
    sections = [
        f"## {title}\n\n{_table(metric for metric in found if metric.type in kinds)}"
        for title, kinds in _KINDS.items()
    ]
    return generated(
        "Metrics", _INTRO, *sections, _label_values(), _buckets(), source="`worker/observability/metrics/`"
    )


def exposed(metric: Metric) -> str:
    """Return the name of a metric as in `/metrics`."""
    return metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")


def labels(metric: Any) -> list[str]:
    return ["worker", "table", "version"] if metric.type == "info" else list(metric._labelnames)  # noqa: SLF001 - there is no public name


def _table(found: Iterable[Metric]) -> str:
    rows = [
        [code(exposed(metric)), metric.type, ", ".join(map(code, labels(metric))), metric.documentation]
        for metric in found
    ]
    return table(["metric", "type", "labels", "meaning"], rows)


def _known(label: Label | FirstSeen) -> list[str]:
    """Return the values of a label that every process has, without the causes that commands and tests define."""
    if label.name != "cause":
        return list(label.known)
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, EkycError)]
    return [cause for cause in label.known if cause in {kind.cause for kind in kinds} | {"UNFORESEEN"}]


def _label_values() -> str:
    rows = [
        [
            code(metric.name),
            code(metric.label.name),
            " ".join(map(code, _known(metric.label)))
            + (", all others: `other`" if metric.label.closed else ""),
        ]
        for metric in catalogue(Table.load(None))
        if isinstance(metric, Tally) and metric.label.known
    ]
    intro = (
        "These values exist from the start, with 0, so that `rate()` sees the first increase. Decisions and codes are "
        "those of the packaged decision table."
    )
    return f"## Values of labels\n\n{intro}\n\n{table(['metric', 'label', 'values'], rows)}"


def _buckets() -> str:
    rows = [
        [code(metric.name), " ".join(f"{bound_s:g}" for bound_s in metric.timing.bounds_s)]
        for metric in catalogue(Table.load(None))
        if isinstance(metric, Spread)
    ]
    return f"## Buckets of histograms\n\n{table(['metric', 'upper bounds, in seconds'], rows)}"

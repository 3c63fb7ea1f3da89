"""Panels of the Grafana dashboard, and their queries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

Json: TypeAlias = dict[str, Any]

DATASOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}

#: Grafana's grid is 24 columns wide; a row has about 38 pixels.
COLUMNS: Final = 24

#: Label matchers for figures of regions, and for those of the fleet.
CHOSEN: Final = ('job="$job"', 'region=~"$region"')
FLEET: Final = '{job="$job"}'

GREEN: Final = {"color": "green", "value": None}


def of(metric: str, *matchers: str) -> str:
    """Return the selector of a metric, for the chosen ledger and regions."""
    return f"{metric}{{{', '.join((*CHOSEN, *matchers))}}}"


def rate(metric: str, by: str = "") -> str:
    """Return a query for the rate per second, by a label."""
    return f"sum by ({by}) ({_once(by)} (rate({of(metric)}[$__rate_interval])))"


def increase(metric: str, by: str = "") -> str:
    """Return a query for the increase in the last hour, by a label."""
    return f"sum by ({by}) ({_once(by)} (increase({of(metric)}[1h])))"


def now(metric: str, by: str = "") -> str:
    """Return a query for the current figure, by a label."""
    return f"sum by ({by}) ({_once(by)} ({of(metric)}))"


def _once(by: str) -> str:
    """Return the aggregation that counts each series once, however many `web` report it."""
    return f"max by ({', '.join(sorted({'region', by} - {''}))})"


@dataclass(frozen=True, slots=True)
class Query:
    """PromQL, and the legend of its lines."""

    expr: str
    legend: str = ""
    #: Only the newest value, for a table.
    instant: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """One panel.

    Parameters:
      title: what it shows.
      says: its description.
      unit: Grafana's name of a unit; `short` is a number.
      width, height: in columns and rows of the grid.
      red_from, red_below: values that are bad.
    """

    title: str
    says: str
    queries: tuple[Query, ...]
    kind: str = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    red_from: float | None = None
    red_below: float | None = None
    stacked: bool = False
    hidden: tuple[str, ...] = ()
    mappings: tuple[Json, ...] = ()

    def as_json(self, number: int, x: int, y: int) -> Json:
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.says,
            "datasource": DATASOURCE,
            "gridPos": {"h": self.height, "w": self.width, "x": x, "y": y},
            "targets": [self._target(*each) for each in enumerate(self.queries)],
            "fieldConfig": {"defaults": self._defaults(), "overrides": []},
            "options": self._options(),
            "transformations": self._transformations(),
        }

    def _target(self, number: int, query: Query) -> Json:
        return {
            "refId": chr(ord("A") + number),
            "datasource": DATASOURCE,
            "expr": query.expr,
            "legendFormat": query.legend or "__auto",
            "instant": query.instant,
            "range": not query.instant,
            "format": "table" if query.instant else "time_series",
        }

    def _defaults(self) -> Json:
        drawn = {"lineWidth": 1, "fillOpacity": 30 if self.stacked else 5, "showPoints": "never"}
        stacking = {"stacking": {"mode": "normal" if self.stacked else "none", "group": "A"}}
        custom = drawn | stacking if self.kind == "timeseries" else {}
        return {
            "unit": self.unit,
            "custom": custom,
            "mappings": list(self.mappings),
            "thresholds": {"mode": "absolute", "steps": self._steps()},
            "color": {"mode": "palette-classic" if self.kind == "timeseries" else "thresholds"},
        } | ({"min": 0} if self.kind == "timeseries" else {})

    def _steps(self) -> list[Json]:
        if self.red_from is not None:
            return [GREEN, {"color": "red", "value": self.red_from}]
        if self.red_below is not None:
            return [GREEN | {"color": "red"}, {"color": "green", "value": self.red_below}]
        return [GREEN]

    def _options(self) -> Json:
        if self.kind == "stat":
            return {
                "colorMode": "background",
                "graphMode": "area",
                "reduceOptions": {"calcs": ["lastNotNull"]},
            }
        if self.kind == "table":
            return {"showHeader": True}
        legend = {
            "displayMode": "table",
            "placement": "bottom",
            "calcs": ["lastNotNull", "max"],
            "showLegend": True,
        }
        return {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}

    def _transformations(self) -> list[Json]:
        if self.kind != "table":
            return []
        hidden = dict.fromkeys(("Time", "__name__", "instance", "job", *self.hidden), True)
        return [{"id": "organize", "options": {"excludeByName": hidden}}]


def stat(title: str, says: str, expr: str, **others: Any) -> Panel:
    """Return a panel with one number."""
    return Panel(title, says, (Query(expr),), kind="stat", width=others.pop("width", 3), height=4, **others)


def spread(title: str, says: str, metric: str) -> Panel:
    """Return a panel with the 50th, 95th and 99th percentile of a histogram."""
    rates = f"sum by (le) (max by (region, le) (rate({of(metric + '_bucket')}[$__rate_interval])))"
    shares = ((0.5, "median"), (0.95, "95 %"), (0.99, "99 %"))
    queries = tuple(Query(f"histogram_quantile({share}, {rates})", name) for share, name in shares)
    return Panel(title, says, queries, unit="s")


def yes_or_no(bad: str, good: str) -> tuple[Json, ...]:
    return (
        {
            "type": "value",
            "options": {"0": {"text": bad, "color": "red"}, "1": {"text": good, "color": "green"}},
        },
    )

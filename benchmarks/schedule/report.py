"""The figures as Markdown, as they stand in `docs/schedule.md`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.schedule.peers import AUTORETRY, DOUBLING, FIXED

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from benchmarks.schedule.crowd import Crowd
    from benchmarks.schedule.figures import Comparison, Figures


def comparisons(found: Mapping[str, Comparison]) -> Iterator[str]:
    """A row for each scenario, beside plain `2^n`."""
    yield "| scenario | ours: polls, median, p95 | `2 ** n` as written | `2^n` at our polls | median | p95 |"
    yield "|---|---|---|---|---|---|"
    for name, one in found.items():
        yield (
            f"| {name} | {_figures(one.ours)} | {_figures(one.as_written)} "
            f"| {_delays(one.at_our_polls[DOUBLING.name])} "
            f"| {change(one.median_ratio(DOUBLING))} | {change(one.p95_ratio(DOUBLING))} |"
        )


def others(found: Mapping[str, Comparison]) -> Iterator[str]:
    """A row for each scenario, beside the other families."""
    yield "| scenario | ours | `retry_backoff` | median | p95 | fixed interval | median | p95 |"
    yield "|---|---|---|---|---|---|---|---|"
    for name, one in found.items():
        cells = [name, _delays(one.ours)]
        for family in (AUTORETRY, FIXED):
            cells += [
                _delays(one.at_our_polls[family.name]),
                change(one.median_ratio(family)),
                change(one.p95_ratio(family)),
            ]
        yield f"| {' | '.join(cells)} |"


def steps(found: Iterable[tuple[str, Figures]]) -> Iterator[str]:
    """A row for each change."""
    yield "| | polls, median, p95 |"
    yield "|---|---|"
    for name, figures in found:
        yield f"| {name} | {_figures(figures)} |"


def crowds(found: Mapping[str, Crowd]) -> Iterator[str]:
    """A row for each policy."""
    yield "| busiest second | of the first minute | until the hour | of the minute after it |"
    yield "|---|---|---|---|"
    for name, crowd in found.items():
        yield f"| {name} | {crowd.soon:.0%} | {crowd.later:.0%} | {crowd.after_the_hour:.0%} |"


def _figures(figures: Figures) -> str:
    return f"{figures.polls:.1f}, {_delays(figures)}"


def _delays(figures: Figures) -> str:
    return f"{_seconds(figures.median_s)}, {_seconds(figures.p95_s)}"


def _seconds(delay_s: float) -> str:
    return f"{delay_s:.1f} s" if delay_s < 10 else f"{delay_s:.0f} s"


def change(ratio: float) -> str:
    """By how much something is more or less, with a true minus."""
    percent = round((ratio - 1) * 100)
    return f"{percent:+d}%".replace("-", "\N{MINUS SIGN}") if percent else "0%"

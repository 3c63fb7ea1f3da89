"""The results as tables in Markdown."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks.bench.goals import goals
from benchmarks.bench.lineup import CONTENDERS
from benchmarks.bench.profile import PROFILES
from benchmarks.bench.summary import OURS, Spread, profiles, standings

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from benchmarks.bench.goals import Goal
    from benchmarks.bench.results import Results
    from benchmarks.bench.summary import Standing

#: Below this the machine had nothing else to do: what an idle Linux and the clock of the measurement come to.
QUIET_CORES: Final = 0.15

#: What a page has around the part that is written by `fill`.
BEGIN: Final = "<!-- bench: from here on written by `python -m benchmarks.bench` -->"
END: Final = "<!-- bench: to here -->"


def report(results: Results) -> str:
    """All tables, with their headings."""
    parts = [_sittings(results), _goals(goals(results)), _promises()]
    parts += [_profile(results, name) for name in profiles(results)]
    if results["waiting"]:
        parts.append(_waiting(results["waiting"]))
    if results["targets"]:
        parts.append(_targets(results["targets"]))
    return "\n\n".join(parts)


def fill(page: Path, text: str) -> None:
    """Put `text` between the marks of a page. Raises ``ValueError`` where it has none."""
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{page} has no marks of the benchmark")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}")


def _sittings(results: Results) -> str:
    lines = dict.fromkeys(_sitting(when, about) for when, about in results["sittings"].items())
    if len(results["sittings"]) > 1:
        lines["Not all of it in one sitting: a ratio across sittings is a hint, no more."] = None
    return "\n".join(lines)


def _sitting(when: str, about: dict[str, Any]) -> str:
    machine = about["machine"]
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return (
        f"Measured {when.partition('T')[0]} on {machine['cores']} cores ({machine['architecture']}), "
        f"{machine['memory_gb']} GB, {machine['system']}, {machine['filesystem']}; {versions}."
    )


def _goals(found: Sequence[Goal]) -> str:
    rows = [
        (goal.what, _figure(goal.found, goal.unit), _bound(goal), "yes" if goal.met else "**no**")
        for goal in found
    ]
    return f"### The targets\n\n{_table(('ours', 'measured', 'target', 'met'), rows)}"


def _bound(goal: Goal) -> str:
    return f"{'≤' if goal.at_most else '≥'} {_figure(goal.bound, goal.unit)}"


def _figure(value: float, unit: str) -> str:
    if unit == "×":
        return f"{value:.2f} ×"
    return f"{value:,.1f} bytes" if unit == "bytes" else f"{value:,.0f} {unit}"


def _promises() -> str:
    head = ("", "survives `kill -9`", "one decision", "evidence", "validates", "countdowns live")
    rows = [
        (
            contender.name,
            contender.promises.survives_kill,
            contender.promises.one_decision,
            contender.promises.evidence,
            contender.promises.validation,
            contender.promises.countdowns_live,
        )
        for contender in CONTENDERS
    ]
    return f"### What each promises\n\n{_table(head, rows)}"


def _profile(results: Results, name: str) -> str:
    found = standings(results, name)
    ours = next((one.per_s.median for one in found if one.contender == OURS and one.per_s), None)
    head = (
        "",
        "a second (least – most)",
        "ours is",
        "CPU each",
        "memory",
        "run as",
        "other ways of running it",
    )
    rows = [_standing(one, ours) for one in found]
    notes = [f"{one.contender}: {fault}" for one in found for fault in one.disagreements]
    parts = [f"### {name}: {PROFILES[name].about}", _table(head, rows)]
    if notes:
        parts.append(f"Counts that disagree: {'; '.join(notes)}.")
    others_cores = max((one.others_cores for one in found), default=0.0)
    if others_cores > QUIET_CORES:
        parts.append(f"**Disturbed**: other programs kept up to {others_cores:.1f} cores busy meanwhile.")
    return "\n\n".join(parts)


def _standing(one: Standing, ours: float | None) -> tuple[str, ...]:
    others = ", ".join(f"{name} {per_s:,.0f}" for name, per_s in one.others)
    if one.per_s is None:
        return (one.contender, "did not finish", "", "", "", one.variant, others)
    ratio = f"{ours / one.per_s.median:.2f} ×" if ours else ""
    return (
        one.contender,
        spread(one.per_s),
        ratio,
        f"{one.cpu_ms:.1f} ms",
        f"{one.memory_mb:,.0f} MB",
        one.variant,
        others,
    )


def spread(values: Spread) -> str:
    return f"**{values.median:,.0f}** ({values.least:,.0f} – {values.most:,.0f})"


def _waiting(steps: Iterable[dict[str, Any]]) -> str:
    head = (
        "",
        "waiting",
        "taken up a second",
        "workers",
        "each",
        "Redis, each",
        "settled",
        "delay (95 %)",
        "CPU each",
    )
    rows = [_step(step) for step in steps]
    return (
        "### waiting: many wait for days, while 50 a second settle\n\n"
        f"{_table(head, rows)}\n\n"
        "Taken up: enqueued and polled once, from the first enqueue to the last poll; of one that was stopped, until "
        "then. Workers: what all processes of the contender hold, and by how much they grew for each that waits, from "
        "the most of the step's first half to the most of its second. Redis, each: by how much it grew, for each of "
        "them. Settled: of those enqueued at 50 a second, with the median delay until the decision was on its queue, "
        "and the CPU of the processes for each. One run each."
    )


def _step(step: dict[str, Any]) -> tuple[str, ...]:
    name = step["contender"]
    growth = (
        f"{step['taken_per_s']:,.0f}",
        f"{step['workers_mb']:,.0f} MB",
        f"{step['worker_bytes_each']:,.1f} bytes",
    )
    if step["failure"]:
        # One that was not tried has nothing to show. And Redis also holds what was enqueued and not taken up.
        tried = growth if step["taken_per_s"] else ("", "", "")
        return (name, f"{step['waiting']:,} of {step['asked']:,}", *tried, "", step["failure"], "", "")
    settled = step["settled"]
    return (
        name,
        f"{step['waiting']:,}",
        *growth,
        f"{step['redis_bytes_each']:,.0f} bytes",
        f"{settled['decided']:,} of {settled['asked']:,}",
        f"{settled['delay_median_ms']:,.0f} ms ({settled['delay_p95_ms']:,.0f} ms)",
        f"{settled['cpu_ms_each']:.1f} ms",
    )


def _targets(targets: dict[str, Any]) -> str:
    rows = []
    if enqueue := targets.get("enqueue"):
        rows.append(
            ("enqueue, ours, batches of 1,000", f"{spread(Spread.of(enqueue['ours_per_s']))} a second")
        )
        rows.append(
            ("enqueue, plain Celery's `delay`", f"{spread(Spread.of(enqueue['delay_per_s']))} a second")
        )
    if claim := targets.get("claim"):
        for name in ("few", "many"):
            times_ms = Spread.of(claim[f"{name}_ms"])
            figure = f"**{times_ms.median:.2f}** ({times_ms.least:.2f} – {times_ms.most:.2f}) ms"
            rows.append((f"a claim of 64 with {claim[name]:,} waiting", figure))
    if events := targets.get("events"):
        paces = {name: Spread.of(events[f"{name}_per_s"]) for name in ("on", "off")}
        rows += [(f"cpu with task events {name}", f"{spread(pace)} a second") for name, pace in paces.items()]
    if synced := targets.get("synced"):
        paces = {name: Spread.of(per_s) for name, per_s in synced["per_s"].items()}
        rows += [
            (f"cpu with every file synced by everybody: {name}", f"{spread(pace)} a second")
            for name, pace in sorted(paces.items(), key=lambda one: -one[1].median)
        ]
    if nudge := targets.get("nudge"):
        rows.append(
            (
                f"from ready to decided, told by `nudge`, {nudge['count']} one by one",
                f"**{nudge['median_ms']:.0f} ms**, 95 % within {nudge['p95_ms']:.0f} ms",
            )
        )
    return f"### One part alone\n\n{_table(('', 'median (least – most)'), rows)}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)

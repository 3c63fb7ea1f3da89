"""Play everything, print the tables, and draw the chart if a file is named for it."""

from __future__ import annotations

import argparse
from itertools import repeat
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from benchmarks.schedule import callbacks, report
from benchmarks.schedule.chart import Row, draw, most_polls
from benchmarks.schedule.crowd import Crowd
from benchmarks.schedule.figures import compare, curve_of_family, curve_of_ours
from benchmarks.schedule.peers import AS_WRITTEN, DEADLINE_S, DOUBLING, FAMILIES
from benchmarks.schedule.scenarios import POLICY_SEED, SCENARIOS
from benchmarks.schedule.steps import steps
from worker.policy.backoff import Backoff, Backoffs
from worker.policy.rules import Policy
from worker.policy.simulation import Scenario, simulate
from worker.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.schedule.figures import Comparison
    from benchmarks.schedule.scenarios import ScenarioMix

#: Verifications of each scenario in the tables, and for each point of a curve.
NUMBER: Final = 3000
POINT: Final = 300

#: What the chart shows; the table has them all.
DRAWN: Final = ("quick", "slow", "user", "abandoned", "mixture", "mixture, told")

#: Factors of our curve.
FACTORS: Final = (6.0, 4.0, 3.0, 2.5, 2.0, 1.7, 1.5, 1.35, 1.25, 1.18, 1.12, 1.08)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.schedule", description=__doc__)
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw the chart into this file")
    arguments = parser.parse_args()
    # Of the defaults, whatever the environment says.
    settings = Settings()
    found = {scenario.name: compare(scenario, settings, NUMBER) for scenario in SCENARIOS}
    _print(report.comparisons(found))
    _print(report.others(found))
    mixture = next(scenario for scenario in SCENARIOS if scenario.name == "mixture")
    _print(report.steps(steps(settings, mixture.courses(NUMBER))))
    _print(report.crowds(crowds(settings)))
    for name in ("user", "mixture"):
        courses = next(scenario for scenario in SCENARIOS if scenario.name == name).courses(NUMBER)
        print(name)
        _print(report.steps(callbacks.figures(settings, courses)))
    if arguments.chart:
        rows = [
            row(scenario, found[scenario.name], settings) for scenario in SCENARIOS if scenario.name in DRAWN
        ]
        arguments.chart.write_text(draw(rows))
        print(f"drawn: {arguments.chart}")


def row(scenario: ScenarioMix, comparison: Comparison, settings: Settings) -> Row:
    courses, most = scenario.courses(POINT), most_polls(comparison.ours)
    return Row(
        scenario.name,
        scenario.about,
        peers={family.name: curve_of_family(family, most, courses) for family in FAMILIES},
        ours=curve_of_ours(settings, FACTORS, courses),
        default=comparison.ours,
        as_written=comparison.as_written,
        at_equal_polls=comparison.at_our_polls[DOUBLING.name],
    )


def crowds(settings: Settings) -> dict[str, Crowd]:
    """Of those who wait for ever, so that only their countdowns count."""
    random = Random(POLICY_SEED)
    full = Backoff(2.0, 2.0, settings.poll_cap_s)
    policies = {"2, doubled, full jitter": Backoffs(full, full), "ours": Backoffs.from_settings(settings)}
    found = {
        "`2 ** n` as written": Crowd.of(
            AS_WRITTEN.play(course, random) for course in repeat(Scenario(), NUMBER)
        )
    }
    for name, backoffs in policies.items():
        policy = Policy(backoffs, deadline_s=DEADLINE_S, random=random)
        found[name] = Crowd.of(simulate(policy, course) for course in repeat(Scenario(), NUMBER))
    return found


def _print(lines: Iterable[str]) -> None:
    print("\n".join(lines), end="\n\n")


if __name__ == "__main__":
    main()

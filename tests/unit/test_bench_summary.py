"""What the runs of the benchmark say together: medians, spreads, ratios, targets."""

from __future__ import annotations

import pytest

from benchmarks.bench.goals import goals
from benchmarks.bench.summary import disagreeing, standings
from tests.unit.bench_results import results, run, step, unfinished


def found(what: str, measured: dict[str, object]) -> float:
    """What is measured for the one target that begins so."""
    (value,) = [goal.found for goal in goals(measured) if goal.what.startswith(what)]
    return value


def met(what: str, measured: dict[str, object]) -> bool:
    (value,) = [goal.met for goal in goals(measured) if goal.what.startswith(what)]
    return value


def test_a_rate_is_the_median_of_the_rounds_with_its_spread() -> None:
    (ours,) = standings(results(*(run("ours", per_s) for per_s in (900.0, 1000.0, 400.0))), "cpu")
    assert ours.per_s is not None
    assert (ours.per_s.median, ours.per_s.least, ours.per_s.most) == (900.0, 400.0, 1000.0)
    assert (ours.rounds, ours.cpu_ms) == (3, 2.0)


def test_the_best_variant_of_a_contender_counts_and_the_others_are_named() -> None:
    measured = results(
        run("plain Celery", 100.0, variant="threads"),
        run("plain Celery", 120.0, variant="threads"),
        run("plain Celery", 130.0, variant="gevent"),
        run("plain Celery", 150.0, variant="gevent"),
        # In the first round it was slow, and it sat out the second.
        run("plain Celery", 60.0, variant="prefork"),
    )
    (celery,) = standings(measured, "cpu")
    assert celery.variant == "gevent"
    assert celery.others == (("threads", 110.0), ("prefork", 60.0))


def test_a_variant_with_one_lucky_round_does_not_count_for_those_with_all() -> None:
    measured = results(
        run("huey", 100.0, variant="threads"),
        run("huey", 100.0, variant="threads"),
        run("huey", 999.0, variant="processes"),
    )
    assert standings(measured, "cpu")[0].variant == "threads"


def test_who_did_not_finish_once_has_no_rate_and_stands_last() -> None:
    names = standings(results(unfinished("taskiq"), run("ours", 10.0)), "cpu")
    assert [(one.contender, one.per_s is None) for one in names] == [("ours", False), ("taskiq", True)]


def test_a_round_that_did_not_finish_counts_as_none_where_variants_are_compared() -> None:
    measured = results(
        run("plain Celery", 200.0, variant="gevent"),
        unfinished("plain Celery", variant="gevent"),
        unfinished("plain Celery", variant="gevent"),
        *(run("plain Celery", 50.0, variant="threads") for _ in range(3)),
    )
    assert standings(measured, "cpu")[0].variant == "threads"


def test_counts_that_disagree_are_not_lost() -> None:
    odd = run("taskiq", 10.0, disagreements=["11 decisions instead of 10"])
    assert standings(results(odd), "cpu")[0].disagreements == ("11 decisions instead of 10",)
    assert disagreeing(results(odd, run("ours", 1.0), unfinished("huey"))) == [
        "cpu · taskiq (one), round 1: 11 decisions instead of 10"
    ]


def test_targets_are_ratios_of_medians_within_a_profile() -> None:
    measured = results(
        run("ours", 600.0, profile="real"),
        run("plain Celery", 200.0, profile="real"),
        run("dramatiq", 400.0, profile="real"),
        run("huey", 600.0, profile="real"),
        run("bare asyncio", 1000.0, profile="real"),
    )
    assert found("against plain Celery at its best", measured) == 3.0
    assert met("against plain Celery at its best", measured)
    assert found("against the best other peer (huey)", measured) == 1.0
    assert not met("against the best other peer (huey)", measured)
    assert found("against the bare limit", measured) == 0.6
    assert met("against the bare limit", measured)


@pytest.mark.parametrize(("profile", "celery", "peer"), [("cpu", 4.0, 1.3), ("polls", 3.0, 1.2)])
def test_more_is_asked_of_cpu_than_of_what_waits(profile: str, celery: float, peer: float) -> None:
    measured = results(
        run("ours", 500.0, profile=profile),
        run("plain Celery", 100.0, profile=profile),
        run("huey", 400.0, profile=profile),
        run("bare asyncio", 1000.0, profile=profile),
    )
    assert [goal.bound for goal in goals(measured)] == [celery, peer, 0.55]
    assert not met("against the bare limit", measured)


def test_nothing_is_said_of_what_was_not_measured() -> None:
    assert goals(results()) == []
    assert goals(results(run("plain Celery", 1.0))) == []
    assert goals(results(run("ours", 1.0), unfinished("plain Celery"))) == []


def test_waiting_is_compared_at_the_same_number() -> None:
    measured = results(
        waiting=[
            step("ours", 100_000, 1000.0),
            step("ours", 1_000_000, 900.0, worker_bytes_each=0.4, redis_bytes_each=401.0),
            step("plain Celery", 100_000, 250.0),
            step("plain Celery", 1_000_000, 0.0, failure="not tried"),
            step("huey", 100_000, 500.0),
        ]
    )
    assert found("against plain Celery, waiting, 100,000", measured) == 4.0
    assert found("against the best other peer (huey), waiting, 100,000", measured) == 2.0
    assert not [goal for goal in goals(measured) if "against" in goal.what and "1,000,000" in goal.what]
    assert met("memory of a worker", measured)
    assert not met("memory of Redis", measured)


@pytest.mark.parametrize(
    ("target", "figures", "what", "value", "holds"),
    [
        (
            "enqueue",
            {"ours_per_s": [10.0, 20.0, 30.0], "delay_per_s": [1.0, 2.0, 3.0]},
            "enqueue",
            10.0,
            True,
        ),
        (
            "claim",
            {"few": 10, "many": 90, "few_ms": [1.0], "many_ms": [1.6]},
            "cost of a claim, 90 waiting against 10",
            *(1.6, False),
        ),
        ("events", {"on_per_s": [80.0], "off_per_s": [100.0]}, "task events", 0.8, False),
        (
            "nudge",
            {"count": 9, "median_ms": 150.0, "p95_ms": 900.0},
            "from the vendor being ready",
            150.0,
            True,
        ),
    ],
)
def test_each_part_alone_has_its_target(
    target: str, figures: dict[str, object], what: str, value: float, holds: bool
) -> None:
    measured = results(targets={target: figures | {"sitting": "x"}})
    assert found(what, measured) == pytest.approx(value)
    assert met(what, measured) is holds

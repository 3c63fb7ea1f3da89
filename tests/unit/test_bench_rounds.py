"""Who runs when, and what ends a step of the profile `waiting` before it begins."""

from __future__ import annotations

from pathlib import Path

from benchmarks.bench.lineup import CONTENDERS, DRAMATIQ, HUEY, OURS, PLAIN_CELERY
from benchmarks.bench.profile import CPU, REAL
from benchmarks.bench.rounds import Entry, Rounds, rotated
from benchmarks.bench.run import disagreements
from benchmarks.bench.sitting import first_variants
from benchmarks.bench.vendor import Calls
from benchmarks.bench.waiting import Step, growth, hopelessness
from tests.unit.bench_results import run, unfinished

ENTRIES = [Entry(PLAIN_CELERY, variant) for variant in PLAIN_CELERY.variants]


def rounds(*runs: dict[str, object]) -> Rounds:
    return Rounds(ENTRIES, [CPU], 1.0, Path(), print, list(runs))


def sitting_out(so_far: Rounds) -> list[str]:
    return [entry.variant.name for entry in ENTRIES if so_far.sits_out(entry, CPU)]


def test_each_round_begins_with_another_contender() -> None:
    assert [rotated("abc", turns) for turns in range(4)] == [
        list("abc"),
        list("bca"),
        list("cab"),
        list("abc"),
    ]


def test_in_the_first_round_everybody_plays() -> None:
    assert sitting_out(rounds()) == []
    assert sitting_out(rounds(run("plain Celery", 100.0, variant="threads"))) == []


def test_variants_far_behind_the_best_of_the_first_round_sit_out() -> None:
    so_far = rounds(
        run("plain Celery", 100.0, variant="threads"),
        run("plain Celery", 81.0, variant="prefork"),
        run("plain Celery", 79.0, variant="gevent"),
    )
    assert sitting_out(so_far) == ["gevent"]


def test_only_the_first_round_of_the_same_profile_decides_who_sits_out() -> None:
    so_far = rounds(
        run("plain Celery", 100.0, variant="threads"),
        run("plain Celery", 90.0, variant="prefork"),
        run("plain Celery", 300.0, variant="threads"),
        run("plain Celery", 1.0, variant="prefork", profile="real"),
        unfinished("plain Celery", variant="gevent"),
    )
    assert sitting_out(so_far) == ["gevent"]


def test_a_contender_that_failed_in_every_variant_tries_again() -> None:
    assert sitting_out(rounds(*(unfinished("plain Celery", variant=e.variant.name) for e in ENTRIES))) == []


def test_where_one_variant_has_to_do_it_is_the_first() -> None:
    assert [entry.variant.name for entry in first_variants(ENTRIES)] == ["threads"]


def test_contenders_are_told_apart_by_name_and_module() -> None:
    assert len({contender.name for contender in CONTENDERS}) == len(CONTENDERS)
    assert len({contender.module for contender in CONTENDERS}) == len(CONTENDERS)


def test_a_pool_is_sized_by_how_long_calls_take() -> None:
    threads = PLAIN_CELERY.variants[0]
    assert threads.concurrency(CPU) < threads.concurrency(REAL)


def test_ours_runs_as_it_is_shipped(tmp_path: Path) -> None:
    """No pool and no concurrency of the benchmark's own: two processes with the recommended configuration."""
    commands = OURS.variants[0].commands(7, tmp_path)
    assert [command.arguments[:4] for command in commands] == [("celery", "-A", "worker", "worker")] * 2
    assert not any({"-P", "-c", "--pool", "--concurrency"} & set(command.arguments) for command in commands)


def test_whose_documentation_offers_gevent_for_calls_that_take_long_runs_with_it_too(tmp_path: Path) -> None:
    for contender in (PLAIN_CELERY, DRAMATIQ, HUEY):
        (variant, *_) = [one for one in contender.variants if one.name.startswith(("gevent", "greenlets"))]
        assert any(
            "gevent" in argument for one in variant.commands(9, tmp_path) for argument in one.arguments
        )


def step(**more: object) -> Step:
    figures = {"asked": 1000, "waiting": 1000, "taken_per_s": 100.0, "workers_mb": 100.0} | more
    return Step("huey", "threads", **figures)  # type: ignore[arg-type]


def test_a_step_that_would_take_too_long_is_not_tried() -> None:
    assert hopelessness(step(), 11_000, within_s=100.0) is None
    assert "3 minutes" in str(hopelessness(step(), 21_000, within_s=100.0))


def test_a_step_that_would_take_too_much_memory_is_not_tried() -> None:
    assert hopelessness(step(worker_bytes_each=5_000.0), 1_000_000, within_s=1e9) is None
    assert "10 GB" in str(hopelessness(step(worker_bytes_each=10_000.0), 1_000_000, within_s=1e9))


def test_growth_is_the_slope_of_what_grows_evenly() -> None:
    assert growth([(at, 5_000_000 + 9 * at) for at in range(0, 1_000, 10)]) == 9.0
    assert growth([(at, 5_000_000 + 9 * at) for at in range(700, 1_000, 7)]) == 9.0


def test_what_a_process_needs_to_work_at_all_is_no_growth_and_what_it_gives_back_hides_none() -> None:
    warming = [(at, 1_000 + min(at, 200) * 50) for at in range(0, 1_000, 10)]
    assert growth(warming) == 0.0
    dipping = [(at, 1_000 + 9 * at - (500 if 600 <= at < 800 else 0)) for at in range(0, 1_000, 10)]
    assert growth(dipping) == 9.0


def test_where_too_little_was_seen_there_is_no_growth() -> None:
    assert growth([]) == growth([(5, 5)]) == growth([(5, 5), (5, 6)]) == 0.0
    assert str(growth([(0, 100), (1_000_000, 99)])) == "0.0"


def test_a_run_that_lost_or_doubled_something_says_so(tmp_path: Path) -> None:
    said = disagreements(tmp_path, {"a", "b"}, 2, ["a", "a", "x"], Calls(token=1, get_result=5, image=4))
    assert said == [
        "3 decisions instead of 2",
        "1 verifications decided instead of 2",
        "5 calls of get-result instead of 4",
        "0 folders with an answer and two images instead of 2",
    ]

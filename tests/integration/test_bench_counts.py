"""The benchmark's counts, beside a contender that does the job wrong: real nginx, real Valkey, a real process."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from benchmarks.bench import vendor
from benchmarks.bench.contender import Command, Contender, Promises, Variant
from benchmarks.bench.failure import BenchFailed, Missing
from benchmarks.bench.ground import ground
from benchmarks.bench.profile import CPU
from benchmarks.bench.queues import PushedList
from benchmarks.bench.run import Run

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNT = 6
MODULE = "tests.integration.bench_contender"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """A contender that is started and warm."""
    try:
        vendor.modules()
    except Missing as error:
        pytest.skip(str(error))
    variant = Variant("one", lambda _concurrency, _folder: [Command("wrong", (MODULE,))])
    contender = Contender("wrong", MODULE, PushedList("onboarding"), (variant,), Promises(*["no"] * 5))
    before = dict(os.environ)
    try:
        with ground(tmp_path_factory.mktemp("bench")) as fresh:
            fresh.redis.set("fault", "none")
            made = Run(fresh, contender, variant)
            made.start(CPU, count=1, for_s=0.0)
            yield made
    finally:
        os.environ.update(before)


def found(run: Run, fault: str) -> tuple[str, ...]:
    run.ground.redis.set("fault", fault)
    return run.let_through(CPU, COUNT, within_s=20).disagreements


def test_a_contender_that_does_the_job_agrees_with_all_counts(run: Run) -> None:
    assert found(run, "none") == ()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ("decides twice", "decisions instead of 6"),
        ("decides late again", "7 decisions instead of 6"),
        ("asks once more", "7 calls of get-result instead of 6"),
        ("no images", "0 calls for images instead of 12"),
        ("cut off", "0 folders with an answer and two images instead of 6"),
    ],
)
def test_work_that_is_doubled_or_left_out_is_told(run: Run, fault: str, said: str) -> None:
    assert said in " ".join(found(run, fault))


def test_work_that_is_lost_ends_the_run(run: Run) -> None:
    run.ground.redis.set("fault", "loses")
    with pytest.raises(BenchFailed, match="not done after 1 s"):
        run.let_through(CPU, COUNT, within_s=1)

"""Flower as a person sees it: in a browser, while the fleet works."""

from __future__ import annotations

import re
from itertools import count
from typing import TYPE_CHECKING

import pytest

from schemas.enqueue import EnqueueRequest
from tests.acceptance.test_worker import TASKS
from tests.acceptance.watched import Browser, flower
from tests.support.waiting import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.acceptance.fleet import Fleet

pytestmark = pytest.mark.timeout(180)


def test_a_browser_shows_our_workers_and_their_tasks_while_they_work(fleet: Fleet, tmp_path: Path) -> None:
    """The vendor takes eight seconds for each answer, so that there is something under way to be seen."""
    browser = Browser.found(tmp_path / "profile")
    watch = flower(fleet)
    fleet.worker()
    numbers = count()

    def under_way() -> list[list[str]]:
        ids = [f"pass-latency8s-{next(numbers)}" for _ in range(20)]
        fleet.ledger().enqueue([EnqueueRequest(each, "ph") for each in ids])
        return [row for row in table(browser.read(watch.page("/tasks"))) if "STARTED" in row]

    for name, arguments, *others in until(under_way, "the page of tasks shows some that are under way"):
        assert name in TASKS
        assert re.fullmatch(r"ph · (1 verification|\d+ verifications) · pass-latency8s-\d+…?", arguments)
        assert "w1@test" in others
    (worker,) = until(lambda: table(browser.read(watch.page("/"))), "the page of workers shows ours")
    assert worker[:2] == ["w1@test", "Online"]

    page = browser.read(watch.page("/worker/w1@test"))
    assert "concurrency.thread:TaskPool" in page
    assert all(name in page for name in TASKS)
    # What a Flower that may change things has on this page.
    assert "Shut Down" not in page
    assert "Pool controls" not in page


def table(page: str) -> list[list[str]]:
    """The words in each cell of the first table's body, without its empty row."""
    body = page.partition("<tbody>")[2].partition("</tbody>")[0]
    rows = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL) for row in body.split("<tr")[1:]]
    return [[re.sub(r"<[^>]+>", "", cell).strip() for cell in row] for row in rows if len(row) > 1]

"""`ekyc poll-plan`: the schedule that the settings make, without a Redis, a vendor or a key."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from worker.cli.program import run
from worker.settings import current

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str


class Ekyc:
    """Runs a command line in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch = monkeypatch
        self._capsys = capsys

    def with_env(self, **more: str) -> Ekyc:
        for name, value in more.items():
            self._monkeypatch.setenv(name, value)
        current.cache_clear()
        return self

    def __call__(self, *arguments: str) -> Ended:
        code = run(arguments)
        said = self._capsys.readouterr()
        return Ended(code, said.out, said.err)


@pytest.fixture
def ekyc(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Ekyc]:
    for name in list(os.environ):
        if name.startswith(("EKYC_", "ADVANCE_", "REDIS_", "CELERY_")):
            monkeypatch.delenv(name)
    current.cache_clear()
    yield Ekyc(monkeypatch, capsys)
    current.cache_clear()


def plan(ekyc: Ekyc, *arguments: str, code: int = 0) -> dict[str, Any]:
    ended = ekyc("poll-plan", "--json", *arguments)
    assert (ended.code, ended.err) == (code, "")
    found: dict[str, Any] = json.loads(ended.out)
    return found


@pytest.mark.usefixtures("socket_disabled")
def test_it_prints_each_poll_of_the_defaults_and_asks_nobody(ekyc: Ekyc) -> None:
    ended = ekyc("poll-plan")
    assert (ended.code, ended.err) == (0, "")
    lines = ended.out.splitlines()
    assert lines[1].split() == ["1", "0", "s", "0", "s"]
    assert lines[2].split("  ")[-1].strip() == "1.5 s (1.0 s to 2.0 s)"
    assert "9.0 s (6.0 s to 12 s)" in lines[2]
    assert lines[-1] == (
        "At the deadline, 2 h 0 min after the enqueue, a verification is polled for the last time and decided."
    )


def test_it_is_about_the_settings_of_the_environment(ekyc: Ekyc) -> None:
    mine = ekyc.with_env(
        EKYC_POLL_FIRST="8", EKYC_POLL_FACTOR="2", EKYC_POLL_CAP="60", EKYC_POLL_DEADLINE="100"
    )
    found = plan(mine)
    assert [poll["latest_s"] for poll in found["user_done"]] == [0, 8, 24, 56, 100, 100]
    assert [poll["latest_s"] for poll in found["user_at_it"]] == [0, 48, 100, 100]
    assert (found["first_s"], found["factor"], found["cap_s"], found["deadline_s"]) == (8, 2, 60, 100)


def test_settings_that_poll_without_end_are_one_line_and_exit_code_2(ekyc: Ekyc) -> None:
    ended = ekyc.with_env(EKYC_POLL_CAP="0.01")("poll-plan")
    assert (ended.code, ended.out) == (2, "")
    assert len(ended.err.splitlines()) == 1
    assert "raise the cap" in ended.err

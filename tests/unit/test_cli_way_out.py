"""`ekyc doctor` names what the environment asks of other programs, and what this one does not read."""

from __future__ import annotations

import pytest

from worker.cli.checks.finding import Level
from worker.cli.checks.vendor import _UNREAD, check_way_out
from worker.settings import Settings


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in _UNREAD:
        monkeypatch.delenv(name, raising=False)


def test_nothing_is_said_of_an_environment_without_any() -> None:
    assert list(check_way_out(Settings())) == []


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("HTTPS_PROXY", "EKYC_PROXY"),
        ("https_proxy", "EKYC_PROXY"),
        ("REQUESTS_CA_BUNDLE", "EKYC_CA_BUNDLE"),
    ],
)
def test_a_variable_that_is_not_read_is_named(
    monkeypatch: pytest.MonkeyPatch, name: str, setting: str
) -> None:
    monkeypatch.setenv(name, "http://us:secret@proxy.example.com:3128")
    (found,) = check_way_out(Settings())
    assert found.level is Level.WARNING
    assert name in found.said
    assert setting in found.todo
    assert "secret" not in found.said + found.todo


def test_with_our_own_setting_it_is_all_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example.com:3128")
    found = list(check_way_out(Settings(proxy="http://us:secret@proxy.example.com:3128")))
    assert [each.level for each in found] == [Level.OK, Level.OK]
    assert not any("secret" in each.said for each in found)

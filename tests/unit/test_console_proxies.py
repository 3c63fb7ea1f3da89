"""Whom `EKYC_CONSOLE_PROXIES` trusts."""

from __future__ import annotations

import pytest

from worker.environment import Environment
from worker.errors import ConfigError
from worker.settings import Settings
from worker.web.console.proxies import Proxies


@pytest.mark.parametrize(
    ("entries", "address", "is_trusted"),
    [
        ((), "127.0.0.1", False),
        ((), "", False),
        (("10.0.0.5",), "10.0.0.5", True),
        (("10.0.0.5",), "10.0.0.50", False),
        (("10.0.0.0/8",), "10.255.0.1", True),
        (("10.0.0.0/8",), "11.0.0.1", False),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:11.1.2.3", False),
        (("fd00::/8",), "fd12::1", True),
        (("fd00::/8", "10.0.0.5"), "10.0.0.5", True),
        (("fe80::/10",), "fe80::1%eth0", True),
        (("0.0.0.0/0",), "", False),
        (("0.0.0.0/0",), "somewhere", False),
        (("unix",), "", True),
        (("unix",), "127.0.0.1", False),
    ],
)
def test_an_address_is_trusted_if_an_entry_has_it(
    entries: tuple[str, ...], address: str, is_trusted: bool
) -> None:
    assert (address in Proxies(entries)) is is_trusted


@pytest.mark.parametrize("entry", ["10.0.0.5/8", "proxy.example.com", "10.0.0", "unix:/run/x", "*"])
def test_what_is_no_address_is_refused_with_its_place(
    entry: str, monkeypatch: pytest.MonkeyPatch, empty_environment: None
) -> None:
    monkeypatch.setenv("EKYC_CONSOLE_PROXIES", f"10.0.0.1, {entry}")
    with pytest.raises(
        ConfigError, match="EKYC_CONSOLE_PROXIES: entry 2: give an address, a network or unix"
    ):
        Settings.from_env(Environment())


@pytest.mark.parametrize("name", ["X_User", "", "X User", "X-User:"])
def test_a_header_is_a_name(name: str, monkeypatch: pytest.MonkeyPatch, empty_environment: None) -> None:
    monkeypatch.setenv("EKYC_CONSOLE_PROXY_HEADER", name)
    if not name:
        assert Settings.from_env(Environment()).console_proxy_header == "X-Forwarded-User"
        return
    with pytest.raises(ConfigError, match="EKYC_CONSOLE_PROXY_HEADER: give the name of a header"):
        Settings.from_env(Environment())

"""Which addresses a public session dials: an allow list, and everything else is refused."""

from __future__ import annotations

import pytest

from worker.http_client.addresses import is_public, literal

PUBLIC = ["1.1.1.1", "8.8.8.8", "100.63.255.255", "100.128.0.1", "172.32.0.1", "192.0.1.1", "223.255.255.255"]
PUBLIC += ["2001:4860:4860::8888", "2606:4700::1111", "2400:cb00::1", "2a00:1450::1", "2c0f:fb50::1"]

REFUSED = ["0.0.0.0", "10.0.0.1", "100.64.0.1", "127.0.0.1", "169.254.169.254", "172.16.0.1", "192.168.1.1"]
REFUSED += ["168.63.129.16", "100.100.100.200", "192.0.0.192", "192.0.2.1", "198.18.0.1", "198.51.100.1"]
REFUSED += ["203.0.113.1", "192.88.99.1", "224.0.0.1", "240.0.0.1", "255.255.255.255"]
REFUSED += ["::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1"]
REFUSED += [
    "64:ff9b::7f00:1",
    "64:ff9b:1::7f00:1",
    "fe80::1",
    "fec0::1",
    "fd00::1",
    "fd00:ec2::254",
    "ff02::1",
]
REFUSED += ["2001::1", "2001:10::1", "2001:20::1", "2001:db8::1", "2002:7f00:1::1", "3fff::1", "3000::1"]
REFUSED += ["2d00::1", "2620:4f:8000::1", "5f00::1", "100::1", "4000::1", "fe80::1%eth0", "no address", ""]


@pytest.mark.parametrize("address", PUBLIC)
def test_what_is_assigned_and_global_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("address", REFUSED)
def test_what_is_special_or_not_assigned_is_not(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("host", ["127.0.0.1", "2130706433", "0x7f.1", "127.1", "017700000001"])
def test_an_address_is_one_in_any_notation(host: str) -> None:
    assert str(literal(host)) == "127.0.0.1"


def test_a_name_is_none() -> None:
    assert literal("images.example.com") is None

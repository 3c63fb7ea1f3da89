"""The public addresses: an allow list, so that unassigned addresses are refused."""

from __future__ import annotations

import socket
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

#: IPv4 outside of global unicast: IANA's registry of special-purpose addresses, multicast, and class E.
_REFUSED_V4: Final = tuple(
    ip_network(block)
    for block in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "168.63.129.16/32",  # the metadata service of Azure has a global address
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.31.196.0/24",
        "192.52.193.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "192.175.48.0/24",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",
        "240.0.0.0/4",
    )
)

#: The blocks of 2000::/3 that IANA has assigned to registries. Teredo, ORCHID and 6to4 lie outside of them.
_ALLOWED_V6: Final = tuple(
    ip_network(block)
    for block in (
        "2001:200::/23",
        "2001:400::/22",
        "2001:800::/21",
        "2001:1200::/23",
        "2001:1400::/22",
        "2001:1800::/21",
        "2001:2000::/19",
        "2001:4000::/21",
        "2001:4800::/22",
        "2001:4c00::/23",
        "2001:5000::/20",
        "2001:8000::/19",
        "2001:a000::/20",
        "2001:b000::/20",
        "2003::/18",
        "2400::/11",
        "2600::/12",
        "2610::/23",
        "2620::/23",
        "2630::/12",
        "2800::/12",
        "2a00::/11",
        "2c00::/12",
    )
)

#: Special blocks within them: documentation, and AS112.
_REFUSED_V6: Final = (ip_network("2001:db8::/32"), ip_network("2620:4f:8000::/48"))


def is_public(address: str) -> bool:
    """Whether a public session may dial an address, in the notation of a name server or a URL."""
    try:
        ip = ip_address(address)
    except ValueError:
        return False
    if isinstance(ip, IPv4Address):
        return not any(ip in block for block in _REFUSED_V4)
    return any(ip in block for block in _ALLOWED_V6) and not any(ip in block for block in _REFUSED_V6)


def literal(host: str) -> IPv4Address | IPv6Address | None:
    """Return the address in the host of a URL, in any notation that a resolver accepts; None for a name."""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))
    except (OSError, ValueError):
        return None

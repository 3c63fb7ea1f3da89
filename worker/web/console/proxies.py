"""The proxies that `EKYC_CONSOLE_PROXIES` trusts to name the user of a request, and what they say."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address, ip_network
from typing import TYPE_CHECKING, Final

from worker.settings import UNIX

if TYPE_CHECKING:
    from collections.abc import Sequence
    from ipaddress import IPv4Address, IPv4Network, IPv6Network

#: The address of a client of a socket of the file system, as gunicorn gives it.
_NO_ADDRESS: Final = ""


class Proxies:
    """The addresses and networks of a setting."""

    def __init__(self, entries: Sequence[str]) -> None:
        self._trusts_unix = UNIX in entries
        self._networks: tuple[IPv4Network | IPv6Network, ...] = tuple(
            ip_network(entry) for entry in entries if entry != UNIX
        )

    def __contains__(self, address: str) -> bool:
        """Whether a client with this address is one of them."""
        if address == _NO_ADDRESS:
            return self._trusts_unix
        try:
            found: IPv4Address | IPv6Address = ip_address(address.partition("%")[0])
        except ValueError:
            return False
        if isinstance(found, IPv6Address) and found.ipv4_mapped:
            found = found.ipv4_mapped
        return any(found in network for network in self._networks)

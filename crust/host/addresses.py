"""Which addresses a request that somebody else thought of may go to: public ones, and what the operator allows beside them."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

NAT64 = IPv6Network("64:ff9b::/96")  # RFC 6052 2.1: bears an IPv4 address, which is looked at instead
NEVER: tuple[Network, ...] = (
    IPv4Network("192.0.0.0/24"),  # IETF's own, RFC 6890 2.2.2; some clouds keep their metadata there, and older Pythons call parts global
    IPv4Network("192.88.99.0/24"),  # 6to4 relays, RFC 7526: given up, but still "global" to Python
    IPv6Network("64:ff9b:1::/48"),  # NAT64 of an operator's own, RFC 8215
    IPv6Network("2002::/16"),  # 6to4, RFC 3056: bears any IPv4 address
    IPv6Network("2001::/32"),  # Teredo, RFC 4380: the same
    IPv6Network("5f00::/16"),  # SRv6 segments, RFC 9602
    IPv6Network("fec0::/10"),  # site-local, RFC 3879
    IPv6Network("::/96"),  # IPv4-compatible, RFC 4291 2.5.5.1: bears any IPv4 address
)


def literal(host: str) -> Address | None:
    """The address that a URL's host is, if it is one. (Forms such as `127.1` or `0x7f000001` are none: they are resolved like names.)"""
    try:
        return ip_address(host.strip("[]").partition("%")[0])
    except ValueError:
        return None


def networks(texts: Sequence[str]) -> tuple[Network, ...]:
    """Networks as settings give them."""
    return tuple(ip_network(text) for text in texts)


def split(texts: Sequence[str]) -> tuple[tuple[Network, ...], frozenset[str]]:
    """What an operator allows, as networks and as names of hosts."""
    found: list[Network] = []
    names = set()
    for text in texts:
        try:
            found.append(ip_network(text))
        except ValueError:
            names.add(text)
    return tuple(found), frozenset(names)


def may_reach(address: Address, allowed: Sequence[Network]) -> bool:
    """Whether a request may go there.

    Args:
        address: as it was resolved.
        allowed: networks that are no public ones, and may be reached all the same.
    """
    address = unwrapped(address)
    if any(address in network for network in allowed if network.version == address.version):
        return True
    if any(address in network for network in NEVER if network.version == address.version):
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved and not address.is_unspecified


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one leads to, where it does."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return address.ipv4_mapped
        if address in NAT64:
            return IPv4Address(int(address) & 0xFFFFFFFF)
    return address

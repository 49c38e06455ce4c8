"""Which address a request comes from, and whether it lies in a range."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.requests import Request

Network = IPv4Network | IPv6Network


@lru_cache(maxsize=256)
def networks(cidrs: tuple[str, ...]) -> tuple[Network, ...]:
    """Ranges from their text. Raises ``ValueError`` for what is none."""
    return tuple(ip_network(cidr.strip(), strict=False) for cidr in cidrs)


def lies_in(address: str, ranges: Collection[Network]) -> bool:
    """Whether an address lies in one of the ranges; what is no address lies in none."""
    if not ranges:
        return False
    try:
        found = ip_address(address)
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in network for network in ranges)


def client_address(request: Request, trusted_proxies: tuple[str, ...]) -> str:
    """The address a request comes from.

    It is the other end of the connection. Where that is a trusted proxy, it is the last address of
    ``X-Forwarded-For`` that is not a trusted proxy: what stands before it may be made up by the client.
    """
    address = request.client.host if request.client else ""
    trusted = networks(trusted_proxies)
    if not lies_in(address, trusted):
        return address
    forwarded = [part.strip() for part in ",".join(request.headers.getlist("x-forwarded-for")).split(",")]
    while forwarded and lies_in(address, trusted):
        before = forwarded.pop()
        try:
            ip_address(before)
        except ValueError:
            break
        address = before
    return address

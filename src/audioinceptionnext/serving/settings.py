"""What a server allows, and what it serves."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Settings:
    """Of one server.

    Attributes:
        models: names of the zoo, or ONNX files by their path; the first is the default. None: all of the zoo.
        workers: recordings heard at a time, each by one core.
        queue: recordings that may wait for that; beyond, 503.
        uploads: that may be under way at a time; beyond, 503.
        streams: live ones at a time; beyond, they are refused.
        most_bytes, most_seconds: of an upload; beyond, 413.
        idle_seconds: without a byte of an upload, or of a live stream; then 408, or the end.
        least_rate: bytes a second that an upload has to reach on average once it has taken ``idle_seconds``.
        api_key: asked for in ``X-API-Key`` or ``Authorization: Bearer``; none where it is empty.
        hosts: names that requests may be addressed to; any where it is empty. Keeps pages of other sites from reaching
            a server on loopback by a name of theirs.
        origins: sites, besides its own, whose pages may call it.
    """

    models: tuple[str, ...] | None = None
    workers: int = 1
    queue: int = 16
    uploads: int = 16
    streams: int = 8
    most_bytes: int = 1_000_000_000
    most_seconds: float = 4 * 3600.0
    idle_seconds: float = 20.0
    least_rate: float = 5_000.0
    api_key: str = field(default="", repr=False)
    hosts: tuple[str, ...] = LOOPBACK
    origins: tuple[str, ...] = ()


def is_loopback(host: str) -> bool:
    """Whether an address to listen on can be reached from this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""Looks up the addresses of host names, so that a name without a response delays no other.

The resolver of the C library blocks the thread that calls it, for half a minute where no DNS server
responds. asyncio and uvloop share a few threads among all look-ups: four such names would keep all
other nodes waiting. So each look-up has a thread of its own, and a name has one look-up at a time.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
import threading

MOST = 256  # look-ups at a time: a thread takes some 20 KiB while it waits
MOST_ADDRESSES = 16  # of a name; they share the time of a scrape


class Names:
    """Looks up names, a bounded number at a time."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._lookups: dict[str, asyncio.Future[list[str]]] = {}  # under way, by name

    async def addresses(self, host: str) -> list[str]:
        """Return the first IP addresses of a host; an IP address is its own.

        Raises OSError, also for an address with a zone that this machine does not have, or
        ValueError for what is no name (UnicodeError is one).
        """
        with contextlib.suppress(ValueError):
            _check_zone(ipaddress.ip_address(host))
            return [host]
        lookup = self._lookups.get(host)
        if lookup is None:
            if len(self._lookups) >= self._most:
                raise OSError(errno.EAGAIN, f"{self._most} other names are being looked up")
            lookup = self._lookups[host] = self._start(host)
        return await asyncio.shield(lookup)

    def _start(self, host: str) -> asyncio.Future[list[str]]:
        loop = asyncio.get_running_loop()
        lookup: asyncio.Future[list[str]] = loop.create_future()
        # Whoever waited may be gone by then, and asyncio logs an error that nobody has read.
        lookup.add_done_callback(lambda done: done.cancelled() or done.exception())

        def finish(result: list[str] | Exception) -> None:
            del self._lookups[host]
            if isinstance(result, Exception):
                lookup.set_exception(result)
            else:
                lookup.set_result(result)

        def look_up() -> None:
            result = _addresses(host)
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(finish, result)

        try:
            threading.Thread(target=look_up, name=f"look up {host[:60]}", daemon=True).start()
        except RuntimeError as error:  # there are as many as this process may have
            raise OSError(errno.EAGAIN, f"the name cannot be looked up: {error}") from error
        return lookup


def _check_zone(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    """Raise OSError if the zone of an address, as in `fe80::1%eth0`, is no interface here.

    libuv would take another interface, where nothing responds until the deadline.
    """
    zone = address.scope_id if isinstance(address, ipaddress.IPv6Address) else None
    if zone is None:
        return
    try:
        socket.if_nametoindex(zone)
    except OSError as error:
        message = f"this machine has no network interface named {zone[:20]!r}"
        raise OSError(errno.ENODEV, message) from error


def _addresses(host: str) -> list[str] | Exception:
    try:
        infos = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, ValueError, TypeError) as error:  # such as UnicodeError
        return error
    return list(dict.fromkeys(str(address[0]) for *_, address in infos))[:MOST_ADDRESSES]

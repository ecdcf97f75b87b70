"""TLS connections whose records and system calls are those of Go's server, as a kubelet's are.

asyncio's transports encrypt in records of 16 KiB and send what is written in one go. Go sends each
record by itself, and the first records of a connection are small (`DynamicRecordSizingDisabled` in
crypto/tls); so whoever reads wakes up more often. Recorded from a server of Go 1.27 that sends
66,785 bytes in one write, on one connection, in plain bytes of each record:

    1st response      1186 2372 538 4744 5930 7116 8302 9488 10674 11860 4698 7
    2nd to 40th       4096 16384 16384 16384 13660 7
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Callable

_READ = 16 * 1024  # bytes: the most that a TLS record carries
_SMALLEST = 1186  # bytes of the first record, which fits into one segment of an Ethernet's size
_MOST = 16 * 1024
_BUFFER = 4096  # bytes that net/http gathers before it writes
BACKLOG = 128

ProtocolFactory = Callable[[], asyncio.Protocol]


def buffered_writes(head: bytes, body: bytes, end: bytes) -> list[bytes]:
    """Return what net/http writes to a connection for a body that its handler writes in one piece.

    Its buffer is filled and written first; the rest of a body that does not fit into it is written
    by itself, and `end` is what is in the buffer when the handler returns.
    """
    first = _BUFFER - len(head)
    if len(body) - first > _BUFFER:
        return [head + body[:first], body[first:], end]
    whole = head + body + end
    return [whole[at : at + _BUFFER] for at in range(0, len(whole), _BUFFER)]


class Listener:
    """Accepts TLS connections on a listening socket, and gives each one a protocol of its own."""

    def __init__(
        self, listening: socket.socket, context: ssl.SSLContext, protocol: ProtocolFactory
    ) -> None:
        self._socket = listening
        self._context = context
        self._protocol = protocol
        self._loop = asyncio.get_running_loop()
        listening.setblocking(False)
        listening.listen(BACKLOG)
        self._loop.add_reader(listening.fileno(), self._accept)

    def close(self) -> None:
        """Stop listening; connections stay."""
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone meanwhile
            accepted, _ = self._socket.accept()
            accepted.setblocking(False)
            accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection = self._context.wrap_socket(
                accepted, server_side=True, do_handshake_on_connect=False
            )
            RecordTransport(connection, self._protocol(), self._loop)


class RecordTransport(asyncio.Transport):
    """The server's side of one TLS connection: each record is a system call of its own."""

    def __init__(
        self, connection: ssl.SSLSocket, protocol: asyncio.Protocol, loop: asyncio.AbstractEventLoop
    ) -> None:
        super().__init__()
        self._socket = connection
        self._descriptor = connection.fileno()
        self._protocol = protocol
        self._loop = loop
        self._records = 0  # sent so far
        self._unsent: deque[bytes] = deque()  # the plain bytes of records
        self._waiting = False  # until the kernel takes more
        self._open = self._closing = False
        loop.add_reader(self._descriptor, self._shake_hands)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send bytes as records of the sizes that Go's server chooses."""
        if self._closing:
            return
        at, data = 0, bytes(data)
        while at < len(data):
            size = min(_MOST, _SMALLEST * (self._records + 1))
            self._records += 1
            self._unsent.append(data[at : at + size])
            at += size
        if not self._waiting:
            self._send()

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        """Send what is unsent and a close_notify, and close."""
        self._closing = True
        if not self._waiting:
            self._send()

    def abort(self) -> None:
        """Close at once."""
        self._end(None)

    def _shake_hands(self) -> None:
        try:
            self._socket.do_handshake()
        except ssl.SSLWantReadError:
            return
        except OSError as error:
            self._end(error)
            return
        self._open = True
        self._loop.add_reader(self._descriptor, self._receive)
        self._protocol.connection_made(self)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(_READ)
        except ssl.SSLWantReadError:
            return
        except OSError as error:
            self._end(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self.close()

    def _send(self) -> None:
        unsent = self._unsent
        try:
            while unsent:
                self._socket.send(unsent[0])
                unsent.popleft()
        except ssl.SSLWantWriteError:
            self._wait()
        except OSError as error:
            self._end(error)
        else:
            if self._closing:
                self._end(None, notify=True)

    def _wait(self) -> None:
        if not self._waiting:
            self._waiting = True
            self._loop.add_writer(self._descriptor, self._send_on)
            self._protocol.pause_writing()

    def _send_on(self) -> None:
        self._waiting = False
        self._loop.remove_writer(self._descriptor)
        self._protocol.resume_writing()
        self._send()

    def _end(self, error: Exception | None, *, notify: bool = False) -> None:
        self._closing = True
        if self._descriptor < 0:
            return
        self._loop.remove_reader(self._descriptor)
        self._loop.remove_writer(self._descriptor)
        self._descriptor = -1
        self._unsent.clear()
        with contextlib.suppress(OSError):
            if notify:
                self._socket.unwrap()  # does not wait for the peer's
        self._socket.close()
        if self._open:
            self._loop.call_soon(self._protocol.connection_lost, error)

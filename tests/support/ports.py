"""Ports for servers that tests start as processes of their own."""

import socket


def free_port() -> int:
    """Return a loopback port that nothing listens on; another process may take it before use."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

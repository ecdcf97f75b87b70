"""No server of ours holds an answer's end back until its beginning is acknowledged.

asyncio sets TCP_NODELAY only where a socket says that its protocol is TCP, which a connection
has from the socket that listens. Without it each answer of two writes takes 40 ms more (Linux'
delayed acknowledgements).
"""

import contextlib
import os
import socket
import sys
import time
from pathlib import Path

import pytest

from metricsapi.tools.sandbox.fleet import by_tokens
from metricsapi.tools.sandbox.kubelets import Kubelets
from metricsapi.tools.sandbox.pki import Authority
from metricsapi.tools.sandbox.serving import Certificates
from metricsapi.tools.sandbox.synthetic import synthetic_node
from metricsapi.tools.sandbox.template import SyntheticSource
from tests.server.serving import configmap, serving
from tests.support.conditions import until
from tests.support.https_client import connect
from tests.tools.sandbox.apiservers import running

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="open sockets are in /proc")


def accepted(port):
    """Return TCP_NODELAY of each connection that this process has accepted on a port."""
    options = []
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError), socket.socket(fileno=os.dup(int(entry.name))) as each:
            internet = each.family in (socket.AF_INET, socket.AF_INET6)
            if internet and each.getsockname()[1] == port and each.getpeername():
                options.append(each.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
    return options


async def test_the_server():
    async with serving(configmap()) as running, connect(running.port):
        await until(lambda: accepted(running.port))
        assert all(accepted(running.port))


async def test_the_sandboxs_api_server():
    async with running() as api:
        port = int(api.url.rpartition(":")[2])
        async with connect(port):
            await until(lambda: accepted(port))
            assert all(accepted(port))


async def test_the_sandboxs_kubelets():
    kubelets = Kubelets(Certificates(Authority("ca")), by_tokens({}))
    source = SyntheticSource(synthetic_node(1, 1, 1), time.time() - 60)
    kubelet = await kubelets.start(source)
    async with connect(kubelet.port):
        await until(lambda: accepted(kubelet.port))
        assert all(accepted(kubelet.port))
    await kubelets.stop()

"""No server of ours holds an answer's end back until its beginning is acknowledged.

asyncio sets TCP_NODELAY only where a socket says that its protocol is TCP, which a connection
has from the socket that listens. Without it each answer of two writes takes 40 ms more (Linux'
delayed acknowledgements).
"""

import socket
import time

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


def sends_at_once(transport):
    connected = transport.get_extra_info("socket")
    return connected.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


async def test_the_server():
    async with serving(configmap()) as stand, connect(stand.port):
        connections = stand.server._uvicorn.server_state.connections
        await until(lambda: connections)
        assert all(sends_at_once(one.transport) for one in connections)


async def test_the_sandboxs_api_server():
    async with running() as api, connect(api._port):
        connections = api._listener._state.connections
        await until(lambda: connections)
        assert all(sends_at_once(one.transport) for one in connections)


async def test_the_sandboxs_kubelets():
    kubelets = Kubelets(Certificates(Authority("ca")), by_tokens({}))
    source = SyntheticSource(synthetic_node(1, 1, 1), time.time() - 60)
    kubelet = await kubelets.start(source)
    async with connect(kubelet.port):
        await until(lambda: kubelet.connections)
        assert all(sends_at_once(one._transport) for one in kubelet.connections)
    await kubelets.stop()

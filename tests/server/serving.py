"""A whole server on a real TLS socket: protocol, identity, permission, and a handler that tells
whom it sees.
"""

import asyncio
import json
import time
from contextlib import asynccontextmanager

from prometheus_client import CollectorRegistry

from metricsapi.config.limits import LimitSettings
from metricsapi.config.serving import ServingSettings
from metricsapi.server.auth.authenticator import Authenticator
from metricsapi.server.auth.authorizer import Authorizer
from metricsapi.server.auth.configuration import from_configmap
from metricsapi.server.auth.in_flight import InFlightLimit
from metricsapi.server.auth.tokens import TokenReviewer
from metricsapi.server.handler_chain import build_handler_chain
from metricsapi.server.http.refusal_log import RefusalLog
from metricsapi.server.http.server import Server
from metricsapi.server.tls.context import ServingTLS
from metricsapi.server.tls.issue import make_serving
from metricsapi.telemetry.metrics import Telemetry
from tests.support.apiserver import Reviewer

GOOD_PATH = "/apis/metrics.k8s.io/v1beta1/nodes"
PATHS = ("/healthz", "/livez", "/readyz")


async def whoami(scope, _receive, send):
    user = scope["state"]["user"]
    body = json.dumps(
        {
            "name": user.name,
            "uid": user.uid,
            "groups": user.groups,
            "extra": dict(user.extra),
            "path": scope["path"],
        }
    ).encode()
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def configmap(front=None, clients=None, names=("front-proxy-client",), **more):
    data = {
        "requestheader-allowed-names": json.dumps(list(names)),
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
    }
    if front is not None:
        data["requestheader-client-ca-file"] = front if isinstance(front, str) else front.text
    if clients is not None:
        data["client-ca-file"] = clients if isinstance(clients, str) else clients.text
    return {**data, **more}


class RunningServer:
    """The running server; `port`, `reviewer`, and `configure` for another ConfigMap."""

    def __init__(self, reviewer, options):
        self.reviewer = reviewer
        timeout = options.pop("review_timeout", 10.0)
        self.authenticator = Authenticator(
            tokens=TokenReviewer(
                reviewer.client, timeout=timeout, audiences=options.pop("audiences", ())
            )
        )
        self.authorizer = Authorizer(reviewer.client, always_allow=PATHS, timeout=timeout)
        self.in_flight = options.pop("in_flight", None) or InFlightLimit()
        pair = options.pop("pair", None) or make_serving(
            ["localhost"], ["127.0.0.1"], now=time.time(), lifetime=3600
        )
        self.tls = ServingTLS(pair, named=options.pop("named", ()))
        app = options.pop("app", whoami)
        refusals = options.pop("refusals", None) or RefusalLog()
        self.telemetry = Telemetry(CollectorRegistry(), resolution=15.0, version="test")
        limits = options.pop("limits", LimitSettings())
        self.server = Server(
            build_handler_chain(
                app,
                telemetry=self.telemetry,
                request_timeout=options.pop("request_timeout", 60.0),
                authenticator=self.authenticator,
                authorizer=self.authorizer,
                in_flight=self.in_flight,
                refusals=refusals,
                replicas=options.pop("replicas", None),
            ),
            refusals=refusals,
            tls=self.tls,
            serving=ServingSettings(bind_address="127.0.0.1", port=0, **options),
            limits=limits,
        )

    @property
    def port(self):
        return self.server.port

    def configure(self, data):
        configuration = from_configmap(data)
        self.tls.trust(configuration.pem)
        self.authenticator.configure(configuration)


@asynccontextmanager
async def serving(data=None, **options):
    async with Reviewer() as reviewer:
        running = RunningServer(reviewer, options)
        running.configure(data or configmap())
        async with asyncio.TaskGroup() as group:
            group.create_task(running.server.run())
            await running.server.started.wait()
            yield running
            running.server.begin_shutdown()

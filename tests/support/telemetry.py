"""Self-metrics on a registry of their own."""

from prometheus_client import CollectorRegistry

from metricsapi.telemetry.metrics import Telemetry


def telemetry(resolution=15.0):
    return Telemetry(CollectorRegistry(), resolution=resolution, version="1")

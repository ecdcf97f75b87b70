"""A Metrics API server for Kubernetes, compatible with metrics-server."""

__version__ = "0.2.0"

"""The groups of --help: the reference's, in its order, then ours."""

from __future__ import annotations

from metricsapi.config.flags import Group

SERVER = Group("Metrics server")
GENERIC = Group("Generic")
KUBELET = Group("Kubelet client")
SERVING = Group("Apiserver secure serving")
AUTHENTICATION = Group("Apiserver authentication")
AUTHORIZATION = Group("Apiserver authorization")
LIMITS = Group("Connection limits")
LEADER_ELECTION = Group("Leader election")
LOGGING = Group("Logging")
GROUPS = (
    SERVER, GENERIC, KUBELET, SERVING, AUTHENTICATION, AUTHORIZATION, LIMITS, LEADER_ELECTION,
    LOGGING,
)  # fmt: skip

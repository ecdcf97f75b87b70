"""Leader election among replicas: the flags that every Kubernetes component has for it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from metricsapi.config.groups import LEADER_ELECTION


@dataclass(frozen=True, kw_only=True)
class LeaderElectionSettings:
    """Whether replicas share their scrapes, and the Lease that says who leads. Seconds."""

    enabled: bool = LEADER_ELECTION.boolean(
        "leader-elect",
        False,
        "Scrape nodes only while this replica leads, and follow the leader's scrapes otherwise, "
        "so that kubelets are read once whatever the number of replicas. Needs "
        "--advertise-address; and --manage-ca-bundle for certificates that replicas know each "
        "other by, or --replica-token-file and --replica-certificate-authority.",
    )
    lease_duration: float = LEADER_ELECTION.duration(
        "leader-elect-lease-duration",
        15.0,
        "How long other replicas wait after the last renewal that they saw before they take the "
        "Lease.",
        minimum=1.0,
    )
    renew_deadline: float = LEADER_ELECTION.duration(
        "leader-elect-renew-deadline",
        10.0,
        "How long after its last renewal the leader still acts as leader; less than "
        "--leader-elect-lease-duration.",
        minimum=0.5,
    )
    retry_period: float = LEADER_ELECTION.duration(
        "leader-elect-retry-period",
        2.0,
        "The time between two attempts to take or renew the Lease.",
        minimum=0.1,
    )
    resource_name: str = LEADER_ELECTION.string(
        "leader-elect-resource-name", "metrics-server", "The name of the Lease."
    )
    resource_namespace: str = LEADER_ELECTION.string(
        "leader-elect-resource-namespace", "kube-system", "The namespace of the Lease."
    )
    replica_token_file: Path | None = LEADER_ELECTION.file(
        "replica-token-file",
        "Path to a projected token of the audience metrics-server-replica, by which replicas know "
        "each other without --manage-ca-bundle. It is sent to the leader alone, once its "
        "certificate is verified.",
    )
    replica_certificate_authority: Path | None = LEADER_ELECTION.file(
        "replica-certificate-authority",
        "Path to the CA that a follower verifies the leader's serving certificate by, which must "
        "be for the name of the Service; needed with --replica-token-file.",
    )

"""Checks the Lease of the leader election: its holder, and when it was last renewed."""

from __future__ import annotations

from datetime import UTC, datetime

from metricsapi.config.durations import format_duration
from metricsapi.config.settings import Settings
from metricsapi.kube.client import KubeClient
from metricsapi.kube.errors import NotFound
from metricsapi.kube.lease import record_of, replica_address
from metricsapi.tools.doctor.installation import Installation, State, get
from metricsapi.tools.doctor.result import Findings

CHECK = "leader"
AHEAD = 86400.0  # seconds by which another machine's clock may be ahead of this one


async def check_leader(
    client: KubeClient, settings: Settings, installation: Installation, findings: Findings
) -> None:
    """Add which replica leads, if replicas share their scrapes.

    An expired Lease is a warning only, since it is judged by the clock of this machine.
    """
    election = settings.leader_election
    if not election.enabled or installation.state is not State.OURS:
        return
    name = f"{election.resource_namespace}/{election.resource_name}"
    path = (
        f"/apis/coordination.k8s.io/v1/namespaces/{election.resource_namespace}"
        f"/leases/{election.resource_name}"
    )
    try:
        lease = await get(client, path)
    except NotFound:
        fix = "Apply the Lease of manifests/: until then each replica scrapes every node."
        findings.warn(CHECK, f"the Lease {name} does not exist", fix)
        return
    record = record_of(lease)
    if not record.holder:
        fix = "See the replicas' logs: they need get and update on it, and --leader-elect."
        findings.warn(CHECK, f"nobody holds the Lease {name}", fix)
        return
    age = _seconds_since(lease["spec"].get("renewTime"))
    text = f"{record.holder} at {record.address or 'no address'} holds the Lease {name}"
    if age is not None and age < -AHEAD:
        fix = "Something else than this server writes it, or a clock is wrong: compare both."
        findings.warn(CHECK, f"{text}, renewed {-age / AHEAD:.0f} days in the future", fix)
    elif age is None or age > election.lease_duration:
        when = "renewed at no time that can be read" if age is None else f"renewed {age:.0f}s ago"
        fix = "A replica takes it over soon, or see the logs of the replicas."
        duration = format_duration(election.lease_duration)
        findings.warn(CHECK, f"{text}, {when}; it lasts {duration}", fix)
    elif not _usable(record.address):
        fix = "Something else than this server holds it: name another --leader-elect-resource-name."
        findings.warn(CHECK, text, fix)
    else:
        findings.ok(CHECK, f"{text}, renewed {max(0.0, age):.0f}s ago")


def _usable(address: str) -> bool:
    try:
        replica_address(address)
    except ValueError:
        return False
    return True


def _seconds_since(text: object) -> float | None:
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return (datetime.now(UTC) - time).total_seconds() if time and time.tzinfo else None

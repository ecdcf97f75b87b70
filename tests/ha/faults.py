"""Faults of replicas: functions of the cluster that return once the fault is over."""

import asyncio
import shutil
import signal
import subprocess
import time

from metricsapi.kube.lease import ADDRESS_ANNOTATION
from metricsapi.server.tls.ca_rotation import RotationSchedule, read_authorities, secret_data
from metricsapi.server.tls.issue import make_authority
from tests.ha.cluster import LEASE
from tests.support.conditions import until


async def leader_killed(cluster):
    """The leader's process dies, and a new replica takes its place."""
    leader = cluster.leader
    leader.up = False
    leader.process.kill()
    await leader.process.wait()
    await cluster.start()


async def leader_leaves(cluster):
    """The leader gets SIGTERM while it serves."""
    leader = cluster.leader
    leader.replica.leave()
    await asyncio.sleep(1.0)  # it still serves, until Kubernetes has taken its endpoint away
    leader.up = False
    await leader.process.wait()
    await cluster.start()


async def leader_without_power(cluster):
    """Packets to and from the leader's node are lost, and it never comes back."""
    leader = cluster.leader
    leader.up = False
    leader.api.cut()
    leader.peers.cut()
    await asyncio.sleep(cluster.lease_duration + cluster.period)
    leader.process.kill()
    await leader.process.wait()


def frozen(seconds):
    """Return the fault that the leader stands still for so long."""

    async def leader_frozen(cluster):
        leader = cluster.leader
        leader.up = False
        leader.process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(seconds)
        leader.process.send_signal(signal.SIGCONT)
        leader.up = leader.thawed = True

    leader_frozen.__doc__ = f"The leader stands still for {seconds} s (SIGSTOP), and goes on."
    return leader_frozen


async def cut_off_from_followers(cluster):
    """Followers cannot reach the leader."""
    leader = cluster.leader
    leader.peers.cut()
    await asyncio.sleep(cluster.lost)
    leader.peers.heal()


async def cut_off_from_the_api_server(cluster):
    """The leader cannot reach the API server, longer than its Lease lasts."""
    leader = cluster.leader
    leader.api.cut()
    await asyncio.sleep(cluster.lease_duration + 2 * cluster.period)
    leader.api.heal()


async def follower_cut_off_from_the_api_server(cluster):
    """A follower cannot reach the API server, longer than a Lease lasts; the leader can."""
    follower = cluster.follower
    follower.api.cut()
    await asyncio.sleep(cluster.lease_duration + 2 * cluster.period)
    follower.api.heal()


async def cut_off_from_both(cluster):
    """The leader reaches neither the API server nor another replica."""
    leader = cluster.leader
    leader.api.cut()
    leader.peers.cut()
    await asyncio.sleep(cluster.lease_duration + cluster.lost)
    leader.api.heal()
    leader.peers.heal()


def api_server_away(seconds):
    """Return the fault that no replica can reach the API server for so long."""

    async def away(cluster):
        for member in cluster.members:
            member.api.cut()
        await asyncio.sleep(seconds)
        for member in cluster.members:
            member.api.heal()

    return away


async def lease_deleted(cluster):
    """The Lease is deleted."""
    cluster.installation.cluster.delete(*LEASE)


async def lease_taken_by_another_process(cluster):
    """Another process takes the Lease, for a million seconds and without an address."""
    spec = {"holderIdentity": "stranger", "leaseDurationSeconds": 10**6}
    cluster.installation.cluster.apply("leases", {**cluster.lease(), "spec": spec})


async def lease_of_garbage(cluster):
    """The Lease is overwritten with fields of other types."""
    spec = {"holderIdentity": ["a"], "leaseTransitions": {}, "acquireTime": 5}
    cluster.installation.cluster.apply("leases", {**cluster.lease(), "spec": spec})


async def lease_rewritten(cluster):
    """Another client changes a label of the Lease each second."""
    for second in range(round(cluster.lease_duration + 2 * cluster.period)):
        await asyncio.sleep(1.0)
        lease = cluster.lease()
        metadata = {**lease["metadata"], "labels": {"second": str(second)}}
        cluster.installation.cluster.apply("leases", {**lease, "metadata": metadata})


async def lease_of_a_dead_leader_rewritten(cluster):
    """The leader's process dies, and another client changes a label of the Lease each second."""
    leader = cluster.leader
    leader.up = False
    leader.process.kill()
    await leader.process.wait()
    await lease_rewritten(cluster)
    await cluster.start()


async def lease_that_names_a_follower(cluster):
    """Another process holds the Lease and renews it, with the address of a follower."""
    port = cluster.follower.replica.port
    for second in range(round(cluster.lease_duration)):
        lease = cluster.lease()
        annotations = {ADDRESS_ANNOTATION: f"127.0.0.1:{port}"}
        spec = {"holderIdentity": "stranger", "renewTime": f"9999-12-31T23:59:59.{second:06}Z"}
        changed = {**lease, "metadata": {**lease["metadata"], "annotations": annotations}}
        cluster.installation.cluster.apply("leases", {**changed, "spec": spec})
        await asyncio.sleep(1.0)


async def frozen_without_api_server(cluster):
    """The leader stands still while no replica reaches the API server, and goes on after that."""
    leader = cluster.leader
    leader.up = False
    leader.process.send_signal(signal.SIGSTOP)
    await api_server_away(cluster.lease_duration + cluster.period)(cluster)
    await asyncio.sleep(cluster.period)
    leader.process.send_signal(signal.SIGCONT)
    leader.up = leader.thawed = True


async def cut_off_from_kubelets(cluster):
    """The leader cannot read any kubelet, as it cannot verify them any more."""
    leader = cluster.leader
    good = leader.authority.read_bytes()
    another = make_authority("another", now=time.time(), lifetime=86400.0)
    leader.authority.write_bytes(another.certificate)
    await until(lambda: not leader.leads(), seconds=60 + 3 * cluster.period, what="another leads")
    await asyncio.sleep(2 * cluster.period)
    leader.authority.write_bytes(good)


async def two_leave_at_once(cluster):
    """The leader and a follower get SIGTERM at the same moment."""
    leaving = [cluster.leader, cluster.follower]
    for member in leaving:
        member.replica.leave()
    await asyncio.sleep(1.0)
    for member in leaving:
        member.up = False
    for member in leaving:
        await member.process.wait()
    await cluster.start()


async def authority_replaced(cluster):
    """The CA is another one at once: nothing that the one so far signed is trusted any more."""
    state, name = cluster.installation.cluster, ("secrets", "metrics-server-ca", "kube-system")
    secret = state.get(*name)
    data = secret_data([make_authority("another", now=time.time(), lifetime=86400.0)])
    state.apply("secrets", {**secret, "data": data})
    await asyncio.sleep(2 * cluster.period)


async def rolling_update(cluster):
    """Every replica is replaced, one by one."""
    for member in list(cluster.members):
        await cluster.start()
        await cluster.settle()
        member.replica.leave()
        await asyncio.sleep(1.0)
        member.up = False
        await member.process.wait()
        await cluster.settle()


async def clocks_apart(cluster):
    """The clock of the leader's successor is hours ahead of the leader's."""
    await cluster.start("unshare", "--time", "--monotonic", "20000", "--boottime", "20000")
    await cluster.settle()
    for member in [member for member in cluster.members[:-1] if member.up]:
        member.up = False
        member.process.kill()
        await member.process.wait()


async def certificate_rotated(cluster):
    """Another CA signs from now on; the one so far is still trusted."""
    state, name = cluster.installation.cluster, ("secrets", "metrics-server-ca", "kube-system")
    secret = state.get(*name)
    made = time.time() - 1.5 * RotationSchedule().overlap  # known for long enough to sign
    newer = make_authority("newer", now=made, lifetime=86400.0)
    data = secret_data([newer, *read_authorities(secret["data"])])
    before = [len(member.lines("presenting another certificate")) for member in cluster.members]
    state.apply("secrets", {**secret, "data": data})

    def rotated():
        now = (len(member.lines("presenting another certificate")) for member in cluster.members)
        return all(count > earlier for count, earlier in zip(now, before, strict=True))

    await until(rotated, seconds=90, what="certificates of the newer CA")
    await asyncio.sleep(cluster.period)


def _other_clocks():
    """Return whether this machine lets us give a process clocks of its own."""
    command = shutil.which("unshare")
    return (
        command
        and not subprocess.run(
            [command, "--time", "--monotonic", "1", "true"], check=False, stderr=subprocess.DEVNULL
        ).returncode
    )


clocks_apart.needs = _other_clocks

FAULTS = {
    "leader killed": leader_killed,
    "leader leaves": leader_leaves,
    "leader without power": leader_without_power,
    "leader frozen 5 s": frozen(5),
    "leader frozen 20 s": frozen(20),
    "leader frozen 60 s": frozen(60),
    "cut off from followers": cut_off_from_followers,
    "cut off from the API server": cut_off_from_the_api_server,
    "follower cut off from it": follower_cut_off_from_the_api_server,
    "cut off from both": cut_off_from_both,
    "API server away 2 min": api_server_away(120),
    "Lease deleted": lease_deleted,
    "Lease taken by another": lease_taken_by_another_process,
    "Lease of garbage": lease_of_garbage,
    "clocks hours apart": clocks_apart,
    "certificate rotated": certificate_rotated,
    "Lease rewritten": lease_rewritten,
    "leader dead, Lease rewritten": lease_of_a_dead_leader_rewritten,
    "Lease names a follower": lease_that_names_a_follower,
    "cut off from kubelets": cut_off_from_kubelets,
    "frozen, no API server": frozen_without_api_server,
    "CA replaced": authority_replaced,
    "two of three leave": two_leave_at_once,
    "rolling update of three": rolling_update,
}

"""Synthetic kubelets in as many processes as their sockets and their work need."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from metricsapi.tools.sandbox.faults import Fault
from metricsapi.tools.sandbox.fleet import Address, Addresses, Fleet, Plan, Replacement
from metricsapi.tools.sandbox.pki import Authority

NODES = 5000  # of a process: two files each, and 333 responses a second when scraped each 15 s


class Fleets:
    """The processes of one plan; each call goes to the process that has the node."""

    def __init__(self, plan: Plan, authority: Authority) -> None:
        numbers = range(plan.first, plan.first + plan.nodes)
        self._fleets = [
            Fleet(replace(plan, first=part.start, nodes=len(part)), authority)
            for part in (numbers[at : at + NODES] for at in range(0, len(numbers), NODES))
        ]
        self._fleet_of: dict[str, Fleet] = {}

    def __contains__(self, node: str) -> bool:
        return node in self._fleet_of

    async def start(self) -> Addresses:
        """Start them all; return every node's address and port, by node name."""
        started = await asyncio.gather(*(fleet.start() for fleet in self._fleets))
        addresses: Addresses = {}
        for fleet, nodes in zip(self._fleets, started, strict=True):
            addresses |= nodes
            self._fleet_of |= dict.fromkeys(nodes, fleet)
        return addresses

    async def set_fault(self, name: str, fault: Fault) -> None:
        """Make one kubelet misbehave from now on. Raises KeyError for an unknown node."""
        await self._fleet_of[name].set_fault(name, fault)

    async def replace(self, pods: Sequence[Replacement]) -> None:
        """Replace pods that nodes list by others."""
        by_fleet: dict[Fleet, list[Replacement]] = {}
        for replacement in pods:
            by_fleet.setdefault(self._fleet_of[replacement[0]], []).append(replacement)
        await asyncio.gather(*(fleet.replace(pods) for fleet, pods in by_fleet.items()))

    async def join(self, i: int) -> Address:
        """Start the kubelet of node `i`; return where it is."""
        fleet = self._fleets[i % len(self._fleets)]
        name, address = await fleet.join(i)
        self._fleet_of[name] = fleet
        return address

    async def leave(self, name: str) -> None:
        """End the kubelet of a node. Raises KeyError for an unknown one."""
        await self._fleet_of.pop(name).leave(name)

    async def stop(self) -> None:
        """End them all."""
        await asyncio.gather(*(fleet.stop() for fleet in self._fleets))

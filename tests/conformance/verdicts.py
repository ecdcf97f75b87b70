"""Every recorded exchange replayed, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tests.conformance.compare import differences
from tests.conformance.deliberate import DELIBERATE
from tests.conformance.replay import Exchange, Server, recorded


@dataclass(frozen=True)
class Verdict:
    """`wrong` has the differences that nothing explains; a sentence that explains none is wrong."""

    exchange: Exchange
    explained: tuple[str, ...]
    wrong: tuple[str, ...]
    sentence: str = ""


async def verdicts(directory: Path) -> list[Verdict]:
    """Start the cluster and the server, replay everything and judge it."""
    async with Server(directory) as server:
        return [judge(each, await server.replay(each)) for each in recorded()]


def judge(reference: Exchange, ours: Exchange) -> Verdict:
    differing = differences(reference, ours)
    deliberate = DELIBERATE.get(reference.name)
    if deliberate is None:
        return Verdict(reference, (), tuple(differing))
    explained = [each for each in differing if deliberate.explains(each)]
    wrong = [each for each in differing if not deliberate.explains(each)]
    if not explained:
        wrong.append(f"not different any more: {deliberate.sentence}")
    return Verdict(reference, tuple(explained), tuple(wrong), deliberate.sentence)

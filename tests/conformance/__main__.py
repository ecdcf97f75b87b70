"""`make conformance`: what differs from the recorded metrics-server, exchange by exchange."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from tests.conformance.verdicts import verdicts

MOST = 10  # differences shown of one exchange


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        outcomes = asyncio.run(verdicts(Path(directory)))
    for outcome in outcomes:
        word = "wrong" if outcome.wrong else "deliberate" if outcome.sentence else "same"
        print(f"{word:<11}{outcome.exchange.name:<26}{outcome.sentence}")
        for line in outcome.wrong[:MOST]:
            print(f"{'':<13}{line}")
        if len(outcome.wrong) > MOST:
            print(f"{'':<13}and {len(outcome.wrong) - MOST} more")
    wrong = sum(bool(outcome.wrong) for outcome in outcomes)
    deliberate = sum(bool(outcome.sentence) and not outcome.wrong for outcome in outcomes)
    same = len(outcomes) - wrong - deliberate
    print(
        f"\n{len(outcomes)} exchanges: {same} same, {deliberate} deliberately different, "
        f"{wrong} wrong"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

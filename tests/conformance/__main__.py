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
        found = asyncio.run(verdicts(Path(directory)))
    for one in found:
        word = "wrong" if one.wrong else "deliberate" if one.sentence else "same"
        print(f"{word:<11}{one.exchange.name:<26}{one.sentence}")
        for line in one.wrong[:MOST]:
            print(f"{'':<13}{line}")
        if len(one.wrong) > MOST:
            print(f"{'':<13}and {len(one.wrong) - MOST} more")
    wrong = sum(bool(one.wrong) for one in found)
    deliberate = sum(bool(one.sentence) and not one.wrong for one in found)
    same = len(found) - wrong - deliberate
    print(
        f"\n{len(found)} exchanges: {same} same, {deliberate} deliberately different, {wrong} wrong"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())

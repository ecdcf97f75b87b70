"""`make security`: each attempt on identity, permission and availability, and its outcome."""

import asyncio
import sys

from tests.server.auth.test_identity_table import ROWS, outcome_of
from tests.server.http.attacks import ATTACKS
from tests.server.http.test_attacks import limited_server, served
from tests.support.https_client import connect


async def main():
    failed = 0

    def print_row(section, name, outcome, expected):
        nonlocal failed
        passed = outcome == expected
        failed += not passed
        mark = "passed" if passed else f"FAILED, expected {expected}"
        print(f"{section:<16} {name:<52} {outcome!s:<30} {mark}", flush=True)

    for row in ROWS:
        print_row("identity", row.name, await outcome_of(row), row.outcome)
    for attack in ATTACKS:
        async with limited_server() as running:
            async with connect(running.port) as connection:
                print_row(attack.section, attack.name, await attack.run(connection), attack.outcome)
            if not await served(running):
                print_row(
                    attack.section, f"{attack.name}, and the next caller", "refused", "served"
                )
    print(f"\n{len(ROWS) + len(ATTACKS)} attempts, {failed} not as they have to be")
    return failed != 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))

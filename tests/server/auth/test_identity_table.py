"""Every identity route with every fault, and the proof that each row tests its check.

A row says what a caller shows and what becomes of it. It runs as it is, and again with the check
behind it switched off: then the outcome must be another, or the row would be worth nothing.
"""

import asyncio
import contextlib
import json
import ssl
from dataclasses import dataclass, field

import pytest

from tests.server.auth import disabled
from tests.server.serving import GOOD_PATH, configmap, serving
from tests.support.https_client import connect
from tests.support.pki import DAY, SERVER, Authority

FRONT, CLIENTS, STRANGER = (Authority(name) for name in ("front-proxy-ca", "ca", "stranger"))
ALICE = [("X-Remote-User", "alice"), ("X-Remote-Group", "readers")]
MASTER = [("X-Remote-User", "root"), ("X-Remote-Group", "system:masters")]
BEARER = [("Authorization", "Bearer good")]
HANDSHAKE = "refused in the handshake"


def proxy(authority=FRONT, name="front-proxy-client", **options):
    return authority.issue(name, **options)


def bob(authority=CLIENTS, name="bob", **options):
    return authority.issue(name, groups=["team"], **options)


@dataclass
class Row:
    name: str
    outcome: object  # a user's name, or (status, who was refused), or HANDSHAKE
    without: tuple  # the checks to switch off, one after the other; the last makes the difference
    certificate: object = None
    headers: list = field(default_factory=list)
    path: str = GOOD_PATH
    names: tuple = ("front-proxy-client",)
    trailer: str = ""
    audiences: tuple = ()
    down: bool = False
    delay: float = 0.0


EXPIRED, EARLY, EKU = {"end": -60}, {"start": DAY / 2}, {"usages": (SERVER,)}
off = disabled


def faulty_certificates(route, make, headers):
    """A certificate's faults are the same whatever it is for."""
    faults = {"expired": EXPIRED, "not yet valid": EARLY, "wrong EKU": EKU}
    certificates = {name: make(**options) for name, options in faults.items()}
    certificates["unknown CA"] = make(STRANGER)
    for name, certificate in certificates.items():
        checks = (off.tls(certificate), off.chain())
        yield Row(f"{route}: {name}", HANDSHAKE, checks, certificate, headers)


ROWS = [
    Row("front proxy: valid", "alice", (off.believing_the_front_proxy(),), proxy(), ALICE),
    *faulty_certificates("front proxy", proxy, ALICE),
    Row("front proxy: wrong CA", "front-proxy-client", (off.chain(),), proxy(CLIENTS), ALICE),
    Row("front proxy: name not allowed", 401, (off.allowed_names(),), proxy(name="x"), ALICE),
    Row("front proxy: any name", "alice", (off.believing_the_front_proxy(),), proxy(name="x"),
        ALICE, names=()),
    Row("front proxy: no user", 401, (off.credentials_must_be_valid(), off.permission()), proxy()),
    Row("front proxy: two users", 401, (off.single_values(),), proxy(),
        [*ALICE, ("X-Remote-User", "root")]),
    Row("front proxy: two uids", 401, (off.single_values(),), proxy(),
        [*ALICE, ("X-Remote-Uid", "1"), ("X-Remote-Uid", "2")]),
    Row("front proxy: groups in a trailer", (403, "eve"), (off.trailers_dropped(),), proxy(),
        [("X-Remote-User", "eve")], trailer="X-Remote-Group: system:masters"),
    Row("front proxy: reviewer down", 500, (off.permission_errors_are_refusals(),), proxy(), ALICE,
        down=True),
    Row("front proxy: reviewer slow", 500, (off.permission_errors_are_refusals(),), proxy(), ALICE,
        delay=30),
    Row("front proxy: masters, reviewer down", "root", (off.decisions_without_asking(),), proxy(),
        MASTER, down=True),
    Row("front proxy: may not", (403, "eve"), (off.permission(),), proxy(),
        [("X-Remote-User", "eve")]),
    Row("client certificate: valid", "bob", (off.believing_certificates(),), bob()),
    *faulty_certificates("client certificate", bob, []),
    Row("client certificate: wrong CA", 401, (off.chain(),), bob(FRONT)),
    Row("client certificate: no name", 401, (off.common_name_needed(), off.permission()),
        CLIENTS.issue("", groups=["system:masters"])),
    Row("client certificate: forged headers", "bob", (off.chain(),),
        bob(name="bob"), MASTER, names=()),
    Row("client certificate: reviewer down", 500, (off.permission_errors_are_refusals(),), bob(),
        down=True),
    Row("client certificate: reviewer slow", 500, (off.permission_errors_are_refusals(),), bob(),
        delay=30),
    Row("token: valid", "carol", (off.believing_tokens(),), None, BEARER),
    Row("token: not valid", 401, (off.authenticated_field(),), None,
        [("Authorization", "Bearer bad")]),
    Row("token: two headers", 401, (off.one_authorization_header(),), None, [*BEARER, *BEARER]),
    Row("token: for another audience", 401, (off.audiences(),), None, BEARER, audiences=("us",)),
    Row("token: forged headers", "carol", (off.certificate_before_headers(),), None,
        [*BEARER, *MASTER]),
    Row("token: reviewer down", 401, (off.token_errors_are_refusals(),), None, BEARER, down=True),
    Row("token: reviewer slow", 401, (off.token_errors_are_refusals(),), None, BEARER, delay=30),
    Row("token: beside a certificate that is not valid", "carol", (off.believing_tokens(),),
        proxy(name="x"), BEARER),
    Row("anonymous: may not", (403, "system:anonymous"), (off.permission(),)),
    Row("anonymous: forged headers", (403, "system:anonymous"),
        (off.certificate_before_headers(),), None, MASTER),
    Row("anonymous: another scheme", 401, (off.credentials_must_be_valid(),), None,
        [("Authorization", "Basic YTpi")]),
    Row("anonymous: reviewer down", 500, (off.permission_errors_are_refusals(),), down=True),
    Row("anonymous: reviewer slow", 500, (off.permission_errors_are_refusals(),), delay=30),
    Row("anonymous: health, reviewer down", "system:anonymous", (off.decisions_without_asking(),),
        path="/healthz", down=True),
]  # fmt: skip


def allows(spec):
    return spec["user"] in ("alice", "bob", "carol", "front-proxy-client")


async def outcome_of(row):
    data = configmap(FRONT, CLIENTS, names=row.names)
    patience = 0.3 if row.delay else 10.0
    async with serving(data, audiences=row.audiences, review_timeout=patience) as running:
        reviewer = running.reviewer
        reviewer.users = {"good": {"username": "carol"}}
        reviewer.allows = allows
        reviewer.down, reviewer.delay = row.down, row.delay
        try:
            async with connect(running.port, row.certificate) as connection:
                answer = await ask(connection, row)
        except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            return HANDSHAKE
    body = json.loads(answer.body)
    if answer.status == 200:
        return body["name"]
    if answer.status == 403:
        return 403, body["message"].partition('User "')[2].partition('"')[0]
    return answer.status


async def ask(connection, row):
    if not row.trailer:
        return await connection.request(row.path, headers=row.headers)
    lines = [f"GET {row.path} HTTP/1.1", "Host: x", "Transfer-Encoding: chunked"]
    lines += [f"{name}: {value}" for name, value in row.headers]
    head = "\r\n".join([*lines, "Trailer: X-Remote-Group", "", ""])
    await connection.send(f"{head}0\r\n{row.trailer}\r\n\r\n".encode())
    return await connection.answer()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_who_gets_in_as_whom(row):
    assert await outcome_of(row) == row.outcome


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
async def test_the_row_notices_its_check_missing(row):
    """Behind the handshake's check is ours: with the first off the second still refuses."""
    with contextlib.ExitStack() as switched_off:
        for check in row.without[:-1]:
            switched_off.enter_context(check)
            if row.outcome == HANDSHAKE:
                shown = Row(row.name, 401, (), None, row.headers)
                assert await outcome_of(shown) == 401
                row = shown
        last = ROWS[[each.name for each in ROWS].index(row.name)].without[-1]
        switched_off.enter_context(last)
        assert await outcome_of(row) != row.outcome

"""Documents changed at random, byte by byte or by their structure; the same for the same `rng`."""

import copy
import json

_VALUES = (
    None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**64, 10**30, -(10**30), 0.5, 1e308, -0.0,
    "", "0", "-1", "a lot", "NaN", "2026-11-27T05:00:00Z", "0001-01-01T00:00:00Z", "9" * 400,
    "\u0000", "\ud83d\ude00", "../..", [], {}, [[]], [None], {"": {}},
)  # fmt: skip


def mutated_bytes(rng, data, most=8):
    """Change a few bytes: flipped, removed, repeated, inserted, or cut off."""
    data = bytearray(data)
    for _ in range(rng.randint(1, most)):
        at, size = rng.randrange(len(data) + 1), rng.choice((1, 2, 8, 64, 1024))
        kind = rng.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del data[at : at + size]
        elif kind == 2:
            data[at:at] = data[at : at + size] * rng.randint(1, 4)
        elif kind == 3:
            data[at:at] = rng.randbytes(size)
        elif kind == 4:
            data[at : at + size] = rng.choice((b"0", b"-", b"9" * 30, b'"', b"{", b"[", b"\x00"))
        elif rng.random() < 0.2:
            del data[at:]
    return bytes(data)


def mutated_structure(rng, document, most=6):
    """Change a few places of a JSON document: replaced, removed, repeated, renamed, nested."""
    whole = {"": copy.deepcopy(document)}
    for _ in range(rng.randint(1, most)):
        places = list(_places(whole))
        parent, key = rng.choice(places)
        kind = rng.randrange(6)
        if kind in (0, 1):
            parent[key] = copy.deepcopy(rng.choice(_VALUES))
        elif kind == 2 and parent is not whole:
            del parent[key]
        elif kind == 3 and isinstance(parent, list):
            parent[key:key] = [copy.deepcopy(parent[key]) for _ in range(rng.choice((1, 2, 50)))]
        elif kind == 4 and isinstance(parent, dict) and parent is not whole:
            parent[rng.choice(("x", "name", "cpu", "time"))] = parent.pop(key)
        elif kind == 5:
            for _ in range(rng.choice((1, 5, 200))):
                parent[key] = rng.choice(([parent[key]], {"cpu": parent[key]}))
    return whole[""]


def mutated_json(rng, body):
    """Return the bytes of a JSON document with its structure changed."""
    return json.dumps(mutated_structure(rng, json.loads(body))).encode()


def _places(parent, depth=0):
    if depth > 60:
        return
    items = parent.items() if isinstance(parent, dict) else enumerate(parent)
    for key, value in items:
        yield parent, key
        if isinstance(value, (dict, list)):
            yield from _places(value, depth + 1)

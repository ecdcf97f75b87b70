"""Permissions are asked for in Kubernetes' words, cached apart, and an error is never an answer."""

import asyncio

import msgspec
import pytest

from metricsapi.api.asgi import QueryString
from metricsapi.server.auth.authorizer import Authorizer
from metricsapi.server.auth.request_info import RequestInfo, request_info
from metricsapi.server.auth.reviews import ReviewError
from metricsapi.server.auth.tokens import TokenReviewer
from metricsapi.server.auth.user import User
from tests.support.apiserver import Reviewer

ALICE = User("alice", "7", ("readers",), (("scopes", ("a", "b")),))
PODS = request_info("GET", "/apis/metrics.k8s.io/v1beta1/namespaces/ns/pods", QueryString(b""))


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


@pytest.fixture
async def reviewer():
    async with Reviewer() as running:
        running.allows = lambda spec: spec["user"] == "alice"
        yield running


@pytest.mark.parametrize(
    ("method", "path", "query", "asked"),
    [
        ("GET", "namespaces/ns/pods/p", b"", ("get", "pods", "ns", "p", "")),
        ("GET", "namespace/ns/pods/p", b"", ("get", "pods", "ns", "p", "")),
        ("GET", "namespaces/ns/pods", b"", ("list", "pods", "ns", "", "")),
        ("GET", "pods", b"", ("list", "pods", "", "", "")),
        ("GET", "nodes/n", b"", ("get", "nodes", "", "n", "")),
        ("GET", "nodes", b"watch=true", ("watch", "nodes", "", "", "")),
        ("GET", "nodes", b"fieldSelector=metadata.name%3Dn", ("list", "nodes", "", "n", "")),
        ("GET", "nodes/n/proxy", b"", ("get", "nodes", "", "n", "proxy")),
        ("POST", "nodes", b"", ("create", "nodes", "", "", "")),
        ("DELETE", "nodes/n", b"", ("delete", "nodes", "", "n", "")),
        ("DELETE", "nodes", b"", ("deletecollection", "nodes", "", "", "")),
        ("PATCH", "nodes/n", b"", ("patch", "nodes", "", "n", "")),
    ],
)
def test_what_is_asked_for_in_the_words_of_rbac(method, path, query, asked):
    info = request_info(method, f"/apis/metrics.k8s.io/v1/{path}", QueryString(query))
    assert (info.group, info.version) == ("metrics.k8s.io", "v1")
    assert (info.verb, info.resource, info.namespace, info.name, info.subresource) == asked


@pytest.mark.parametrize("path", ["/apis", "/apis/metrics.k8s.io/v1", "/metrics", "/healthz/ping"])
def test_other_paths_are_asked_for_as_they_are(path):
    review = request_info("GET", path, QueryString(b"")).review()
    assert review == {"nonResourceAttributes": {"path": path, "verb": "get"}}


async def test_a_review_names_user_groups_uid_and_extra(reviewer):
    await Authorizer(reviewer.client).decide(ALICE, PODS)
    (asked,) = reviewer.asked
    assert asked["kind"] == "SubjectAccessReview"
    spec = asked["spec"]
    assert (spec["user"], spec["uid"], spec["groups"]) == ("alice", "7", ["readers"])
    assert spec["extra"] == {"scopes": ["a", "b"]}
    assert spec["resourceAttributes"]["resource"] == "pods"


async def test_answers_are_kept_allowed_and_denied_apart(reviewer):
    clock = Clock()
    authorizer = Authorizer(reviewer.client, allowed_ttl=10, denied_ttl=2, clock=clock)
    eve = User("eve")
    for _ in range(3):
        assert (await authorizer.decide(ALICE, PODS)).allowed
        assert not (await authorizer.decide(eve, PODS)).allowed
    assert reviewer.count("SubjectAccessReview") == 2
    clock.now += 3
    await authorizer.decide(ALICE, PODS)
    await authorizer.decide(eve, PODS)
    assert reviewer.count("SubjectAccessReview") == 3  # only the denial had lapsed
    clock.now += 8
    await authorizer.decide(ALICE, PODS)
    assert reviewer.count("SubjectAccessReview") == 4


async def test_one_review_is_in_flight_for_one_question(reviewer):
    reviewer.delay = 0.1
    authorizer = Authorizer(reviewer.client)
    await asyncio.gather(*(authorizer.decide(ALICE, PODS) for _ in range(20)))
    assert reviewer.count("SubjectAccessReview") == 1
    tokens = TokenReviewer(reviewer.client)
    await asyncio.gather(*(tokens.user_of("t") for _ in range(20)))
    assert reviewer.count("TokenReview") == 1


@pytest.mark.parametrize("fault", ["down", "slow", "failing"])
async def test_an_error_grants_nothing_and_is_not_kept(reviewer, fault):
    authorizer = Authorizer(reviewer.client, timeout=0.2 if fault == "slow" else 5.0)
    reviewer.down = fault == "down"
    reviewer.delay = 5 if fault == "slow" else 0
    reviewer.status = 500 if fault == "failing" else 201
    with pytest.raises(ReviewError):
        await authorizer.decide(ALICE, PODS)
    reviewer.down, reviewer.delay, reviewer.status = False, 0, 201
    assert (await authorizer.decide(ALICE, PODS)).allowed


TOKEN = "s3cr3t-token-of-alice"
ALLOWED = {"allowed": True, "authenticated": True, "user": {"username": "alice"}}


def json(value):
    return msgspec.json.encode(value)


@pytest.mark.parametrize(
    "answer",
    [
        *(json({"kind": "KIND", "status": status}) for status in (None, [], "yes", 1)),
        *(json({"kind": "KIND", "status": ALLOWED | odd}) for odd in (
            {"authenticated": "true", "allowed": "true"},
            {"authenticated": 1, "allowed": 1},
            {"user": {"username": "alice", "groups": [1]}, "reason": 5},
            {"user": {"username": "alice", "groups": "g"}, "reason": []},
            {"user": {"username": "alice", "extra": {"a": "b"}}, "allowed": None},
            {"user": ["alice"], "denied": "no"},
        )),
        json({"kind": "Pod", "status": ALLOWED}),
        json({"kind": "Status", "status": "Failure", "code": 500}),
        json({"kind": "KIND"}),
        b'{"spec":{"token":"' + TOKEN.encode() + b'"},"status":{"authe',
        b'{"spec":{"token":"' + TOKEN.encode() + b'"},"status":null}',
        json([{"spec": {"token": TOKEN}}]),
        b"",
        b"<html>log in</html>",
        json({"kind": "KIND", "status": ALLOWED}) * 2,
        json({"kind": "KIND", "status": ALLOWED}).decode().encode("utf-16"),
        b'{"x":' + b"[" * 100_000,
        b'{"x":"' + b"a" * 5 * 2**20 + b'","kind":"KIND","status":{"allowed":true}}',
    ],
)  # fmt: skip
async def test_what_is_no_review_grants_nothing_and_shows_no_token(answer):
    """A review of another kind had counted, and the beginning of the answer was logged."""

    class Odd(Reviewer):
        async def respond(self, request, writer):
            kind = b"TokenReview" if "tokenreviews" in request.path else b"SubjectAccessReview"
            body = answer.replace(b"KIND", kind)
            writer.write(b"HTTP/1.1 201 X\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            return True

    async with Odd() as odd:
        with pytest.raises(ReviewError, match="SubjectAccessReview: "):
            await Authorizer(odd.client).decide(ALICE, PODS)
        with pytest.raises(ReviewError, match="TokenReview: ") as caught:
            await TokenReviewer(odd.client).user_of(TOKEN)
    assert TOKEN[:8] not in str(caught.value)


@pytest.mark.parametrize("status", [302, 400, 422, 500])
@pytest.mark.parametrize("body", [f"bad {TOKEN}", f'{{"spec":{{"token":"{TOKEN}"}},"message":5}}'])
async def test_a_refusal_that_repeats_the_token_is_shown_without_it(status, body):
    class Echo(Reviewer):
        async def respond(self, _, writer):
            head = f"HTTP/1.1 {status} X\r\nLocation: /{TOKEN}\r\nContent-Length: {len(body)}"
            writer.write(f"{head}\r\n\r\n{body}".encode())
            return True

    async with Echo() as echo:
        with pytest.raises(ReviewError) as caught:
            await TokenReviewer(echo.client).user_of(TOKEN)
    assert str(status) in str(caught.value)
    assert TOKEN[:8] not in str(caught.value)


async def test_what_was_allowed_is_allowed_while_the_reviewer_is_away_and_no_longer(reviewer):
    clock = Clock()
    authorizer = Authorizer(reviewer.client, allowed_ttl=10, timeout=0.2, clock=clock)
    await authorizer.decide(ALICE, PODS)
    reviewer.down = True
    assert (await authorizer.decide(ALICE, PODS)).allowed
    clock.now += 11
    with pytest.raises(ReviewError):
        await authorizer.decide(ALICE, PODS)


async def test_masters_and_open_paths_need_no_review(reviewer):
    authorizer = Authorizer(reviewer.client, always_allow=("/healthz", "/open/*"))
    root = User("root", groups=("system:masters",))
    assert authorizer.decide_locally(root, PODS).allowed
    assert authorizer.decide_locally(User("x"), RequestInfo("get", "/healthz")).allowed
    assert authorizer.decide_locally(User("x"), RequestInfo("get", "/open/a")).allowed
    assert authorizer.decide_locally(User("x"), RequestInfo("get", "/healthz/ping")) is None
    assert reviewer.asked == []


async def test_the_answers_that_are_kept_are_bounded(reviewer):
    authorizer = Authorizer(reviewer.client)
    caches = [cache for cache in vars(authorizer.cache).values() if getattr(cache, "maxsize", None)]
    assert caches
    assert all(0 < cache.maxsize <= 100_000 for cache in caches)

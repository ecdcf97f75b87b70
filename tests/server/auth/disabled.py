"""Each check of identity and permission, switched off: what a test of it must notice."""

import contextlib
import math
from unittest.mock import patch

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from metricsapi.server.auth import authenticator, reviews, tokens
from metricsapi.server.auth.authenticator import CLIENT, Authenticator
from metricsapi.server.auth.authorizer import Authorizer, Decision
from metricsapi.server.auth.client_certificates import (
    CertificateAuthorities,
    PeerCertificates,
    Verification,
)
from metricsapi.server.auth.front_proxy import HeaderReader
from metricsapi.server.auth.reviews import ReviewError
from metricsapi.server.auth.tokens import TokenReviewer
from metricsapi.server.auth.user import ANONYMOUS, User
from metricsapi.server.http import protocol

SOMEONE = User("someone", groups=("system:masters",))


def tls(certificate):
    """The handshake's own check: the peer counts as having shown this certificate."""
    chain = [certificate.der, *(each.der for each in certificate.chain)]
    return patch.object(protocol, "peer_certificates", lambda _: PeerCertificates(chain))


def chain():
    """Ours: each certificate is one of each authority's."""

    def verify(self, peer, now):
        return Verification(None, -math.inf, math.inf)

    return patch.object(CertificateAuthorities, "verify", verify)


def allowed_names():
    original = Authenticator.configure

    def configure(self, configuration):
        rules = configuration.front_proxy
        object.__setattr__(rules, "allowed_names", frozenset())
        original(self, configuration)

    return patch.object(Authenticator, "configure", configure)


def certificate_before_headers():
    """Headers are believed from anyone."""

    def by_certificate(self, peer, headers, now):
        return HeaderReader(self.configuration.front_proxy).read(headers), []

    return patch.object(Authenticator, "by_certificate", by_certificate)


def single_values():
    """Of several headers with one name the first counts."""
    original = HeaderReader.read

    def read(self, headers):
        return original(self, list(dict(reversed(headers)).items()))

    return patch.object(HeaderReader, "read", read)


def trailers_dropped():
    return patch.object(protocol.Protocol, "on_header", HttpToolsProtocol.on_header)


def believing_the_front_proxy():
    return patch.object(HeaderReader, "read", lambda *_: None)


def believing_certificates():
    original = PeerCertificates.fault

    def fault(self, use, authorities, now):
        return "not believed" if use == CLIENT else original(self, use, authorities, now)

    return patch.object(PeerCertificates, "fault", fault)


def believing_tokens():
    async def nobody(self, token):
        return None

    return patch.object(TokenReviewer, "user_of", nobody)


def credentials_must_be_valid():
    """Who presents something invalid is anonymous."""

    async def by_token(self, headers, faults):
        return ANONYMOUS

    return patch.object(Authenticator, "by_token", by_token)


def common_name_needed():
    """Who has no name is someone."""
    return patch.object(PeerCertificates, "common_name", SOMEONE.name)


@contextlib.contextmanager
def one_authorization_header():
    def first(headers):
        return next((v.split()[-1].decode() for n, v in headers if n == b"authorization"), None)

    with patch.object(authenticator, "bearer_token", first):
        yield


def token_errors_are_refusals():
    original = TokenReviewer.user_of

    async def user_of(self, token):
        try:
            return await original(self, token)
        except ReviewError:
            return SOMEONE

    return patch.object(TokenReviewer, "user_of", user_of)


def audiences():
    """A token is for every audience."""

    async def create_review(client, path, kind, spec, *rest):
        wanted = spec.pop("audiences")
        review = await reviews.create_review(client, path, kind, spec, *rest)
        review.status.audiences = wanted
        return review

    return patch.object(tokens, "create_review", create_review)


def authenticated_field():
    """Every token is someone's."""

    async def create_review(client, path, kind, spec, review, timeout):
        status = {"authenticated": True, "user": {"username": SOMEONE.name}}
        return msgspec.convert({"status": status}, review)

    return patch.object(tokens, "create_review", create_review)


def permission_errors_are_refusals():
    original = Authorizer.decide

    async def decide(self, user, attributes):
        try:
            return await original(self, user, attributes)
        except ReviewError:
            return Decision(allowed=True)

    return patch.object(Authorizer, "decide", decide)


def permission():
    async def decide(self, user, attributes):
        return Decision(allowed=True)

    return patch.object(Authorizer, "decide", decide)


def decisions_without_asking():
    """Masters and open paths need a review, too."""
    return patch.object(Authorizer, "decide_locally", lambda *_: None)

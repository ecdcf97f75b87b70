"""Authentication at the stand-in API server: bearer tokens, client certificates, anonymous."""

from __future__ import annotations

import datetime as dt
import hashlib
import secrets
import uuid
from collections.abc import Sequence

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID
from starlette.datastructures import Headers

from metricsapi.tools.sandbox.pki import Authority
from metricsapi.tools.sandbox.rbac import Attributes, User

AUDIENCE = "https://kubernetes.default.svc"
AUTHENTICATED = "system:authenticated"
CREDENTIAL = "authentication.kubernetes.io/credential-id"
_ACCOUNT = "system:serviceaccount:"
ADMIN = "kubernetes-admin"
ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))


class Users:
    """The tokens that are known, and whom each belongs to."""

    def __init__(self) -> None:
        self.tokens: dict[str, User] = {}
        self.audiences: dict[str, tuple[str, ...]] = {}

    def add(self, name: str, groups: Sequence[str], audiences: Sequence[str]) -> str:
        """Make a user, or an account by `system:serviceaccount:NS:NAME`; return its token."""
        uid = ""
        identifier = str(uuid.uuid4())
        if name.startswith(_ACCOUNT):
            namespace = name.split(":")[2]
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}", *groups)
            uid = identifier
        token = secrets.token_urlsafe(24)
        extra = ((CREDENTIAL, f"JTI={identifier}"),)
        self.tokens[token] = User(name, (*groups, AUTHENTICATED), uid, extra)
        self.audiences[token] = tuple(audiences)
        return token

    def authenticate(
        self, headers: Headers, certificate: bytes | None, trusted: Sequence[Authority]
    ) -> User | None:
        """Return the user; None when a credential was presented and none is valid."""
        if certificate and (user := from_certificate(certificate, trusted)):
            return user
        authorization = headers.get("authorization", "")
        if authorization:
            token = authorization.removeprefix("Bearer ")
            known = AUDIENCE in self.audiences.get(token, (AUDIENCE,))
            return self.tokens.get(token) if known else None
        return None if certificate else ANONYMOUS


def impersonated(headers: Headers, user: User) -> tuple[User, list[Attributes]]:
    """Return the impersonated user (`kubectl --as`), and what the real user must be allowed.

    Without such headers that is the real user, and nothing.
    """
    name = headers.get("impersonate-user")
    if not name:
        return user, []
    groups = tuple(headers.getlist("impersonate-group"))
    needed = [Attributes("impersonate", "", "groups", name=group) for group in groups]
    if name.startswith(_ACCOUNT):
        _, _, namespace, account = name.split(":", 3)
        wanted = Attributes("impersonate", "", "serviceaccounts", "", namespace, account)
        if not groups:
            groups = ("system:serviceaccounts", f"system:serviceaccounts:{namespace}")
    else:
        wanted = Attributes("impersonate", "", "users", name=name)
    if name == ANONYMOUS.name:
        return ANONYMOUS, [wanted]
    everyone = () if AUTHENTICATED in groups else (AUTHENTICATED,)
    return User(name, (*groups, *everyone)), [wanted, *needed]


def from_certificate(der: bytes, trusted: Sequence[Authority]) -> User | None:
    """Return the user of a client certificate (CN, and O for groups) that is trusted now."""
    certificate = x509.load_der_x509_certificate(der)
    now = dt.datetime.now(dt.UTC)
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return None
    if not any(_signed(certificate, authority) for authority in trusted):
        return None
    subject = certificate.subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    groups = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    extra = ((CREDENTIAL, f"X509SHA256={hashlib.sha256(der).hexdigest()}"),)
    name = str(names[0].value) if names else ""
    return User(name, (*(str(attribute.value) for attribute in groups), AUTHENTICATED), "", extra)


def _signed(certificate: x509.Certificate, authority: Authority) -> bool:
    try:
        certificate.verify_directly_issued_by(authority.certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True

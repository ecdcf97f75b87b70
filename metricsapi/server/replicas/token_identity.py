"""Replicas know each other by projected tokens, where no CA of ours signs certificates for them.

The tokens are for one audience, so they open nothing else. A follower sends its token only to a
server whose certificate an authority of `--replica-certificate-authority` signed for the name of
our Service: whoever wrote another address into the Lease gets none. The leader has the API server
review the token, and takes it if it is of the ServiceAccount that its own token is of.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from metricsapi.kube.errors import CredentialsError
from metricsapi.kube.files import FileError, FollowedFiles
from metricsapi.kube.identity import Identity
from metricsapi.kube.tls import ClientTLS, follow_authorities
from metricsapi.server.auth.tokens import BadCredential, TokenReviewer, bearer_token
from metricsapi.server.replicas.identity import NoIdentityError, Shown

AUDIENCE = "metrics-server-replica"
TTL = 60.0  # seconds for which a review counts: a stream ends so long after its token


class TokenIdentity:
    """This replica's token, and who else is a replica; `reviewer` reviews for `AUDIENCE`.

    `name` is that of our Service, for which the leader's certificate has to be.
    """

    pem = ""  # no certificate makes a replica

    def __init__(self, token: Path, authorities: Path, name: str, reviewer: TokenReviewer) -> None:
        """Read the files. Raises CredentialsError."""
        self._own = Identity(token_file=token)
        self._reviewer = reviewer
        try:
            self._tls = ClientTLS(follow_authorities(authorities), server_name=name)
        except (FileError, OSError) as error:
            raise CredentialsError(f"--replica-certificate-authority: {error}") from error

    @property
    def files(self) -> list[FollowedFiles[Any]]:
        """The files of the token and of the authorities."""
        return [*self._own.files, *self._tls.files]

    def shown(self) -> Shown:
        """Return what to show to the leader now. Raises NoIdentityError."""
        try:
            return Shown(self._tls.context(), {"authorization": f"Bearer {self._own.token()}"})
        except CredentialsError as error:
            raise NoIdentityError(str(error)) from error

    async def refusal(self, scope: Any) -> str | None:
        """Return why the client of an ASGI request is no replica; None if it is.

        Raises ReviewError.
        """
        try:
            token = bearer_token(scope["headers"])
        except BadCredential as error:
            return str(error)
        if token is None:
            return "it shows no token"
        user = await self._reviewer.user_of(token)
        if user is None:
            return f"its token is not valid for the audience {AUDIENCE}"
        own = await self._reviewer.user_of(self._own.token() or "")
        if own is None:
            return f"the token of --replica-token-file is not valid for the audience {AUDIENCE}"
        return None if user.name == own.name else f"its token is that of {user.name}"

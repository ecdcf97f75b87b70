"""Our identity for a server: a bearer token, a client certificate, or both, kept current."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from metricsapi.kube.errors import CredentialsError
from metricsapi.kube.files import FileError, FollowedFiles
from metricsapi.kube.key_pair import KeyPair, parse_pair

TOKEN_PERIOD = 60.0  # seconds a token file's content is used before it is read again (client-go)
CERTIFICATE_PERIOD = 10.0  # seconds
_TOKEN = re.compile(r"[\x21-\x7e]+")  # what an HTTP header can carry after `Bearer `


class Identity:
    """A fixed token and certificate, or those in files, which are read again.

    A token file wins over a fixed token, as in client-go.
    """

    def __init__(
        self,
        token: str | None = None,
        *,
        token_file: Path | None = None,
        pair: KeyPair | None = None,
        pair_files: tuple[Path, Path] | None = None,
    ) -> None:
        """Read the files; of `pair_files` the certificate comes first. Raises CredentialsError."""
        try:
            self._token = check_token(token, "the token") if token else None
            self._token_file = _follow_token(token_file) if token_file else None
            self._pair = pair
            self._pair_files = follow_pair(*pair_files) if pair_files else None
        except FileError as error:
            raise CredentialsError(str(error)) from error

    def token(self) -> str | None:
        """Return the current bearer token, None without any. Raises CredentialsError."""
        return self._token_file.current() if self._token_file else self._token

    def certificate(self) -> KeyPair | None:
        """Return the current client certificate, None without any. Raises CredentialsError."""
        return self._pair_files.current() if self._pair_files else self._pair

    async def refresh(self) -> None:
        """Renew what has expired, before a request. Raises CredentialsError."""

    def refresh_now(self) -> None:
        """Do the same as `refresh`, and block meanwhile."""

    @property
    def files(self) -> list[FollowedFiles[Any]]:
        """The files that token and certificate are in, as far as they are in files."""
        return [files for files in (self._token_file, self._pair_files) if files is not None]

    def rejected(self) -> None:
        """Note that a server answered 401: what is in files is read again at the next use."""
        if self._token_file is not None:
            self._token_file.expire()


def check_token(token: str, what: str) -> str:
    """Return the token without blanks around it. Raises FileError for what no header can carry."""
    token = token.strip()
    if not _TOKEN.fullmatch(token):
        raise FileError(f"{what} is empty, or holds blanks or characters beyond ASCII")
    return token


def _follow_token(path: Path) -> FollowedFiles[str]:
    def parse(contents: Sequence[bytes]) -> str:
        text = contents[0].removeprefix(b"\xef\xbb\xbf").decode("utf-8", "replace")
        return check_token(text, f"the token in {path}")

    return FollowedFiles([path], parse, period=TOKEN_PERIOD)


def follow_pair(certificate: Path, key: Path) -> FollowedFiles[KeyPair]:
    """Follow the files of a certificate and its key. Raises FileError."""

    def parse(contents: Sequence[bytes]) -> KeyPair:
        return parse_pair(contents[0], contents[1], str(certificate), str(key))

    return FollowedFiles([certificate, key], parse, period=CERTIFICATE_PERIOD)

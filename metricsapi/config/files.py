"""Checks the files that flags name: that they can be read, and that their content is usable."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from metricsapi.config.flags import flags_of, values_of
from metricsapi.config.settings import Settings
from metricsapi.kube.files import FileError, is_pipe, read_file
from metricsapi.kube.key_pair import read_pair, validity_problem
from metricsapi.kube.pem import read_authorities

_BEARER_TOKEN = re.compile(rb"[\w.~+/-]+=*")  # RFC 6750, 2.1


def file_problems(settings: object) -> dict[str, str]:
    """Name every flag whose file cannot be read, with the reason."""
    values, texts = values_of(settings), {}
    for name, flag in flags_of(type(settings)).items():
        if flag.kind.must_exist and values[name] is not None:
            try:
                if not (flag.kind.once and is_pipe(values[name])):
                    read_file(values[name])
            except FileError as error:
                texts[name] = f"--{name}: {error}"
    return texts


def content_problems(settings: Settings) -> list[str]:
    """Name every flag whose file cannot be read, or holds what cannot be used."""
    unread = file_problems(settings)
    texts = list(unread.values())
    for flags, check in _content_checks(settings):
        if unread.keys().isdisjoint(flags):
            try:
                check()
            except FileError as error:
                texts.append(f"{_names(flags)}: {error}")
    return texts


def _content_checks(
    settings: Settings,
) -> Iterator[tuple[tuple[str, ...], Callable[[], object]]]:
    """Yield a function for the files of each flag, which raises FileError if they are unusable."""
    for name, path in _authorities(settings).items():
        if path:
            yield (name,), partial(read_authorities, path)
    if token := settings.leader_election.replica_token_file:
        yield ("replica-token-file",), partial(_check_token, token)
    for flags, certificate, key in _pairs(settings):
        yield flags, partial(read_pair, certificate, key)


def _check_token(path: Path) -> None:
    if not _BEARER_TOKEN.fullmatch(read_file(path).strip()):
        raise FileError(f"{path} holds no bearer token")


def _authorities(settings: Settings) -> dict[str, Path | None]:
    return {
        "kubelet-certificate-authority": settings.kubelet.certificate_authority,
        "client-ca-file": settings.authentication.client_ca_file,
        "requestheader-client-ca-file": settings.authentication.requestheader_client_ca_file,
        "replica-certificate-authority": settings.leader_election.replica_certificate_authority,
    }


def _pairs(settings: Settings) -> Iterator[tuple[tuple[str, ...], Path, Path]]:
    """Yield every certificate with its key, after the flags that name them."""
    kubelet, serving = settings.kubelet, settings.serving
    if kubelet.client_certificate and kubelet.client_key:
        flags = ("kubelet-client-certificate", "kubelet-client-key")
        yield flags, kubelet.client_certificate, kubelet.client_key
    if serving.cert_file and serving.private_key_file:
        flags = ("tls-cert-file", "tls-private-key-file")
        yield flags, serving.cert_file, serving.private_key_file
    for named in serving.named_certificates:
        yield ("tls-sni-cert-key",), named.certificate, named.key


def _names(flags: tuple[str, ...]) -> str:
    return " and ".join(f"--{flag}" for flag in flags)


def validity_warnings(settings: Settings, now: float) -> list[str]:
    """Name every certificate that is not valid at `now`, in epoch seconds."""
    texts = []
    for flags, certificate, key in _pairs(settings):
        try:
            fault = validity_problem(read_pair(certificate, key), now)
        except FileError:
            continue  # a problem, not a warning
        if fault:
            texts.append(f"{_names(flags)}: the certificate in {certificate} {fault}")
    return texts

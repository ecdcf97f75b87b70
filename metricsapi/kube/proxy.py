"""The proxy for an API server, as Go finds it: HTTPS_PROXY and NO_PROXY.

The rules are those of golang.org/x/net/http/httpproxy, which client-go uses. Requests to
kubelets never go through a proxy.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from metricsapi.kube.errors import CredentialsError

SCHEMES = ("http", "https", "socks5", "socks5h")


def proxy_for(server: str, environ: Mapping[str, str]) -> str | None:
    """Return the URL of the proxy for an https URL, None to connect directly.

    Raises CredentialsError for a proxy that is no URL.
    """
    proxy = environ.get("HTTPS_PROXY") or environ.get("https_proxy")
    if not proxy or _is_excluded(server, environ.get("NO_PROXY") or environ.get("no_proxy") or ""):
        return None
    return checked_proxy(proxy, "HTTPS_PROXY")


def checked_proxy(url: str, what: str) -> str:
    """Return a proxy's URL, by default with the scheme that Go adds. Raises CredentialsError."""
    url = url if "://" in url else f"http://{url}"
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.scheme in SCHEMES and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise CredentialsError(
            f"{what} is no URL of a proxy; wanted is {'://, '.join(SCHEMES)}:// with HOST:PORT"
        )
    return url


def _is_excluded(server: str, rules: str) -> bool:
    parts = urlsplit(server)
    host = parts.hostname or ""
    port = parts.port or 443
    address = _address(host)
    if host == "localhost" or (address is not None and _v4(address).is_loopback):
        return True
    return any(_matches(rule.strip().lower(), host, port, address) for rule in rules.split(","))


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _matches(rule: str, host: str, port: int, address: Address | None) -> bool:
    """Return whether an entry of NO_PROXY matches; `address` is `host` if that is no name."""
    if rule == "*":
        return True
    if (network := _network(rule)) is not None:
        return address is not None and _v4(address) in network
    name, only_port = _split_port(rule)
    if only_port and only_port != str(port):
        return False
    if (excluded := _address(name)) is not None:
        return address is not None and _v4(excluded) == _v4(address)
    return _matches_name(name, host)


def _matches_name(name: str, host: str) -> bool:
    name = name.removeprefix("*") if name.startswith("*.") else name
    if name.startswith("."):  # subdomains only
        return host.endswith(name)
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _network(rule: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return the network of an entry `ADDRESS/PREFIX`, None for any other entry."""
    _, slash, prefix = rule.rpartition("/")
    if not slash or not prefix.isdigit():
        return None
    try:
        return ipaddress.ip_network(rule, strict=False)
    except ValueError:
        return None


def _split_port(rule: str) -> tuple[str, str]:
    if rule.startswith("["):
        name, _, rest = rule[1:].partition("]")
        return name, rest.removeprefix(":")
    if rule.count(":") == 1:
        name, _, port = rule.partition(":")
        return name, port
    return rule, ""


def _address(text: str) -> Address | None:
    try:
        return ipaddress.ip_address(text)
    except ValueError:
        return None


def _v4(address: Address) -> Address:
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped if mapped is not None else address

"""The `exec` of a kubeconfig's user, checked."""

from __future__ import annotations

import base64
from typing import Any

from metricsapi.kube.exec_plugin import MODES, VERSIONS, ExecPlugin
from metricsapi.kube.kubeconfig import Entry

_EXEC_EXTENSION = "client.authentication.k8s.io/exec"


def exec_plugin(cluster: Entry, user: Entry) -> ExecPlugin:
    """Return the plugin that a user's `exec` describes. Raises CredentialsError."""
    values = user.values["exec"]
    if not isinstance(values, dict):
        raise user.error("exec must have a command")
    entry = Entry("exec of user", user.name, values, user.file)
    command, version = entry.text("command"), entry.text("apiVersion")
    if not command:
        raise entry.error("it has no command")
    if version not in VERSIONS:
        raise entry.error(f"apiVersion must be {' or '.join(VERSIONS)}, not {version!r}")
    mode = entry.text("interactiveMode") or ("" if version == VERSIONS[0] else "IfAvailable")
    if mode not in MODES:
        raise entry.error(f"interactiveMode must be one of {', '.join(MODES)}, not {mode!r}")
    if "/" in command:
        command = str(user.file.parent / command)
    return ExecPlugin(
        command,
        tuple(entry.texts("args")),
        dict(_variables(entry)),
        version,
        mode,
        entry.text("installHint"),
        _cluster_info(cluster) if entry.flag("provideClusterInfo") else None,
    )


def _variables(entry: Entry) -> list[tuple[str, str]]:
    variables = entry.values.get("env") or []
    if not isinstance(variables, list) or not all(
        isinstance(variable, dict) and variable.get("name") for variable in variables
    ):
        raise entry.error("env must be a list of names and values")
    return [
        (
            entry.string("a name of env", each["name"]),
            entry.string("a value of env", each.get("value")),
        )
        for each in variables
    ]


def _cluster_info(cluster: Entry) -> dict[str, Any]:
    """Return the cluster as an ExecCredential's spec has it."""
    data = cluster.content("certificate-authority")
    info: dict[str, Any] = {
        "server": cluster.text("server"),
        "tls-server-name": cluster.text("tls-server-name"),
        "insecure-skip-tls-verify": cluster.flag("insecure-skip-tls-verify"),
        "certificate-authority-data": base64.b64encode(data).decode() if data else "",
        "proxy-url": cluster.text("proxy-url"),
        "disable-compression": cluster.flag("disable-compression"),
        "config": _extension(cluster),
    }
    return {key: value for key, value in info.items() if value}


def _extension(cluster: Entry) -> Any:
    extensions = cluster.values.get("extensions")
    for item in extensions if isinstance(extensions, list) else ():
        if isinstance(item, dict) and item.get("name") == _EXEC_EXTENSION:
            return item.get("extension")
    return None

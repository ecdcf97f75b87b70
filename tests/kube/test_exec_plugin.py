"""Exec plugins of kubeconfigs, as those of EKS, GKE and AKS: real programs are run."""

import asyncio
import datetime as dt
import json
import os
from pathlib import Path

import pytest
import yaml

from metricsapi.kube import exec_plugin
from metricsapi.kube.client import KubeClient
from metricsapi.kube.credentials import load_credentials
from metricsapi.kube.errors import CredentialsError, Unauthorized
from metricsapi.kube.exec_identity import ExecIdentity
from metricsapi.kube.exec_plugin import ExecPlugin
from tests.support.conditions import until
from tests.support.listener import Listener, http
from tests.support.odd_certificates import authority, make
from tests.support.pki import SERVER, Authority, server_context
from tests.support.programs import write_program

V1, V1BETA1 = "client.authentication.k8s.io/v1", "client.authentication.k8s.io/v1beta1"
# It records each run with its input, and prints the file `answer`.
PROGRAM = """
import json, os, sys
here = os.path.dirname(os.path.abspath(__file__))
with open(here + "/runs", "a") as runs:
    info = json.loads(os.environ["KUBERNETES_EXEC_INFO"])
    print(json.dumps([sys.argv[1:], os.environ.get("REGION"), info]), file=runs)
print(open(here + "/answer").read())
sys.exit(int(open(here + "/status").read()))
"""


class Plugin:
    def __init__(self, directory):
        self.directory = directory
        self.program = directory / "plugin"
        write_program(self.program, PROGRAM)
        self.answers(token="secret")
        self.exits(0)

    def answers(self, text=None, version=V1, kind="ExecCredential", **status):
        answer = {"apiVersion": version, "kind": kind, "status": status}
        (self.directory / "answer").write_text(json.dumps(answer) if text is None else text)

    def exits(self, status):
        (self.directory / "status").write_text(str(status))

    @property
    def runs(self):
        path = self.directory / "runs"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def identity(self, **options):
        return ExecIdentity(ExecPlugin(str(self.program), **options))

    def kubeconfig(self, server, ca, **config):
        """A kubeconfig beside the program, which it names relatively."""
        user = {"apiVersion": V1, "interactiveMode": "Never", "command": "./plugin", **config}
        cluster = {
            "server": server,
            "certificate-authority-data": ca,
            "extensions": [
                {"name": "client.authentication.k8s.io/exec", "extension": {"audience": "x"}}
            ],
        }
        path = self.directory / "kubeconfig"
        path.write_text(
            yaml.safe_dump(
                {
                    "current-context": "c",
                    "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
                    "clusters": [{"name": "c", "cluster": cluster}],
                    "users": [{"name": "u", "user": {"exec": user}}],
                }
            )
        )
        return path


@pytest.fixture
def plugin(tmp_path):
    return Plugin(tmp_path)


async def test_the_token_is_used_until_it_expires(plugin, monkeypatch):
    now = [1000.0]
    identity = ExecIdentity(ExecPlugin(str(plugin.program)), clock=lambda: now[0])
    for expires, at, runs in ((2000.0, 1000.0, 1), (2000.0, 1999.0, 1), (9e9, 2000.0, 2)):
        stamp = dt.datetime.fromtimestamp(expires, dt.UTC).isoformat().replace("+00:00", "Z")
        plugin.answers(token=f"until-{expires:.0f}", expirationTimestamp=stamp)
        now[0] = at
        await identity.refresh()
        assert len(plugin.runs) == runs
    assert identity.token() == "until-9000000000"


async def test_without_an_expiry_it_is_kept_until_a_server_answers_401(plugin):
    identity = plugin.identity()
    for _ in range(3):
        await identity.refresh()
    assert len(plugin.runs) == 1
    plugin.answers(token="second")
    identity.rejected()
    await identity.refresh()
    assert (len(plugin.runs), identity.token()) == (2, "second")


async def test_servers_that_always_answer_401_do_not_run_it_again_and_again(plugin):
    """Such as kubelets without webhook authentication."""
    identity = plugin.identity()
    for _ in range(50):
        await identity.refresh()
        identity.rejected()
    assert len(plugin.runs) == 2


async def test_a_closed_standard_input_is_no_terminal(plugin, monkeypatch):
    with open(os.devnull) as closed:  # noqa: ASYNC230, PTH123
        pass
    monkeypatch.setattr("sys.stdin", closed)
    await plugin.identity().refresh()
    assert plugin.runs[0][2]["spec"] == {"interactive": False}


async def test_who_asks_at_the_same_time_waits_for_one_run(plugin):
    identity = plugin.identity()
    await asyncio.gather(*(identity.refresh() for _ in range(20)))
    assert len(plugin.runs) == 1


async def test_arguments_environment_and_information_are_passed(plugin):
    identity = plugin.identity(args=("get-token", "--x"), env={"REGION": "eu-1"}, api_version=V1)
    await identity.refresh()
    assert plugin.runs == [
        [
            ["get-token", "--x"],
            "eu-1",
            {"kind": "ExecCredential", "apiVersion": V1, "spec": {"interactive": False}},
        ]
    ]


@pytest.mark.parametrize(
    ("config", "run"),
    [
        ({"args": None, "env": None}, [[], None]),
        ({"args": ["a", None], "env": [{"name": "REGION", "value": None}]}, [["a", ""], ""]),
        ({"env": [{"name": "REGION"}]}, [[], ""]),
        ({"env": [{"name": "REGION", "value": "ü=1"}]}, [[], "ü=1"]),
    ],
)
async def test_null_is_an_empty_list_or_string(plugin, config, run):
    path = plugin.kubeconfig("https://127.0.0.1:6443", "", **config)
    await load_credentials(path, {}).identity.refresh()
    assert [each[:2] for each in plugin.runs] == [run]


@pytest.mark.parametrize("version", [V1, V1BETA1])
async def test_a_kubeconfig_with_exec_is_used_end_to_end(plugin, version):
    """The token is sent, and after a 401 the program runs again."""
    ca = Authority("ca")
    valid = {"Bearer first"}

    def answer(request):
        good = request.headers["authorization"] in valid
        return http(b'{"gitVersion":"v1"}' if good else b"{}", 200 if good else 401)

    serving = server_context(ca.issue("api", usages=(SERVER,), names=("127.0.0.1",)))
    plugin.answers(token="first", version=version)
    async with Listener(answer, tls=serving) as server:
        url = f"https://127.0.0.1:{server.port}"
        path = plugin.kubeconfig(url, base64(ca.pem), apiVersion=version, provideClusterInfo=True)
        async with KubeClient(load_credentials(path, {})) as client:
            assert b"v1" in await client.request("GET", "/version")
            valid.clear()
            valid.add("Bearer second")
            plugin.answers(token="second", version=version)
            with pytest.raises(Unauthorized):
                await client.request("GET", "/version")
            assert b"v1" in await client.request("GET", "/version")
    (_, _, info), _ = plugin.runs
    assert info["apiVersion"] == version
    assert info["spec"]["cluster"] == {
        "server": url,
        "certificate-authority-data": base64(ca.pem),
        "config": {"audience": "x"},
    }


async def test_a_certificate_is_presented_and_its_successor_on_new_connections(plugin):
    ca = authority("ca")
    users = []

    def answer(request):
        names = dict(pair for part in request.peer["subject"] for pair in part)
        users.append(names["commonName"])
        return http(b"{}")

    serving = server_context(Authority("ca").issue("api", usages=(SERVER,), names=("127.0.0.1",)))
    serving.load_verify_locations(cadata=ca.text)
    serving.verify_mode = 2
    async with Listener(answer, tls=serving) as server:
        path = plugin.kubeconfig(f"https://127.0.0.1:{server.port}", "")
        config = yaml.safe_load(path.read_text())
        config["clusters"][0]["cluster"]["insecure-skip-tls-verify"] = True
        path.write_text(yaml.safe_dump(config))
        async with KubeClient(load_credentials(path, {})) as client:
            for name in ("first", "second"):
                made = make(name, issuer=ca)
                plugin.answers(clientCertificateData=made.text, clientKeyData=made.key.decode())
                client.credentials.identity.rejected()
                await client.request("GET", "/x")
    assert users == ["first", "second"]


def base64(data):
    import base64 as library

    return library.b64encode(data).decode()


PAIR = make("x")
KEY, PEM = PAIR.key.decode(), PAIR.text


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ({"text": ""}, "printed no ExecCredential"),
        ({"text": "To sign in, open https://…"}, "printed no ExecCredential"),
        ({"text": "[" * 5000}, "printed no ExecCredential"),
        ({"kind": "Secret"}, "printed Secret of client.authentication.k8s.io/v1"),
        ({"version": V1BETA1, "token": "x"}, "configured for client.authentication.k8s.io/v1,"),
        ({}, "neither a token nor a certificate"),
        ({"clientCertificateData": PEM}, "a certificate or a key, not both"),
        ({"clientCertificateData": "x", "clientKeyData": KEY}, "clientCertificateData holds no"),
        ({"clientCertificateData": PEM, "clientKeyData": "x"}, "clientKeyData holds no"),
        ({"token": "a\nb"}, "the token is empty, or holds blanks"),
        ({"token": 5}, "printed no ExecCredential"),
        ({"token": "x", "expirationTimestamp": "tomorrow"}, "printed no ExecCredential"),
    ],
)
async def test_what_a_program_prints_is_checked(plugin, answer, message):
    plugin.answers(**answer)
    with pytest.raises(CredentialsError, match=message) as caught:
        await plugin.identity().refresh()
    assert str(plugin.program) in str(caught.value)


async def test_a_program_that_fails_is_named_and_not_run_again_at_once(plugin):
    plugin.exits(3)
    identity = plugin.identity()
    for _ in range(5):
        with pytest.raises(CredentialsError, match="plugin failed with exit code 3"):
            await identity.refresh()
    assert len(plugin.runs) == 1


async def test_a_program_that_is_not_there_is_named_with_its_hint():
    identity = ExecIdentity(
        ExecPlugin("no-such-plugin", install_hint="Install it from example.com")
    )
    with pytest.raises(
        CredentialsError, match=r"(?s)executable no-such-plugin not found.*Install it from example"
    ):
        await identity.refresh()


async def test_a_program_that_cannot_be_run_is_named(plugin):
    plugin.program.chmod(0o644)
    with pytest.raises(CredentialsError, match="cannot run"):
        await plugin.identity().refresh()


async def test_a_program_that_hangs_is_ended(plugin, monkeypatch):
    monkeypatch.setattr(exec_plugin, "TIMEOUT", 0.2)
    plugin.program.write_text("#!/bin/sh\nexec sleep 30\n")
    with pytest.raises(CredentialsError, match=r"did not end within 0\.2 s"):
        await plugin.identity().refresh()


async def test_what_a_program_that_hangs_has_started_is_ended_too(plugin, monkeypatch):
    monkeypatch.setattr(exec_plugin, "TIMEOUT", 0.5)
    started, ended = plugin.directory / "started", plugin.directory / "ended"
    plugin.program.write_text(f"#!/bin/sh\n(sleep 20; touch {ended}) & echo $! >{started}\nwait\n")
    with pytest.raises(CredentialsError, match="did not end"):
        await plugin.identity().refresh()
    await until(lambda: not runs(int(started.read_text())), what="its child is gone")
    assert not ended.exists()


def runs(process):
    try:
        text = Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] != "Z"


async def test_a_program_that_prints_without_end_is_ended(plugin):
    plugin.program.write_text("#!/bin/sh\nexec yes\n")
    with pytest.raises(CredentialsError, match="printed more than 1048576 bytes"):
        await plugin.identity().refresh()


async def test_a_program_whose_credential_has_expired_is_not_run_for_each_use(plugin):
    """client-go uses it, since clocks differ."""
    plugin.answers(token="old", expirationTimestamp="2020-01-01T00:00:00Z")
    identity = plugin.identity()
    for _ in range(3):
        await identity.refresh()
    assert identity.token() == "old"
    assert len(plugin.runs) == 1


async def test_a_program_that_must_ask_a_user_needs_a_terminal(plugin):
    with pytest.raises(CredentialsError, match="interactiveMode Always"):
        await plugin.identity(interactive_mode="Always").refresh()
    assert plugin.runs == []


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"command": ""}, "it has no command"),
        ({"apiVersion": "client.authentication.k8s.io/v1alpha1"}, "apiVersion must be "),
        ({"apiVersion": None}, "apiVersion must be "),
        ({"interactiveMode": None}, "interactiveMode must be one of"),
        ({"interactiveMode": "Sometimes"}, "interactiveMode must be one of"),
        ({"args": "get-token"}, "args must be a list of strings"),
        ({"args": ["get-token", 7]}, "each of args must be a string, in quotes"),
        ({"env": {"A": "b"}}, "env must be a list of names and values"),
        ({"env": [{"name": "A", "value": 7}]}, "a value of env must be a string, in quotes"),
        ({"provideClusterInfo": "maybe"}, "provideClusterInfo must be true or false"),
    ],
)
def test_a_broken_exec_is_named_with_the_file_and_the_user(plugin, config, message):
    path = plugin.kubeconfig("https://127.0.0.1:6443", "", **config)
    with pytest.raises(CredentialsError, match=message) as caught:
        load_credentials(path, {})
    assert f"kubeconfig {path}: exec of user 'u': " in str(caught.value)

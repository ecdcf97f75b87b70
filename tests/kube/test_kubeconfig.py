"""Kubeconfigs as client-go loads them: several merged, relative paths, and any bytes."""

import base64
import ssl

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from metricsapi.kube.credentials import default_kubeconfigs, load_credentials
from metricsapi.kube.errors import CredentialsError
from tests.support.odd_certificates import authority, make

CA = authority("ca")
PAIR = make("client", issuer=CA)


def config(name="c", *, server="https://127.0.0.1:6443", cluster=None, user=None, **top):
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
        "clusters": [{"name": name, "cluster": {"server": server, **(cluster or {})}}],
        "users": [{"name": name, "user": user or {}}],
        **top,
    }


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(content, allow_unicode=True))
    return path


def load(path, environ=None):
    return load_credentials(path, environ or {})


def test_of_several_files_the_first_that_has_something_wins(tmp_path):
    first = write(tmp_path / "1", {"current-context": "b", "users": config("a")["users"]})
    second = config("b", user={"token": "from-2"})
    second["clusters"] += config("c", server="https://second")["clusters"]
    third = config("c", server="https://third", user={"token": "from-3"})
    third["users"] += config("b", user={"token": "hidden"})["users"]
    files = [first, write(tmp_path / "2", second), tmp_path / "gone", write(tmp_path / "3", third)]
    loaded = load(files)
    assert (loaded.server, loaded.identity.token()) == ("https://127.0.0.1:6443", "from-2")
    write(first, {"current-context": "c"})
    loaded = load(files)
    assert (loaded.server, loaded.identity.token()) == ("https://second", "from-3")


def test_the_files_are_those_of_kubectl(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert default_kubeconfigs({}) == [tmp_path / ".kube" / "config"]
    paths = default_kubeconfigs({"KUBECONFIG": "/a::/b/c:"})
    assert [str(path) for path in paths] == ["/a", "/b/c"]


def test_an_account_without_a_home_is_named_in_the_error(monkeypatch):
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pathlib.Path.home", _no_home)
    with pytest.raises(CredentialsError, match=r"neither \$KUBECONFIG nor a home directory"):
        default_kubeconfigs({})


def _no_home():
    raise RuntimeError("Could not determine home directory.")


def test_paths_are_relative_to_the_file_they_stand_in(tmp_path):
    (tmp_path / "users" / "keys").mkdir(parents=True)
    (tmp_path / "ca.crt").write_bytes(CA.pem)
    (tmp_path / "users" / "keys" / "tls.crt").write_bytes(PAIR.pem)
    (tmp_path / "users" / "keys" / "tls.key").write_bytes(PAIR.key)
    (tmp_path / "users" / "token").write_text("secret\n")
    cluster = config(cluster={"certificate-authority": "ca.crt"})
    users = config(
        user={
            "client-certificate": "keys/tls.crt",
            "client-key": "./keys/tls.key",
            "tokenFile": "token",
            "token": "the-file-wins",
        }
    )
    del cluster["users"]
    files = [write(tmp_path / "cluster", cluster)]
    files.append(write(tmp_path / "users" / "config", {"users": users["users"]}))
    loaded = load(files)
    assert loaded.identity.token() == "secret"
    assert loaded.identity.certificate().leaf == PAIR.certificate
    assert loaded.tls.authorities() == CA.text


def test_data_wins_over_files_and_may_have_comments_and_line_breaks(tmp_path):
    data = {
        name: base64.encodebytes(content).decode()
        for name, content in (
            ("client-certificate-data", "# é\n".encode() + PAIR.pem),
            ("client-key-data", PAIR.key),
        )
    }
    ca = {"certificate-authority-data": base64.b64encode("# Köln\n".encode() + CA.pem).decode()}
    loaded = load(
        write(
            tmp_path / "config",
            config(cluster={"certificate-authority": "gone", **ca},
                   user={"client-certificate": "gone", "client-key": "gone", **data}),
        )
    )  # fmt: skip
    assert loaded.identity.certificate().leaf == PAIR.certificate
    assert loaded.tls.authorities() == CA.text


def test_the_other_settings_of_a_cluster(tmp_path):
    path = write(
        tmp_path / "config",
        config(cluster={"insecure-skip-tls-verify": True, "tls-server-name": "other",
                        "proxy-url": "http://proxy:3128"}),
    )  # fmt: skip
    loaded = load(path, {"HTTPS_PROXY": "http://ignored"})
    assert loaded.tls.context().verify_mode is ssl.CERT_NONE
    assert (loaded.tls.server_name, loaded.proxy) == ("other", "http://proxy:3128")


def test_the_environment_gives_a_proxy_where_the_kubeconfig_has_none(tmp_path):
    path = write(tmp_path / "config", config(server="https://api.example:6443"))
    environ = {"https_proxy": "http://proxy:3128", "NO_PROXY": "other"}
    assert load(path, environ).proxy == "http://proxy:3128"
    assert load(path, {**environ, "NO_PROXY": "example"}).proxy is None


def test_impersonation_is_sent_as_headers(tmp_path):
    user = {"as": "jane", "as-groups": ["a", "b"], "as-user-extra": {"Scopes/x": ["y"]}}
    assert load(write(tmp_path / "config", config(user=user))).headers == (
        ("Impersonate-User", "jane"),
        ("Impersonate-Group", "a"),
        ("Impersonate-Group", "b"),
        ("Impersonate-Extra-Scopes%2Fx", "y"),
    )


def test_a_token_or_a_certificate_wins_over_exec(tmp_path):
    plugin = {"exec": {"command": "no-such-plugin", "apiVersion": "x"}}
    loaded = load(write(tmp_path / "config", config(user={"token": "t", **plugin})))
    assert loaded.identity.token() == "t"


def test_of_several_documents_the_first_counts(tmp_path):
    path = tmp_path / "config"
    path.write_text(f"---\n{yaml.safe_dump(config(user={'token': 't'}))}---\nother: [\n")
    assert load(path).identity.token() == "t"


def test_of_several_files_one_that_no_path_can_name_is_named_in_the_error(tmp_path):
    path = write(tmp_path / "config", config(user={"token": "t"}))
    with pytest.raises(CredentialsError, match="File name too long"):
        load([path, tmp_path / ("x" * 5000)])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_byte_order_marks_and_windows_are_read(tmp_path, encoding):
    path = tmp_path / "config"
    content = yaml.safe_dump(config(user={"token": "t"})).replace("\n", "\r\n")
    path.write_bytes(("# Küche\r\n" + content).encode(encoding))
    assert load(path).identity.token() == "t"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"user": {"username": "admin", "password": "x"}}, "user 'c': username is not supported"),
        ({"user": {"auth-provider": {"name": "gcp"}}}, "auth-provider is not supported"),
        ({"user": {"client-certificate-data": "%%"}}, "client-certificate-data is not base64"),
        ({"user": {"client-certificate": "gone"}}, "cannot read client-certificate gone: no such"),
        ({"user": {"client-key": "."}}, "is a folder, not a file"),
        ({"user": {"tokenFile": "gone"}}, "no such file"),
        ({"user": {"token": "a b"}}, "the token is empty, or holds blanks"),
        ({"user": {"token": ["a"]}}, "token must be a string"),
        ({"user": {"token": 83}}, "token must be a string, in quotes if"),
        ({"user": {"token": True}}, "token must be a string, in quotes if"),
        ({"user": {"as": "jane", "as-groups": ["a", 7]}}, "each of as-groups must be a string"),
        ({"user": {"as-groups": ["a"]}}, "need a user to impersonate: as"),
        ({"user": {"as-user-extra": {"a": ["b"]}}}, "need a user to impersonate: as"),
        ({"user": {"exec": "aws"}}, "exec must have a command"),
        ({"user": {"as-groups": "all"}}, "as-groups must be a list of strings"),
        ({"cluster": {"insecure-skip-tls-verify": "maybe"}}, "must be true or false"),
        ({"cluster": {"insecure-skip-tls-verify": 1}}, "must be true or false"),
        (
            {"cluster": {"insecure-skip-tls-verify": True, "certificate-authority": "ca.crt"}},
            "is not used with insecure-skip-tls-verify: remove one",
        ),
        ({"cluster": {"proxy-url": "ftp://x"}}, "proxy-url is no URL of a proxy"),
        ({"cluster": {"certificate-authority": "gone"}}, "no such file"),
        ({"server": "http://127.0.0.1"}, "must be an https:// URL"),
        ({"server": "https://[::1"}, "is no URL"),
        ({"server": "https://"}, "must be an https:// URL"),
        ({"server": ""}, "must be an https:// URL"),
        ({"contexts": []}, "no context named 'c'"),
        ({"users": {}}, "users must be a list"),
        ({"users": ["c"]}, "each of users must have a name"),
        ({"users": [{"name": "c", "user": "x"}]}, "each of users must have a name and a user"),
        ({"users": [{"name": 1, "user": {}}]}, "names are strings, in quotes if"),
        ({"users": config()["users"] * 2}, "has two users named 'c': remove one"),
        ({"clusters": config()["clusters"] * 2}, "has two clusters named 'c': remove one"),
        ({"current-context": ""}, "no current-context"),
        ({"current-context": False}, "current-context must be a string"),
    ],
)
def test_the_error_names_the_file_and_what_is_wrong(tmp_path, change, message):
    path = write(tmp_path / "config", config(**change))
    with pytest.raises(CredentialsError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b" \n\n", "is empty"),
        (b"\0\0\0", "is empty"),
        (b"apiVersion: v1\nclusters:\n- cluster:\n    server: 'https", "is not YAML"),
        (b"\xff\xfe\xfa", "is not YAML"),
        (b"caf\xe9: 1", "is not YAML"),
        (b"just words", "holds no configuration: it is text"),
        (b"- a", "holds no configuration: it is no mapping"),
        (b"a:\n b: 1\n  c: 2", "mapping values are not allowed here in line 3, column 4"),
        (b"a: " + b"[" * 600, "kubeconfig .* (is nested too deep|is not YAML)"),
        (b"a: 2024-99-99", "is not YAML"),
        (b"a: !!timestamp x", "is not YAML"),
        (b"a: !!python/object:os.system x", "is not YAML"),
        (b"? [a]\n: b", "is not YAML"),
    ],
)
def test_the_error_says_what_a_file_is_that_is_no_kubeconfig(tmp_path, content, message):
    path = tmp_path / "config"
    path.write_bytes(content)
    with pytest.raises(CredentialsError, match=message) as caught:
        load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    "content",
    [
        "TOKEN",
        "- TOKEN",
        "users:\n- name: u\n  user:\n    token: TOKEN: x",
        "users:\n- name: u\n  user: {token: TOKEN",
        "users:\n- user:\n    token: !!int TOKEN",
        "users:\n- user:\n    token: !!timestamp TOKEN",
        "users:\n- user:\n    token: !!python/TOKEN x",
        'users:\n- user:\n    token: "TOKEN\\q"',
        "TOKEN\0",
    ],
)
def test_no_error_shows_what_may_be_a_token(tmp_path, content):
    """Such as that of a file with a token, which was named as the kubeconfig."""
    path = tmp_path / "config"
    path.write_text(content.replace("TOKEN", "s3cr3t-token"))
    with pytest.raises(CredentialsError) as caught:
        load(path)
    assert "s3cr3t" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_the_error_says_that_a_path_is_a_folder_or_missing(tmp_path):
    with pytest.raises(CredentialsError, match="is a folder, not a file"):
        load(tmp_path)
    with pytest.raises(CredentialsError, match="no such file"):
        load(tmp_path / "gone")
    with pytest.raises(CredentialsError, match=r"no such kubeconfig: .*a, .*b"):
        load([tmp_path / "a", tmp_path / "b"])


GOOD = yaml.safe_dump(config(user={"token": "t"})).encode()
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


def survives(path, content):
    path.write_bytes(content)
    try:
        load(path)
    except CredentialsError:
        return


QUICK = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@given(
    st.binary(max_size=60)
    | st.builds(
        lambda at, data: GOOD[:at] + data + GOOD[at:],
        st.integers(0, len(GOOD)),
        st.binary(max_size=4),
    )
    | st.builds(lambda at: GOOD[:at], st.integers(0, len(GOOD)))
)
@example(b"%")
@QUICK
def test_any_bytes_are_credentials_or_an_error_of_one_kind(tmp_path, content):
    survives(tmp_path / "config", content)


SECTIONS = ["clusters", "users", "contexts", "current-context"]
KEYS = ["server", "token", "exec", "certificate-authority-data", "tls-server-name", "proxy-url",
        "client-certificate-data", "client-key-data", "as-user-extra", "insecure-skip-tls-verify",
        "name", "user", "cluster", "context", "command", "args", "env", "apiVersion"]  # fmt: skip


@given(st.sampled_from(SECTIONS + KEYS), VALUES)
@QUICK
def test_any_value_in_any_place_is_credentials_or_an_error_of_one_kind(tmp_path, key, value):
    content = config(user={"exec": {"command": "x", "apiVersion": "y"}})
    for place in (content, content["clusters"][0]["cluster"], content["users"][0]["user"],
                  content["users"][0], content["users"][0]["user"]["exec"]):  # fmt: skip
        if isinstance(place, dict):
            place[key] = value
    survives(tmp_path / "config", yaml.safe_dump(content).encode())

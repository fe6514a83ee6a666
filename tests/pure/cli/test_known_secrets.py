"""What is collected of an agent's environment and files, and what of it is secret."""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
import string
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interceptor.cli import as_user, concealment
from interceptor.cli.known_secrets import BIGGEST, collect, environment, homes_beside
from interceptor.cli.package_registries import hosts_of_registries
from interceptor.cli.secret_files import reader_for
from interceptor.cli.secret_values import from_value, home_at
from interceptor.policy.schema import Secrets
from interceptor.scan.collected import Candidate, Collected
from interceptor.scan.ruleset import Home
from netns.identity import Identity

S1, S2, S3 = "q7Jx0vR2mWz9TfLb4Kd8", "Zt5u8xBdG7KbPeShVmYq", "hT9sLq2vWxYk4Rp7"
"""Values of no format."""


def drawn(size: int, seed: int = 1) -> str:
    return "".join(random.Random(seed).choices(string.ascii_letters + string.digits, k=size))


def sure(candidates: Iterable[Candidate]) -> dict[str, str]:
    return {c.name: c.value.decode() for c in candidates if c.sure}


def homes(candidates: Iterable[Candidate]) -> dict[str, list[str]]:
    return {
        candidate.name: [
            f"{host} {place}"
            for home in candidate.homes
            for host in home.hosts
            for place in home.places
        ]
        for candidate in candidates
        if candidate.sure
    }


def read(name: str, text: str) -> list[Candidate]:
    return list(reader_for(Path(name).name, text)(name, text))


AUTH = "header:authorization"


def test_env_files_in_every_spelling() -> None:
    text = f"""
# comment
export A_TOKEN={S1}
B_SECRET = "{S2}"
C_KEY='{S3}' # behind
D_PASSWORD: {S1}x
E_KEY="line one
{S2} two"
PORT=8080
DEBUG=true
#F_TOKEN={S3}
NAME=my-application
RANDOM_THING={drawn(30)}
"""
    found = sure(read(".env", text))
    assert found == {
        ".env:A_TOKEN": S1,
        ".env:B_SECRET": S2,
        ".env:C_KEY": S3,
        ".env:D_PASSWORD": f"{S1}x",
        ".env:E_KEY": f"line one\n{S2} two",
        ".env:RANDOM_THING": drawn(30),
    }


def test_netrc() -> None:
    text = f"""machine api.example.com login me password {S1}
machine b.example.com
  login you
  password "{S2}"
default login x password {S3}
macdef init
  password not-a-password
"""
    found = read("~/.netrc", text)
    assert sure(found) == {
        "~/.netrc:api.example.com": S1,
        "~/.netrc:b.example.com": S2,
        "~/.netrc:default": S3,
    }
    assert homes(found)["~/.netrc:api.example.com"] == [f"api.example.com {AUTH}"]
    assert homes(found)["~/.netrc:default"] == []


def test_aws_credentials() -> None:
    key = drawn(40)
    text = f"[default]\naws_access_key_id = AK{'IA'}{drawn(16).upper()}\naws_secret_access_key = {key}\nregion = eu-west-1\n[other]\naws_session_token={S1}\n"  # noqa: E501
    found = sure(read("credentials", text))
    assert found == {
        "credentials:default.aws_secret_access_key": key,
        "credentials:other.aws_session_token": S1,
    }
    # The id has no name of a secret: a rule knows it.
    assert any("access_key_id" in c.name and not c.sure for c in read("credentials", text))


def test_npmrc() -> None:
    auth = base64.b64encode(f"me:{S2}".encode()).decode()
    text = f"""registry=https://packages.example/
//packages.example/:_authToken={S1}
//two.example/sub/:_auth={auth}
//three.example/:_authToken=${{NPM_TOKEN}}
//four.example/:_password="{base64.b64encode(S3.encode()).decode()}"
email=me@example.test
"""
    found = read(".npmrc", text)
    values = {c.value.decode() for c in found if c.sure}
    assert {S1, S2, S3, auth} <= values
    assert not any("NPM_TOKEN" in value for value in values)
    assert homes(found)[".npmrc://packages.example/:_authToken"] == [f"packages.example {AUTH}"]
    assert homes(found)[".npmrc://two.example/sub/:_auth"] == [f"two.example {AUTH}"]


def test_docker_config() -> None:
    auth = base64.b64encode(f"me:{S1}".encode()).decode()
    text = json.dumps(
        {
            "auths": {
                "registry.example.com:5000": {"auth": auth},
                "https://index.hub.example/v1/": {"auth": auth, "identitytoken": S2},
            },
            "credsStore": "desktop",
        }
    )
    found = read("config.json", text)
    assert sure(found)["config.json:registry.example.com:5000"] == S1
    assert homes(found)["config.json:registry.example.com:5000"] == [
        f"registry.example.com:5000 {AUTH}"
    ]
    # Docker's own index hands its tokens out beside itself.
    assert homes(found)["config.json:https://index.hub.example/v1/.identitytoken"] == [
        f"index.hub.example {AUTH}",
        f"*.hub.example {AUTH}",
    ]


def test_kubeconfig() -> None:
    body = "\n".join(drawn(64, seed) for seed in range(3))
    mark = "-----{} RSA PRIVATE" + " KEY-----\n"
    pem = f"{mark.format('BEGIN')}{body}\n{mark.format('END')}"
    text = json.dumps(
        {
            "apiVersion": "v1",
            "clusters": [{"name": "c", "cluster": {"server": "https://k8s.example.com:6443"}}],
            "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
            "users": [
                {
                    "name": "u",
                    "user": {
                        "token": S1,
                        "client-key-data": base64.b64encode(pem.encode()).decode(),
                        "client-certificate-data": base64.b64encode(b"x" * 99).decode(),
                    },
                }
            ],
        },
        indent=1,
    )
    found = list(reader_for("kubeconfig.yaml", text)("config", text))
    assert sure(found) == {"config:u.token": S1, "config:u.client-key-data": pem}
    assert homes(found)["config:u.token"] == [f"k8s.example.com:6443 {AUTH}"]


@pytest.mark.parametrize(
    ("name", "text", "expected", "home"),
    [
        ("hosts.yml", f"git.example:\n  oauth_token: {S1}\n  user: me\n", S1, "git.example"),
        (".git-credentials", f"https://me:{S1}@git.example\n", S1, "git.example"),
        (".pypirc", f"[a]\nrepository = https://up.test/x/\npassword = {S1}\n", S1, "up.test"),
        ("pip.conf", f"[global]\nindex-url = https://me:{S1}@pip.test/simple\n", S1, "pip.test"),
        ("x.tfrc.json", json.dumps({"credentials": {"tf.test": {"token": S1}}}), S1, "tf.test"),
        (".pgpass", f"db.example:5433:app:me:{S1}\n", S1, "db.example:5433"),
        ("credentials.toml", f'[registry]\ntoken = "{S1}"\n', S1, None),
        ("adc.json", json.dumps({"client_secret": S1, "refresh_token": S2}), S1, None),
        ("settings.yaml", f"db:\n  host: db.example\n  password: {S1}\n", S1, None),
        ("auth.json", json.dumps({"tokens": {"access_token": S1}}), S1, None),
        (".my.cnf", f"[client]\nuser=me\npassword={S1}\n", S1, None),
        ("anything", f"{S1}\n", S1, None),
        ("anything", f"api_key={S1}\n", S1, None),
        ("application.properties", f"[x]\ndb.password={S1}\n", S1, None),
    ],
)  # fmt: skip
def test_other_formats(name: str, text: str, expected: str, home: str | None) -> None:
    found = [c for c in read(name, text) if c.sure and c.value == expected.encode()]
    assert len(found) == 1, read(name, text)
    hosts = [host for h in found[0].homes for host in h.hosts]
    assert (home in hosts) if home else not hosts


def test_private_keys_and_not_their_certificates() -> None:
    block = "-----BEGIN {0}-----\n{1}\n-----END {0}-----\n"
    text = block.format("CERTIFICATE", drawn(64)) + block.format("PRIVATE" + " KEY", drawn(64, 2))
    (found,) = read("server", text)
    assert drawn(64, 2) in found.value.decode()
    assert drawn(64) not in found.value.decode()


@pytest.mark.parametrize(
    ("value", "secret"),
    [
        (f"postgres://u:{S1}@db.example/x", S1),
        ("redis://:" + f"{'p%40ss%2FWord99x'}@cache.example", "p@ss/Word99x"),
        (f"https://{S1}@sentry.example/4", S1),
        (f"https://files.example/x?sig={S1}&a=1", S1),
        (f"Bearer {S1}", S1),
        (base64.b64encode(f"me:{S1}".encode()).decode(), S1),
        (json.dumps({"type": "x", "private_key": S1}), S1),
    ],
)
def test_values_are_taken_apart(value: str, secret: str) -> None:
    assert secret in {c.value.decode() for c in from_value("A_TOKEN", value, sure=True) if c.sure}


def test_where_a_url_is_at_home() -> None:
    assert home_at("https://a.example/x") == (Home(("a.example",), (AUTH,)),)
    assert home_at("a.example:8443") == (Home(("a.example:8443",), (AUTH,)),)
    assert home_at("postgres://u:p@db.example/x") == (Home(("db.example:5432",), ("stream",)),)
    for bad in ("", "*", "https://*.example/", "*.com", "https://", "https://[::1", "a b", "..."):
        assert home_at(bad) == ()


def test_the_environment_and_what_stands_beside() -> None:
    environ = {
        "PATH": "/usr/bin:/bin",
        "JIRA_API_TOKEN": S1,
        "JIRA_URL": "https://jira.example",
        "PGPASSWORD": S2,
        "PGHOST": "db.example",
        "DATABASE_URL": f"mysql://u:{S3}@my.example/x",
        "GREETING": "hello to all of you",
        "SHORT_KEY": "abc",
        "TF_TOKEN_app_terraform__x_example": S1 + "2",
        "npm_config_//packages.example/:_authToken": S1 + "3",
        "DECOY_KEY": S1 + "4",
    }
    found = list(environment(environ, {"DECOY_KEY": ""}))
    assert sure(found) == {
        "JIRA_API_TOKEN": S1,
        "PGPASSWORD": S2,
        "DATABASE_URL": S3,
        "SHORT_KEY": "abc",
        "TF_TOKEN_app_terraform__x_example": S1 + "2",
        "npm_config_//packages.example/:_authToken": S1 + "3",
    }
    where = {name: {text.split()[0] for text in texts} for name, texts in homes(found).items()}
    assert where["JIRA_API_TOKEN"] == {"jira.example"}
    assert where["PGPASSWORD"] == {"db.example:5432"}
    assert where["DATABASE_URL"] == {"my.example:3306"}
    assert where["TF_TOKEN_app_terraform__x_example"] == {"app.terraform-x.example"}
    assert where["npm_config_//packages.example/:_authToken"] == {"packages.example"}
    assert homes_beside("JIRA_API_TOKEN", {"JIRA_URL": "*"}) == ()


def test_files_of_the_policy(tmp_path: Path) -> None:
    (tmp_path / "my.env").write_text(f"A_TOKEN={S1}\n")
    home = tmp_path / "home"
    home.mkdir()
    (home / ".netrc").write_text(f"machine a.example password {S2}\n")
    policy = Secrets(environment="ignore", files=("my.env", "~/.netrc"))
    found = collect(policy, {"B_TOKEN": S3}, str(home), folder=str(tmp_path))
    assert found.fault == ""
    assert sure(found.candidates) == {"my.env:A_TOKEN": S1, "~/.netrc:a.example": S2}


def test_a_file_that_cannot_be_read_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "big").write_bytes(b"x" * (BIGGEST + 1))
    (tmp_path / "bad.json").write_text(f'{{"token": "{S1}"')
    os.mkfifo(tmp_path / "fifo")
    for name, said in (
        ("missing.env", "No such file"),
        ("big", "larger than"),
        ("fifo", "not an ordinary file"),
        (".", "not an ordinary file"),
        ("bad.json", "is not what its name says (JSONDecodeError)"),
    ):
        found = collect(Secrets(files=(name,)), {}, "", folder=str(tmp_path))
        assert found.fault.startswith("secrets.files[0]: "), name
        assert name.strip(".") in found.fault
        assert said in found.fault
        assert S1 not in found.fault
        assert found.candidates == ()


def test_the_usual_places(tmp_path: Path) -> None:
    (tmp_path / ".aws").mkdir()
    (tmp_path / ".aws" / "credentials").write_text(f"[p]\naws_secret_access_key = {S1}\n")
    (tmp_path / ".vault-token").write_text(S2)
    (tmp_path / ".kube").mkdir()
    (tmp_path / ".kube" / "config").write_text("users: [")
    usual = Secrets(well_known="register")
    found = collect(usual, {}, str(tmp_path))
    assert sure(found.candidates) == {
        "~/.aws/credentials:p.aws_secret_access_key": S1,
        "~/.vault-token:token": S2,
    }
    assert found.skipped == (("~/.kube/config", "unreadable"),)
    # Not by default, and not what the jail does not show.
    assert collect(Secrets(), {}, str(tmp_path)).candidates == ()
    assert collect(usual, {}, str(tmp_path), visible=False).candidates == ()


def test_names_cannot_write_to_a_terminal(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(json.dumps({"\x1b[2J_token" + "n" * 200: S1}))
    found = collect(Secrets(files=("x.json",)), {}, "", folder=str(tmp_path))
    (candidate,) = found.candidates
    assert candidate.name.isprintable()
    assert len(candidate.name) <= 80


def test_canaries_come_first() -> None:
    found = collect(Secrets(), {"A_TOKEN": S1}, "", canaries=[("D", S1), ("E", S2)])
    assert [(c.name, c.canary) for c in found.candidates] == [
        ("D", True),
        ("E", True),
        ("A_TOKEN", False),
    ]


def test_registries_of_the_user_and_never_of_a_project() -> None:
    files = {
        "/home/me/.npmrc": "registry=https://one.example/\n@acme:registry = https://two.example/x/\n",
        "/home/me/.config/pip/pip.conf": "[global]\nextra-index-url = https://u:p@pip.example/s\n",
        "/home/me/.pypirc": "[acme]\nrepository: https://up.example/legacy/\n",
        "/home/me/.cargo/config.toml": '[registries.a]\nindex = "sparse+https://cargo.example/i/"\n',
        "/home/me/.docker/config.json": '{"auths": {"https://index.hub.example/v1/": {}}}',
        ".npmrc": "registry=https://evil.example/\n",
    }
    environ = {
        "PATH": "",
        "npm_config_registry": "https://env.example/",
        "UV_INDEX_URL": "https://uv.example/simple",
        "CARGO_REGISTRIES_B_INDEX": "https://cargo-b.example/",
    }
    found = hosts_of_registries(environ, "/home/me", files.get)
    assert set(found["npm"]) == {"one.example", "two.example", "env.example"}
    assert {"pip.example", "up.example", "uv.example"} <= set(found["pypi"])
    assert set(found["cargo"]) == {"cargo.example", "cargo-b.example"}
    assert set(found["docker"]) == {"index.hub.example", "*.hub.example"}
    assert "nuget" not in found
    # In a private home nothing of the user's counts.
    assert set(hosts_of_registries(environ, "", files.get)["npm"]) == {"env.example"}


def test_the_default_of_an_installed_client_is_read_from_it(tmp_path: Path) -> None:
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    source = tmp_path / "lib/node_modules/npm/node_modules/@npmcli/config/lib/definitions"
    source.mkdir(parents=True)
    (source / "definitions.js").write_text(
        "const definitions = {\n  registry: new Definition('registry', {\n"
        "    default: 'https://default.example/',\n    type: url,\n  }),\n}\n"
    )

    def real(path: str) -> str | None:
        return Path(path).read_text() if Path(path).is_file() and str(tmp_path) in path else None

    found = hosts_of_registries({"PATH": str(program.parent)}, "", real)
    assert found["npm"] == ("default.example",)


NAMES = """.env .netrc x.json x.yaml x.toml .npmrc x.ini .pgpass config .git-credentials credentials
id_rsa hosts.yml"""
PIECES = [
    "machine ",
    "password ",
    "[a]\n",
    "x=",
    "\n",
    '"',
    "{",
    ":",
    "users:",
    "- ",
    "//h/:_auth=",
]
PIECES += ["https://", "@", "auths", "-----BEGIN ", "%", " ", "token", "*", "}", "]", "["]


@pytest.mark.skipif(shutil.which("npm") is None, reason="npm is not installed")
def test_the_default_is_what_the_client_says_itself(tmp_path: Path) -> None:
    """Without any configuration; which host that is stands nowhere."""
    for name in ("user", "global"):
        (tmp_path / name).write_text("")
    path = os.environ["PATH"]
    asked = subprocess.run(
        ["npm", "config", "get", "registry"],
        env={
            "PATH": path,
            "HOME": str(tmp_path),
            "npm_config_userconfig": str(tmp_path / "user"),
            "npm_config_globalconfig": str(tmp_path / "global"),
        },
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    if asked.returncode:
        pytest.skip("npm does not work here")
    (home,) = home_at(asked.stdout.strip())

    def of_the_client(place: str) -> str | None:
        return Path(place).read_text("utf-8") if "npm" in place and Path(place).is_file() else None

    assert hosts_of_registries({"PATH": path}, "", of_the_client)["npm"] == home.hosts


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(NAMES.split()),
    st.text(max_size=300) | st.lists(st.sampled_from(PIECES), max_size=40).map("".join),
)
def test_readers_meet_any_text(name: str, text: str) -> None:
    try:
        found = read(name, text)
    except ValueError:
        return
    for candidate in found:
        assert isinstance(candidate.value, bytes)
        for home in candidate.homes:
            assert not any(host == "*" for host in home.hosts)


def test_a_deep_tree_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "deep.json").write_text('{"a":' * 900 + '"x"' + "}" * 900)
    (tmp_path / "deeper.json").write_text("[" * 200_000)
    (tmp_path / "deep.yaml").write_text("[" * 5000)
    laughs = "".join(
        f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9) if i else 1}]\n" for i in range(40)
    )
    (tmp_path / "laughs.yaml").write_text(laughs)
    (tmp_path / "itself.yaml").write_text("&a [*a, {x: *a}]\n")
    (tmp_path / "open.env").write_text('A_KEY="' + "x\n" * 400_000)
    (tmp_path / "id_rsa").write_text("-----BEGIN PRIVATE" * 50_000)
    for name in ("deep.json", "deeper.json", "deep.yaml", "laughs.yaml", "itself.yaml", "id_rsa"):
        found = collect(Secrets(files=(name,)), {}, "", folder=str(tmp_path))
        assert found.candidates == ()
    found = collect(Secrets(files=("open.env",)), {}, "", folder=str(tmp_path))
    assert len(found.candidates[0].value) < 1000


ME = Identity(os.getuid(), os.getgid(), tuple(os.getgroups()), "me", "", "/bin/sh")


def test_an_errand_brings_back_what_it_made() -> None:
    assert as_user.result_of(as_user.send(ME, lambda: b"x" * 3_000_000)) == b"x" * 3_000_000


def test_an_errand_that_fails_brings_back_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    def work() -> bytes:
        raise ValueError(S1)

    with pytest.raises(as_user.UserWorkError):
        as_user.result_of(as_user.send(ME, work))
    said = capfd.readouterr().err
    assert "ValueError" in said
    assert S1 not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_an_errand_of_root_has_the_users_rights(tmp_path: Path) -> None:
    secret = tmp_path / "roots"
    secret.write_text(S1)
    secret.chmod(0o600)
    link = tmp_path / "link"
    link.symlink_to(secret)
    nobody = Identity(65534, 65534, (), "nobody", "", "/bin/sh")

    def work() -> bytes:
        try:
            return link.read_bytes()
        except OSError:
            return b"%d %d" % (os.getuid(), len(os.getgroups()))

    assert as_user.result_of(as_user.send(nobody, work)) == b"65534 0"
    # What comes first, such as imports, has the rights that were there.
    read: list[bytes] = []
    errand = as_user.send(nobody, lambda: read[0], first=lambda: read.append(secret.read_bytes()))
    assert as_user.result_of(errand) == S1.encode()
    assert as_user.result_of(as_user.send(ME, work)) == S1.encode()


_CONCEALED = """
import os, sys
from pathlib import Path
from interceptor.cli.concealment import conceal_environment
def shown():
    return Path("/proc/self/environ").read_bytes() + Path("/proc/self/cmdline").read_bytes()
before = shown()
conceal_environment(["X=" + os.environ["A_TOKEN"] + "2", "NAME"])
after = shown()
value = sys.argv[1].encode()
assert before.count(value) >= 3, before
assert value not in after.replace(sys.argv[1].encode() + b"\\0" + b"last", b""), after
assert "A_TOKEN" not in os.environ and os.environ["LC_ALL"] == "C.UTF-8"
assert b"LC_ALL=C.UTF-8" in after and b"last" in after
assert len(before) == len(after)
os.environ["NEW"] = "1"
assert os.popen("echo $LC_ALL $NEW $A_TOKEN").read() == "C.UTF-8 1\\n"
"""


def test_proc_shows_no_variable_that_is_not_ours() -> None:
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", _CONCEALED, S1, "last", "--env", f"X={S1}2"],
        env={"PYTHONPATH": str(root), "A_TOKEN": S1, "LC_ALL": "C.UTF-8", "PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert concealment.kept("XDG_STATE_HOME")
    assert not concealment.kept("OPENAI_API_KEY")


def test_nothing_collected_shows_a_value_by_accident() -> None:
    found = collect(Secrets(), {"A_TOKEN": S1}, "")
    assert isinstance(found, Collected)
    assert S1 not in repr(found)

"""What the agent's environment keeps and loses."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from netns.environment import EnvironmentValueError, build, names_socket, scrubbed
from netns.identity import Identity

WHO = Identity(61000, 61000, (61000,), "agent", "/home/agent", "/bin/bash")


def built(environ: dict[str, str], *env: str) -> dict[str, str]:
    return build(environ, WHO, cwd="/work", home="/home/agent", trust={"T": "t"}, env=env)


def test_identity_is_set_and_keys_stay() -> None:
    got = built({"MODEL_API_KEY": "k", "HTTPS_PROXY": "http://proxy.example:1", "HOME": "/root"})
    assert got["MODEL_API_KEY"] == "k"
    assert "HTTPS_PROXY" not in got
    assert got["HOME"] == "/home/agent"
    assert (got["USER"], got["LOGNAME"], got["SHELL"]) == ("agent", "agent", "/bin/bash")
    assert got["XDG_RUNTIME_DIR"] == "/run/user/61000"
    assert got["PWD"] == "/work"
    assert got["T"] == "t"
    assert "/usr/bin" in got["PATH"]


@pytest.mark.parametrize(
    "name",
    [
        "SSH_AUTH_SOCK",
        "GPG_AGENT_INFO",
        "DBUS_SESSION_BUS_ADDRESS",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "XAUTHORITY",
        "TMUX",
        "STY",
        "DOCKER_HOST",
        "CONTAINER_HOST",
        "SUDO_COMMAND",
        "SUDO_UID",
        "LD_PRELOAD",
        "VSCODE_IPC_HOOK_CLI",
        "NOTIFY_SOCKET",
        "TMPDIR",
        "EGRESSGUARD_ANYTHING",
    ],
)
def test_ways_out_are_dropped(name: str) -> None:
    assert scrubbed(name)
    assert name not in built({name: "value"})


@pytest.mark.parametrize("name", ["SSH_KEY", "DISPLAYS", "TERM", "LANG", "NODE_OPTIONS", "PATH"])
def test_neighbours_stay(name: str) -> None:
    assert built({name: "value"})[name] == "value"


def test_values_that_lead_to_sockets_are_dropped(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        got = built({"A": path, "B": f"{path},123,0", "C": "unix:///x", "D": str(tmp_path)})
    assert not {"A", "B", "C"} & set(got)
    assert got["D"] == str(tmp_path)


def test_names_socket_survives_anything() -> None:
    assert not names_socket("/\0")
    assert not names_socket("")
    assert names_socket("/a:/b", lambda path: 0o140000 if path == "/a" else None)


def test_env_option_keeps_and_sets() -> None:
    got = built({"DISPLAY": ":1"}, "DISPLAY", "X=1=2", "ABSENT", "HOME=/elsewhere")
    assert got["DISPLAY"] == ":1"
    assert got["X"] == "1=2"
    assert got["HOME"] == "/elsewhere"
    assert "ABSENT" not in got
    with pytest.raises(EnvironmentValueError):
        built({}, "=x")


def test_what_our_launcher_set_is_dropped() -> None:
    got = built({"EGRESSGUARD_INJECTED": "PYTHONPATH:X", "PYTHONPATH": "p", "X": "x", "Y": "y"})
    assert "PYTHONPATH" not in got
    assert "X" not in got
    assert got["Y"] == "y"

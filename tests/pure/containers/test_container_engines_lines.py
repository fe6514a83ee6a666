"""Command lines of engines: taken apart, refused, rewritten."""

from __future__ import annotations

import os
import shlex

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.containers import engines, flags
from interceptor.containers.engines import Additions, EngineError, Line
from interceptor.containers.plugging import guest_name
from interceptor.gateway.messages import Guest, check

ADDED = Additions({"/run/egressguard": "/run/ours/box"}, {"SSL_CERT_FILE": "/run/x.pem"}, "/p.json")
OURS = [
    *("--network", "none", "--volume", "/run/ours/box:/run/egressguard:ro"),
    *("--env", "SSL_CERT_FILE=/run/x.pem", "--security-opt", "seccomp=/p.json"),
]


def _line(text: str) -> Line:
    return engines.parse(shlex.split(text))


def _faults(text: str) -> list[str]:
    sockets = {"/run/docker.sock": "/run/docker.sock", "/home/a": "/home/a/s.sock"}
    return engines.faults(_line(text), lambda path: sockets.get(path, ""), os.path.normpath)


def test_a_line_is_taken_apart_where_the_image_begins() -> None:
    line = _line(
        "podman --root /x run -itv /a:/b --rm --env=A=1 -e B debian sh -c 'x --privileged'"
    )
    assert line.head == ("podman", "--root", "/x")
    assert line.rest == ("debian", "sh", "-c", "x --privileged")
    assert [(o.name, o.value) for o in line.options] == [
        ("interactive", "true"), ("tty", "true"), ("volume", "/a:/b"), ("rm", "true"),
        ("env", "A=1"), ("env", "B"),
    ]  # fmt: skip
    assert line.is_set("rm")
    assert not line.is_set("detach")
    assert not _line("docker run --rm=false x").is_set("rm")
    assert _line("docker container run -- x").head == ("docker",)
    assert _line("nerdctl -n k8s.io run --odd=1 x y").rest == ("x", "y")
    assert _line("/usr/bin/docker run -p80:80 x").options[0].value == "80:80"


def test_what_cannot_be_read_is_refused_with_what_to_write() -> None:
    for text, told in (
        ("lxc run x", "none of podman"),
        ("podman ps", "podman run"),
        ("podman run", "no image"),
        ("podman run --rm", "no image"),
        ("podman run --odd x", "--odd=VALUE"),
        ("podman run --env", "needs a value"),
        ("podman run -z x", "-z is not known"),
        ("podman run -v", "-v needs a value"),
        ("ctr run image", "and a name"),
        ("podman --remote run x", "of this machine"),
        ("docker -H tcp://10.0.0.1 run x", "of this machine"),
        ("docker --context=far run x", "of this machine"),
    ):
        with pytest.raises(EngineError, match=told.replace("(", r"\(")):
            _line(text)


def test_each_way_past_us_is_refused_with_its_fix() -> None:
    for option in (
        *("--privileged", "-p 80:80", "-dp 80:80", "-P", "--publish=1:1", "--network host"),
        *("--net=bridge", "--network container:x", "--pid=host", "--pid container:x", "--ipc host"),
        *(
            "--pod x",
            "--link a",
            "--ip 1.2.3.4",
            "--dns 1.1.1.1",
            "--dns-search=x",
            "--restart always",
        ),
        *("--security-opt seccomp=unconfined", "--security-opt unmask=ALL", "--rootfs"),
        *("--security-opt systempaths=unconfined", "--device-cgroup-rule='a *:* rwm'"),
        *("--device /dev/vhost-vsock", "--device=/dev/mem:/dev/x", "--preserve-fds 3"),
        *(
            "-v /run/docker.sock:/x",
            "-v /:/host",
            "-v /home/a:/w",
            "--volume=/run:/r:ro",
            "-v /a/../run:/x",
        ),
        *("--mount type=bind,source=/run,target=/x", "--mount src=/etc,dst=/x", "--use-api-socket"),
    ):
        found = _faults(f"docker run {option} image")
        assert len(found) == 1, (option, found)
        assert "Fix: " in found[0]
    for option in (
        *("--net-host", "--cni", "--privileged", "--with-ns network:/x", "--config c.json"),
        *("-c c.json", "-c=c.json", "--mount type=bind,src=/run,dst=/x,options=rbind"),
    ):
        assert len(_faults(f"ctr run {option} image name")) == 1, option


def test_ordinary_work_is_not_refused() -> None:
    for text in (
        "docker run --rm -it -v /home/dev/work:/work -w /work -e A=b -u 1000:1000 node:22 npm test",
        "docker run -d --name x -m 2g --cpus=2 --init --read-only --tmpfs /tmp -v cache:/c i",
        "podman run --userns=auto --cap-add all --pull=always --privileged=false i",
        "podman run --uidmap 0:100000:65536 --security-opt label=disable --network=none i",
        "podman run --mount type=tmpfs,target=/x --mount type=volume,src=v,dst=/y i",
        "podman run --security-opt seccomp=/my.json --device /dev/kvm --restart no i",
        "docker run i --privileged --network host -v /run/docker.sock:/x",
        "nerdctl run --rm --platform linux/amd64 i",
        "ctr -n x run --rm -t --env A=b --with-ns cgroup:/x i name sh",
    ):
        assert _faults(text) == [], text


def test_the_line_is_rewritten_and_says_all_of_it() -> None:
    line = _line("docker run -it --rm --net none --sig-proxy=false -v a:/b node npm test")
    assert engines.create(line, ADDED) == [
        *("docker", "--context", "default", "create"), *OURS,
        *("-i", "-t", "--rm", "-v", "a:/b", "node", "npm", "test"),
    ]  # fmt: skip
    assert engines.init(line, "ID") == []
    start = ["docker", "--context", "default", "start", "--attach", "--interactive"]
    assert engines.start(line, "ID") == [*start, "--sig-proxy=false", "ID"]
    line = _line("podman --root /r run --detach --security-opt seccomp=/my.json i c")
    made = engines.create(line, ADDED)
    assert made[:6] == ["podman", "--root", "/r", "create", "--network", "none"]
    assert "seccomp=/p.json" not in made
    assert made[-4:] == ["--security-opt", "seccomp=/my.json", "i", "c"]
    assert "--detach" not in made
    assert engines.init(line, "ID") == ["podman", "--root", "/r", "init", "ID"]
    assert engines.start(line, "ID") == ["podman", "--root", "/r", "start", "ID"]
    assert engines.remove(line, "ID")[-3:] == ["rm", "--force", "ID"]
    made = engines.create(_line("ctr -n a run --rm i name sh"), ADDED, "/pid")
    assert made[:6] == ["ctr", "-n", "a", "run", "--pid-file", "/pid"]
    assert made[-4:] == ["--rm", "i", "name", "sh"]
    assert "type=bind,src=/run/ours/box,dst=/run/egressguard,options=rbind:ro" in made


def test_an_engine_of_another_machine_is_refused() -> None:
    assert engines.remote({}) == ""
    assert engines.remote({"DOCKER_HOST": "unix:///run/user/1/docker.sock"}) == ""
    for environ in ({"DOCKER_HOST": "tcp://h:1"}, {"CONTAINER_HOST": "ssh://h/x"},
                    {"DOCKER_CONTEXT": "far"}, {"CONTAINER_CONNECTION": "far"}):  # fmt: skip
        assert "Fix: unset" in engines.remote(environ)


_WORDS = st.lists(
    st.sampled_from(
        ["run", "-it", "-v", "/run:/x", "--privileged", "--network", "host", "--network=host", "i",
         "--", "-", "--rm", "--odd", "-e", "A=1", "--name=x", "-dp", "80:80", "--privileged=true"]
    )
    | st.text(max_size=6),
    max_size=9,
)  # fmt: skip


@given(_WORDS)
def test_no_word_is_lost_and_none_of_the_containers_counts(words: list[str]) -> None:
    """Whatever the line: what is not refused is made without a network, of the same words."""
    try:
        line = engines.parse(["podman", *words])
    except EngineError:
        return
    found, rest = flags.options(words[words.index("run") + 1 :])
    assert list(line.rest) == rest
    assert words[len(words) - len(rest) :] == rest
    wrong = engines.faults(line, lambda _: "", os.path.normpath)
    before = words[: len(words) - len(rest)]
    for bad in ("--privileged", "--network=host", "--privileged=true"):
        if any(option.words[0] == bad for option in found):
            assert wrong, (bad, before)
    made = engines.create(line, ADDED)[len(line.head) :]
    assert made[:3] == ["create", "--network", "none"]
    assert not [word for word in made[: len(made) - len(rest)] if word.startswith("--network=")]
    assert made[len(made) - len(rest) :] == rest


def test_guests_are_named_after_their_containers() -> None:
    assert guest_name("build-7") == "build-7"
    assert guest_name("a" * 64) == "container-aaaaaaaaaaaa"
    one, two = guest_name("My_Agent"), guest_name("my.agent")
    assert one.startswith("my-agent-")
    assert one != two
    for text in ("x" * 200, "", "___", "Ünïcode/é", "-a-", "a--b"):
        assert check(Guest(guest_name(text))) == "", text

"""The plan of a jail's file system and the command lines, as data."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

import pytest

from netns import gate, selftest
from netns.identity import Identity
from netns.launch import EnclosureSpec, enclosure_options, setpriv_command
from netns.layout import Layout, LayoutError, View, plan
from netns.mounts import Bind, Data, Directory, Mount, Proc, Sealed, Symlink, Tmpfs, arguments
from netns.terminal import Stdio, StdioError
from netns.unix_sockets import bound_paths, reachable

WHO = Identity(os.getuid(), os.getgid(), (), "agent", "", "/bin/sh")


def planned(cwd: str = "/", **more: Any) -> Layout:
    return plan(View(identity=WHO, cwd=cwd, hostname="jail", **more))


def index(layout: Layout, kind: type, target: str) -> int:
    return max(
        number
        for number, mount in enumerate(layout.mounts)
        if isinstance(mount, kind) and mount.target == target
    )


def test_spelling_of_every_mount() -> None:
    contents: list[bytes] = []

    def descriptor(content: bytes) -> int:
        contents.append(content)
        return 40 + len(contents)

    mounts: list[Mount] = [
        Bind("/a", "/b"),
        Bind("/a", "/b", writable=True),
        Bind("/a", "/b", device=True),
        Data("/f", b"x"),
        Data("/g", b"y", 0o600, writable=True),
        Tmpfs("/t", 0o1777),
        Directory("/d"),
        Symlink("/l", "to"),
        Proc("/proc"),
        Sealed("/t"),
    ]
    text = " ".join(arguments(mounts, descriptor))
    assert text == (
        "--ro-bind /a /b --bind /a /b --dev-bind /a /b --perms 0644 --ro-bind-data 41 /f "
        "--perms 0600 --bind-data 42 /g --perms 1777 --tmpfs /t --perms 0755 --dir /d "
        "--symlink to /l --proc /proc --remount-ro /t"
    )
    assert contents == [b"x", b"y"]


def test_the_host_is_read_only_and_first() -> None:
    layout = planned()
    assert layout.mounts[0] == Bind("/", "/")
    for place in ("/tmp", "/run", "/dev/shm"):
        assert index(layout, Tmpfs, place) > 0
    assert layout.home == "/run/egressguard/home"
    assert f"/run/user/{WHO.uid}" in layout.folders


def test_masks_come_after_everything_the_agent_may_write(tmp_path: Path) -> None:
    secret, folder = tmp_path / "evidence.jsonl", tmp_path / "registry"
    secret.touch()
    folder.mkdir()
    layout = planned(str(tmp_path), masks=(str(secret), str(folder), str(tmp_path / "absent")))
    shown = layout.mounts.index(Bind(str(tmp_path), str(tmp_path), writable=True))
    assert layout.mounts.index(Bind("/dev/null", str(secret))) > shown
    assert index(layout, Tmpfs, str(folder)) > shown
    assert index(layout, Sealed, str(folder)) > index(layout, Tmpfs, str(folder))
    assert not [mount for mount in layout.mounts if mount.target.endswith("absent")]


def test_sockets_in_what_is_shown_are_masked(tmp_path: Path) -> None:
    path = tmp_path / "s"
    (tmp_path / "else").write_text("a directory with more than sockets is not private as a whole")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        assert str(path) in reachable("")
        layout = planned(str(tmp_path))
        assert layout.masked_sockets == (str(path),)
        assert Bind("/dev/null", str(path)) in layout.mounts
    # /tmp itself is private: nothing to mask when the directory is not shown
    assert str(path) not in planned("/").masked_sockets


def test_a_directory_of_sockets_is_private_as_a_whole(tmp_path: Path) -> None:
    """A server that is started again makes a new socket there, which no mask would cover."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "server.pid").write_text("17")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "s"))
        layout = planned(str(tmp_path))
        assert Tmpfs(str(folder), 0o1777) in layout.mounts
        assert Bind("/dev/null", str(folder / "s")) not in layout.mounts
        assert layout.visible is not None
        assert not layout.visible.shows(str(folder / "another"))
        assert layout.visible.shows(str(tmp_path / "another"))
        # The working directory itself is never taken away.
        assert Bind("/dev/null", str(folder / "s")) in planned(str(folder)).mounts


def test_sockets_that_came_later_are_named(tmp_path: Path) -> None:
    (tmp_path / "else").write_text("x")
    first, second = tmp_path / "first", tmp_path / "second"
    with socket.socket(socket.AF_UNIX) as before:
        before.bind(str(first))
        visible = planned(str(tmp_path)).visible
        private = planned(str(tmp_path), home_access="private").visible
        assert visible is not None
        assert private is not None
        assert visible.late() == ()
        with socket.socket(socket.AF_UNIX) as late:
            late.bind(str(second))
            assert visible.late() == private.late() == (str(second),)
            with socket.socket(socket.AF_UNIX) as again:
                kept = tmp_path / "kept"
                first.rename(kept)  # its inode stays taken
                again.bind(str(first))
                assert set(visible.late()) >= {str(first), str(second)}
    assert visible.late() == ()


def test_views_of_home_and_working_directory(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "home/a/work"
    work.mkdir(parents=True)
    who = Identity(os.getuid(), os.getgid(), (), "agent", str(home), "/bin/sh")

    def seen(cwd: Path = work, **more: Any) -> Layout:
        return plan(View(identity=who, cwd=str(cwd), hostname="jail", **more))

    over = seen(home_access="overlay")
    assert over.overlay is not None
    assert (over.overlay.home, over.overlay.real) == (str(home), (str(work),))
    assert Bind(str(home), str(home), writable=True) in over.mounts
    assert Bind(str(work), str(work), writable=True) in over.mounts
    assert over.visible is not None
    assert not over.visible.shows(str(home / "s"))
    assert over.visible.shows(str(work / "s"))
    whole = seen(home, home_access="overlay")
    assert whole.overlay is not None
    assert whole.overlay.real == ()
    assert any("thrown away" in note for note in whole.notes)
    for access in ("rw", "ro", "overlay", "private"):
        fixed = seen(cwd_access="ro", home_access=access)
        assert index(fixed, Bind, str(work)) == fixed.mounts.index(Bind(str(work), str(work)))
    # What lies above a read-only working directory cannot be renamed in a writable home.
    pinned = seen(cwd_access="ro")
    assert Bind(str(home / "a"), str(home / "a"), writable=True) in pinned.mounts
    assert seen().overlay is None


@pytest.mark.parametrize("cwd", ["/", "/usr", "/etc", "/var", "/tmp", "/home"])
def test_system_directories_stay_read_only(cwd: str) -> None:
    layout = planned(cwd)
    assert not [m for m in layout.mounts if isinstance(m, Bind) and m.writable]
    assert any("read-only" in note for note in layout.notes)


def test_what_cannot_be_is_said(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="does not exist"):
        planned(str(tmp_path / "absent"))
    with pytest.raises(LayoutError, match="hides"):
        planned(str(tmp_path), masks=(str(tmp_path),))
    with pytest.raises(LayoutError, match="undo"):
        planned("/", writable=("/run",))
    with pytest.raises(LayoutError, match="its own"):
        planned("/proc/self")


def test_directories_above_are_made_for_everybody(tmp_path: Path) -> None:
    layout = planned(str(tmp_path))
    shown = layout.mounts.index(Bind(str(tmp_path), str(tmp_path), writable=True))
    above = [str(part) for part in tmp_path.parents if str(part).startswith("/tmp/")]
    assert above
    for folder in above:
        assert layout.mounts.index(Directory(folder)) < shown


def test_private_home(tmp_path: Path) -> None:
    who = Identity(WHO.uid, WHO.gid, (), "agent", str(tmp_path), "/bin/sh")
    for access, mount in (
        ("rw", Bind(str(tmp_path), str(tmp_path), writable=True)),
        ("ro", Bind(str(tmp_path), str(tmp_path))),
        ("private", Tmpfs(str(tmp_path), 0o1777)),
    ):
        layout = plan(View(identity=who, cwd="/", hostname="jail", home_access=access))
        assert mount in layout.mounts


def test_options_of_both_modes() -> None:
    spec = EnclosureSpec(("true",), "/", WHO, {"TOKEN": "value"}, network_fd=9)
    root = " ".join(enclosure_options(spec))
    assert "--unshare-user" not in root
    assert "--cap-drop ALL --cap-add CAP_SETUID" in root
    rootless = " ".join(
        enclosure_options(EnclosureSpec(("true",), "/", WHO, {}, network_fd=9, user_fd=8))
    )
    assert f"--unshare-user --uid {WHO.uid} --gid {WHO.gid}" in rootless
    assert "--cap" not in rootless
    for text in (root, rootless):
        assert "--die-with-parent --unshare-pid --unshare-ipc --unshare-uts" in text
        assert "value" not in text
    become = setpriv_command("setpriv", Identity(5, 6, (6, 7), "", "", ""))
    assert {"--reuid=5", "--regid=6", "--groups=6,7", "--bounding-set=-all"} <= set(become)
    assert "--clear-groups" in setpriv_command("setpriv", WHO)


def test_table_of_unix_sockets() -> None:
    table = (
        "Num       RefCount Protocol Flags    Type St Inode Path\n"
        "0000: 00000002 00000000 00010000 0001 01 17 /run/with space.sock\n"
        "0000: 00000002 00000000 00010000 0001 01 18 @abstract\n"
        "0000: 00000003 00000000 00000000 0001 03 19\n"
        "0000: 00000002 00000000 00000000 0002 01 20 relative.sock\n"
    )
    assert list(bound_paths(table)) == [("/run/with space.sock", "17"), ("relative.sock", "20")]


EXPECTED = selftest.Expectation(
    uid=5,
    gid=6,
    hostname="jail",
    outside={"mnt": "mnt:[1]", "pid": "pid:[1]", "ipc": "ipc:[1]", "uts": "uts:[1]"},
    network="net:[7]",
    resolver="nameserver 198.18.0.1\n",
    listener=True,
    dns=True,
)


def good() -> dict[str, Any]:
    sets = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    return {
        "status": dict.fromkeys(sets, "0000000000000000") | {"NoNewPrivs": "1", "Seccomp": "2"},
        "ids": {"uid": [5, 5, 5], "gid": [6, 6, 6]},
        "namespaces": {
            "mnt": "mnt:[2]",
            "pid": "pid:[2]",
            "ipc": "ipc:[2]",
            "uts": "uts:[2]",
            "net": "net:[7]",
        },
        "hostname": "jail",
        "stdio": ["pipe", "file", "terminal"],
        "descriptors": {},
        "controlling_terminal": False,
        "interfaces": ["lo"],
        "resolver": "nameserver 198.18.0.1\n",
        "sockets": [],
        "read_only": {"/": True},
        "udp": {"a": "ECONNREFUSED"},
        "tcp": {"a": "connected"},
        "dns": {"a": "answered"},
    }


def test_a_good_report_passes() -> None:
    assert selftest.problems(good(), EXPECTED) == []


@pytest.mark.parametrize("key", sorted(good()))
def test_a_report_without_a_key_fails(key: str) -> None:
    report = good()
    del report[key]
    assert selftest.problems(report, EXPECTED)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"status": good()["status"] | {"CapBnd": "000001ffffffffff"}}, "CapBnd"),
        ({"status": good()["status"] | {"NoNewPrivs": "0"}}, "no_new_privs"),
        ({"status": good()["status"] | {"Seccomp": "0"}}, "filter"),
        ({"ids": {"uid": [5, 5, 0], "gid": [6, 6, 6]}}, "user ids"),
        ({"namespaces": good()["namespaces"] | {"pid": "pid:[1]"}}, "pid"),
        ({"namespaces": good()["namespaces"] | {"net": "net:[8]"}}, "captive"),
        ({"stdio": ["socket", "file", "file"]}, "outside"),
        ({"stdio": ["directory", "file", "file"]}, "outside"),
        ({"descriptors": {"7": "socket"}}, "inherited"),
        ({"controlling_terminal": True}, "terminal"),
        ({"interfaces": ["lo", "eth0"]}, "eth0"),
        ({"resolver": "nameserver 10.0.0.1\n"}, "resolv.conf"),
        ({"sockets": ["/run/docker.sock"]}, "docker"),
        ({"read_only": {"/proc/sys": False}}, "/proc/sys"),
        ({"udp": {"a": "timeout"}}, "udp"),
        ({"tcp": {"a": "ECONNREFUSED"}}, "tcp"),
        ({"dns": {"a": "empty"}}, "dns"),
    ],
)
def test_each_broken_promise_is_named(change: dict[str, Any], word: str) -> None:
    (broken,) = selftest.problems(good() | change, EXPECTED)
    assert word in broken


def test_the_gate_writes_json() -> None:
    report = {"a": ["x", 'q"\\\n\x00é\udcff', 1, True], "b": {"1": False}, "c": {}}
    parsed = selftest.parsed(gate.dumped(report).encode("ascii"))
    assert parsed["a"][0] == "x"
    assert parsed["a"][2:] == [1, True]
    assert parsed["b"] == {"1": False}
    assert parsed["a"][1].startswith('q"\\\n\x00')


def test_what_may_be_a_standard_stream() -> None:
    folder = os.open("/", os.O_RDONLY)
    null = os.open("/dev/null", os.O_RDWR)
    closed = os.dup(null)
    os.close(closed)
    a, b = socket.socketpair()
    try:
        with pytest.raises(StdioError, match="stdin is a directory"):
            Stdio((folder, null, null))
        stdio = Stdio((a.fileno(), null, closed))
        assert stdio.given[1] == null
        for fd in (stdio.given[0], stdio.given[2]):
            assert gate.descriptor_kind(fd) in {"pipe", "null"}
        stdio.close()
    finally:
        for fd in (folder, null):
            os.close(fd)
        a.close()
        b.close()

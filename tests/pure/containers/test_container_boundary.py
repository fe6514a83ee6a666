"""What a container must not have: every fault is found in a configuration that has none else."""

from __future__ import annotations

import copy
import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interceptor.containers import boundary, inspection, seccomp

ALLOWED = {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []}
GOOD: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "root": {"path": "rootfs"},
    "process": {"capabilities": {"bounding": ["CAP_CHOWN", "CAP_NET_RAW"]}},
    "mounts": [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs", "options": ["ro"]},
        {"destination": "/w", "type": "bind", "source": "/home/dev/work", "options": ["rbind"]},
        {
            "destination": "/etc/hosts",
            "type": "bind",
            "source": "/var/lib/containers/storage/overlay-containers/1/userdata/hosts",
        },
        {"destination": "/run/egressguard", "type": "bind", "source": "/run/ours/box"},
        {"destination": "/dev/fuse", "type": "bind", "source": "/dev/fuse"},
    ],
    "linux": {
        "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "mount", "uts")],
        "readonlyPaths": ["/proc/sys"],
        "resources": {"devices": [{"allow": False, "access": "rwm"},
                                  {"allow": True, "type": "c", "access": "m"}]},
        "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}],
        "seccomp": ALLOWED,
    },
}  # fmt: skip
SOCKETS = {"/home/dev/agent": "/home/dev/agent/s.sock", "/srv/app.sock": "/srv/app.sock"}


def _faults(config: Any, *, own_user: bool = False, vsock: bool = True) -> list[str]:
    return boundary.config_faults(
        config,
        own_user=own_user,
        vsock=vsock,
        sockets=lambda path: SOCKETS.get(path, ""),
        resolve=lambda path: os.path.normpath(Path("/bundle", path)),
        ours=("/run/ours",),
    )


def _with(path: str, value: Any) -> dict[str, Any]:
    """The good configuration, with another value at one place; `+` adds to a list."""
    made: Any = copy.deepcopy(GOOD)
    *above, last = path.split("/")
    place = made
    for part in above:
        place = place[part]
    if last == "+":
        place.append(value)
    elif value is None:
        del place[last]
    else:
        place[last] = value
    assert isinstance(made, dict)
    return made


def _bind(source: str, target: str = "/x") -> dict[str, Any]:
    return {"destination": target, "type": "bind", "source": source, "options": ["rbind"]}


def _namespaces(without: str) -> list[dict[str, str]]:
    return [each for each in GOOD["linux"]["namespaces"] if each["type"] != without]


def test_the_good_configuration_has_no_fault() -> None:
    assert _faults(GOOD) == []
    assert _faults(GOOD, own_user=True) == []


@pytest.mark.parametrize("own_user", [False, True])
def test_each_fault_is_found_and_says_its_fix(own_user: bool) -> None:
    wide = {"allow": True, "access": "rwm"}
    cases = [
        *((_with("linux/namespaces", _namespaces(kind)), f"the host's {kind} namespace")
          for kind in ("network", "pid", "ipc", "mount")),
        *((_with("mounts/+", _bind(source)), "the host is governed")
          for source in ("/", "/run", "/run/docker.sock", "/run/systemd/private", "/var", "/proc",
                         "/proc/1/ns", "/sys/fs/cgroup", "/dev", "/run/user", "/run/user/1000",
                         "/run/egressguard", "/run/egressguard/gateway.sock", "/etc", "/opt/cni",
                         "/home/../run", "/var/lib/docker", "/run/containerd/")),
        *((_with("mounts/+", _bind(source)), "a unix socket") for source in ("/srv/app.sock",)),
        (_with("mounts/+", _bind("/home/dev/agent")), "/home/dev/agent/s.sock"),
        (_with("mounts/+", _bind("/dev/vhost-vsock", "/dev/vhost-vsock")), "is governed"),
        (_with("mounts/+", _bind("/dev/shm", "/dev/shm")), "is governed"),
        (_with("mounts/+", {"destination": "/x", "source": "/run", "options": ["bind"]}), "/run"),
        (_with("root", {"path": "/"}), "root file system"),
        (_with("linux/netDevices", {"eth0": {}}), "network card"),
        (_with("linux/devices/+", {"path": "/dev/sda", "type": "b", "major": 8}), "a disk"),
        (_with("linux/devices/+", {"path": "/dev/mem", "type": "c", "major": 1, "minor": 1}),
         "leads out"),
        (_with("linux/devices/+", {"path": "/dev/vsock", "type": "c"}), "leads out"),
        (_with("linux/seccomp", None), "vsock"),
        (_with("linux/seccomp", {"defaultAction": "SCMP_ACT_ALLOW"}), "vsock"),
    ]  # fmt: skip
    of_root = [
        (_with("process/capabilities", {"effective": ["CAP_NET_ADMIN"]}), "CAP_NET_ADMIN"),
        (_with("process/capabilities", {"bounding": ["CAP_SYS_ADMIN"]}), "CAP_SYS_ADMIN"),
        (_with("process/capabilities", {"ambient": ["CAP_OF_TOMORROW"]}), "CAP_OF_TOMORROW"),
        (_with("linux/readonlyPaths", []), "/proc/sys"),
        (_with("linux/resources/devices/+", wide), "all devices"),
        (_with("mounts/+", {"destination": "/sys", "type": "sysfs"}), "/sys"),
    ]
    for config, told in cases:
        found = _faults(config, own_user=own_user)
        assert len(found) == 1, (told, found)
        assert told in found[0]
        assert "Fix: " in found[0]
    for config, told in of_root:
        found = _faults(config, own_user=own_user)
        assert [told in line and "Fix: " in line for line in found] == [True] * (not own_user), told


def test_what_is_no_configuration_has_every_fault() -> None:
    for config in ({}, {"linux": None, "mounts": None}, {"linux": [], "process": 3}):
        assert len(_faults(config)) >= 4


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)


@given(_JSON, _JSON, _JSON)
def test_no_configuration_is_too_odd(linux: Any, mounts: Any, process: Any) -> None:
    """Whatever is in it: it is refused, or it raises what makes the hook refuse."""
    try:
        found = _faults({"linux": linux, "mounts": mounts, "process": process})
    except (TypeError, ValueError, AttributeError):
        return
    assert found


def test_links_of_the_kernels_own_are_none() -> None:
    assert boundary.link_faults(["lo", "sit0", "tunl0"]) == []
    assert "eth0, wg0" in boundary.link_faults(["lo", "wg0", "eth0"])[0]
    assert boundary.link_faults(["lo", "eth0"], "eth0") == []


def _rule(action: str, *args: tuple[int, int, str], names: tuple[str, ...] = ("socket",)) -> Any:
    return {
        "names": names,
        "action": f"SCMP_ACT_{action}",
        "args": [
            {"index": index, "value": value, "valueTwo": 40, "op": f"SCMP_CMP_{op}"}
            for index, value, op in args
        ],
    }


def _profile(default: str, *rules: Any) -> dict[str, Any]:
    rings = _rule("ERRNO", names=("io_uring_setup", "io_uring_enter", "io_uring_register"))
    return {"defaultAction": f"SCMP_ACT_{default}", "syscalls": [rings, *rules]}


def test_profiles_that_leave_vsock_are_known() -> None:
    masked = _rule("ERRNO", (0, 0xFFFFFFFF, "MASKED_EQ"))
    shut = [
        _profile("ERRNO"),
        _profile("ERRNO", _rule("ALLOW", (0, 40, "LT"))),
        _profile("ERRNO", _rule("ALLOW", (0, 2, "EQ")), _rule("ALLOW", (0, 10, "EQ"))),
        _profile("ALLOW", masked),
        _profile("ALLOW", _rule("ERRNO")),
    ]
    for profile in shut:
        assert not seccomp.leaves_vsock(profile), profile
    let: list[Any] = [
        None,
        {},
        {"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [_rule("ALLOW")]},
        _profile("ALLOW"),
        _profile("LOG"),
        _profile("ERRNO", _rule("ALLOW")),
        _profile("ERRNO", _rule("ALLOW", (0, 40, "EQ"))),
        _profile("ERRNO", _rule("ALLOW", (0, (1 << 32) + 40, "EQ"))),
        _profile("ERRNO", _rule("ALLOW", (0, 41, "LT"))),
        _profile("ERRNO", _rule("ALLOW", (0, 40, "NE"))),  # bits above an int pass it
        _profile("ERRNO", _rule("ALLOW", (1, 40, "LT"))),
        _profile("ERRNO", _rule("ALLOW"), masked),
        _profile("ALLOW", _rule("ERRNO", (0, 40, "EQ"))),  # the same
        {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [masked]},  # io_uring makes them, too
        _profile("ERRNO", _rule("ALLOW", names=("io_uring_setup",))),
    ]
    for profile in let:
        assert seccomp.leaves_vsock(profile), profile


def test_a_profile_without_vsock_leaves_none_and_the_rest() -> None:
    names = ("read", "socket", "socketcall", "io_uring_setup")
    for default in ("ERRNO", "ALLOW"):
        base: dict[str, Any] = {"defaultAction": f"SCMP_ACT_{default}", "other": 1,
                "syscalls": [_rule("ALLOW", names=names)]}  # fmt: skip
        assert seccomp.leaves_vsock(base)
        made = seccomp.without_vsock(base)
        assert not seccomp.leaves_vsock(made)
        assert made["other"] == 1
        assert made["syscalls"][0]["names"] == ["read"]
        assert base["syscalls"][0]["names"] == names
        json.dumps(made)


def test_mount_points_are_read_as_the_kernel_writes_them() -> None:
    lines = (
        "22 1 0:21 / / rw - overlay overlay rw\n"
        "23 22 0:22 / /proc rw - proc proc rw\n"
        "24 22 0:23 /a /with\\040blank\\134 rw shared:1 - ext4 /dev/x rw\n"
        "short line\n"
    )
    assert inspection.targets(lines) == ["/proc", "/with blank\\"]


def test_sockets_and_governing_places_among_mounts_are_found(tmp_path: Any) -> None:
    import socket

    with socket.socket(socket.AF_UNIX) as end:
        end.bind(str(tmp_path / "s.sock"))
        found = inspection.mounted_faults(["/s.sock", "/gone"], str(tmp_path))
        assert len(found) == 1
        assert "/s.sock is a unix socket" in found[0]
        assert inspection.mounted_faults([str(tmp_path)], "")  # the socket is in it
        look = inspection.bound_sockets()
        assert look(str(tmp_path)) == look(str(tmp_path / "s.sock")) == str(tmp_path / "s.sock")
    assert look(str(tmp_path / "other")) == ""


def test_a_process_is_not_mistaken_for_a_container() -> None:
    with inspection.Process(os.getpid()) as process:
        found = process.faults(running=True)
        assert [line for line in found if "network namespace" in line]
        assert not process.has_own_user()
        assert not process.has_ended()
    with pytest.raises(inspection.GoneError):
        inspection.Process(2**22 + 1)

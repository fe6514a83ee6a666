"""OCI bundles in the lab: a container with all capabilities, by crun or runc."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from interceptor.containers import hook, seccomp, trust_files
from netns import trust
from netns.escapes import furniture
from netns.escapes.channel import Channel
from tests.lab.guest import PROGRAMS as MACHINE_PROGRAMS
from tests.lab.host import Lab
from tests.lab.programs import ROOT
from tests.lab.world import HOST_LINK

PLACE: Final = "/srv/containers"
RUNNER: Final = "/opt/escapes/netns/escapes/runner.py"
PYTHON: Final = "/usr/bin/python3"
FIRST_UID: Final = 100_000
_PROGRAMS: Final = Path(__file__).with_name("programs")
_KINDS: Final = ("pid", "network", "ipc", "uts", "mount", "cgroup")

# The control group file system of this machine, as current runtimes want it, in the lab's mounts.
_PREPARE: Final = f"""
mount -t tmpfs -o mode=755 tmpfs /srv
mkdir {PLACE}
umount -R /sys/fs/cgroup 2>/dev/null || true
mount -t cgroup2 cgroup2 /sys/fs/cgroup
"""

BESIDE: Final = f"""
ip link add guest0 type veth peer name eth0 netns $1
ip addr add 198.18.0.1/24 dev guest0
ip addr add fd65:6772:6573:7301::1/64 dev guest0 nodad
ip link set guest0 up
sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1
for name in all guest0 {HOST_LINK}; do sysctl -qw net.ipv4.conf.$name.rp_filter=0; done
nft -f - <<END
table inet beside {{
  chain out {{ type nat hook postrouting priority 100; oifname {HOST_LINK} masquerade; }}
}}
END
nsenter -t $1 -n sh -ec '
ip link set lo up
ip link set eth0 up
ip addr add 198.18.0.10/24 dev eth0
ip route add default via 198.18.0.1
ip addr add fd65:6772:6573:7301::a/64 dev eth0 nodad
ip -6 route add default via fd65:6772:6573:7301::1'
"""
"""Gives the container whose process is $1 a way to the lab's internet: the control."""


def runtime() -> str:
    """The OCI runtime of this machine, or an empty text."""
    return next((name for name in ("crun", "runc") if shutil.which(name)), "")


def prepare(lab: Lab) -> None:
    """Make the lab's host one that runs containers; once."""
    done = lab.run(["sh", "-ec", _PREPARE])
    assert done.returncode == 0, done.stderr
    furniture.bundle(lab.path(f"{PLACE}/escapes"))
    programs = lab.path(f"{PLACE}/escapes/netns/escapes/programs")
    for folder in (MACHINE_PROGRAMS, _PROGRAMS):
        for file in folder.glob("*.py"):
            (programs / file.name).write_bytes(file.read_bytes())


def bundle(
    lab: Lab,
    name: str,
    command: Sequence[str],
    *,
    hooks: dict[str, Any] | None = None,
    trusted: bool = False,
    resolver: str = trust_files.RESOLVER,
) -> str:
    """Make a bundle whose root has all capabilities of its user namespace; its path in the lab.

    Programs are this machine's, read-only.
    """
    place = f"{PLACE}/{name}"
    root = lab.path(f"{place}/rootfs")
    for folder in ("usr", "proc", "dev", "sys", "tmp", "run/egressguard", "etc/ssl/certs", "opt"):
        (root / folder).mkdir(parents=True)
    (root / "opt/escapes").mkdir()
    for link in ("bin", "sbin", "lib", "lib64"):
        (root / link).symlink_to(f"usr/{link}")
    (root / "etc/nsswitch.conf").write_text("hosts: files dns\n")
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n")
    (root / "etc/resolv.conf").write_text(f"nameserver {resolver}\n")
    for path in (root, *root.rglob("*")):
        shutil.chown(path, FIRST_UID, FIRST_UID) if not path.is_symlink() else None
    lab.path(f"{place}/config.json").write_text(
        json.dumps(config(command, hooks or {}, name if trusted else ""))
    )
    return place


def config(command: Sequence[str], hooks: dict[str, Any], folder: str) -> dict[str, Any]:
    """A container as OCI runtimes are given it: root in a user namespace, with every right."""
    every = [f"CAP_{name}" for name in _capabilities()]
    kinds = ("bounding", "effective", "inheritable", "permitted", "ambient")
    bound = ["rbind", "ro", "nosuid", "nodev"]
    mounts: list[dict[str, Any]] = [
        {"destination": "/proc", "type": "proc", "source": "proc"},
        {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
         "options": ["nosuid", "mode=755", "size=65536k"]},
        {"destination": "/sys", "type": "sysfs", "source": "sysfs",
         "options": ["nosuid", "noexec", "nodev", "ro"]},
        {"destination": "/tmp", "type": "tmpfs", "source": "tmpfs"},
        {"destination": "/usr", "type": "bind", "source": "/usr", "options": bound},
        {"destination": "/opt/escapes", "type": "bind", "source": f"{PLACE}/escapes",
         "options": bound},
    ]  # fmt: skip
    variables = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp"}
    if folder:
        files = trust_files.Folder(folder)
        mounts += [
            {"destination": inside, "type": "bind", "source": path, "options": ["rbind", "ro"]}
            for inside, path in files.mounts().items()
        ]
        variables |= trust.variables()
    whole = {"containerID": 0, "hostID": FIRST_UID, "size": 65536}
    return {
        "ociVersion": "1.0.2",
        "process": {
            "terminal": False,
            "user": {"uid": 0, "gid": 0},
            "args": list(command),
            "env": [f"{name}={text}" for name, text in variables.items()],
            "cwd": "/",
            "capabilities": dict.fromkeys(kinds, every),
            "noNewPrivileges": False,
        },
        "root": {"path": "rootfs", "readonly": False},
        "hostname": "container",
        "mounts": mounts,
        "hooks": hooks,
        "linux": {
            "namespaces": [{"type": kind} for kind in (*_KINDS, "user")],
            "uidMappings": [whole],
            "gidMappings": [whole],
            "seccomp": profile(),
        },
    }


def profile() -> dict[str, Any]:
    """Every system call but io_uring's, and every socket but vsock's."""
    return seccomp.without_vsock({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": []})


def start(lab: Lab, name: str, place: str) -> Channel:
    """Run a bundle's container, which speaks with us by its standard streams."""
    errors = lab.path(f"{PLACE}/{name}.errors")
    with errors.open("wb") as said:
        program = lab.popen(command("run", name, place), stdin=-1, stderr=said)
    return Channel(program, name, errors)


def command(verb: str, name: str, place: str = "") -> list[str]:
    """The runtime's command line."""
    tool = runtime()
    own = ["--cgroup-manager=disabled"] if tool == "crun" else []
    bundle_of = [f"--bundle={place}"] if place else []
    return [tool, *own, f"--root={PLACE}/state", verb, *bundle_of, name]


def without_us(lab: Lab) -> dict[str, Any]:
    """Hooks that lead a container to the lab's internet, past egressguard."""
    script = lab.path(f"{PLACE}/beside")
    script.write_text(
        f"#!/bin/sh\nset -e\nset -- $({PYTHON} -c 'import json, sys;"
        ' print(json.load(sys.stdin)["pid"])\')\n' + BESIDE
    )
    script.chmod(0o755)
    return {"createRuntime": [{"path": f"{PLACE}/beside"}]}


def _capabilities() -> tuple[str, ...]:
    from interceptor.containers.inspection import CAPABILITIES

    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
    return CAPABILITIES[: last + 1]


def hooks(options: Mapping[str, str]) -> dict[str, Any]:
    """Our hook, with these options, as a bundle has it."""
    words = hook.program()
    words += [f"--{name}={text}" for name, text in options.items()]
    return {stage: [{"path": words[0], "args": words}] for stage in hook.STAGES}


def folder(name: str) -> str:
    """A shell command that makes the folder of files that a container is given."""
    code = f"from interceptor.containers import trust_files; trust_files.Folder({name!r}).make()"
    return f'cd {ROOT} && {sys.executable} -c "{code}"'

"""What both stages put up: paths of stand-ins, and the programs' bundle."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import struct
import sys
from pathlib import Path
from typing import Any, Final

import msgspec

ABSTRACT: Final = {
    kind: f"egressguard-escape-{kind[5:].lower()}"
    for kind in ("SOCK_STREAM", "SOCK_DGRAM", "SOCK_SEQPACKET")
}
_CAP_NET_RAW = 1 << 13


class Furniture(msgspec.Struct, kw_only=True):
    """What one oracle shall set up."""

    sniff: bool = True
    """Record every frame of every device of this network namespace."""
    streams: dict[str, str] = {}
    """Name -> path of a listening stream socket."""
    datagrams: dict[str, str] = {}
    packets: dict[str, str] = {}
    abstract: dict[str, str] = {}
    """`SOCK_STREAM` and such -> abstract name."""
    tcp: tuple[int, ...] = ()
    """Ports on which every address accepts."""
    files: tuple[str, ...] = ()
    """Files and directories that are read when a question comes."""
    ipc: int = 0
    """Key of System V objects; 0 for none."""
    queue: str = ""
    key: str = ""
    """Name of a key in the user's keyring."""
    victims: tuple[int, ...] = ()
    """Users that get a stand-in process each."""
    owner: int = 0
    """User that socket files and files belong to."""


def streams(uid: int, work: str, home: str) -> dict[str, str]:
    """Name -> path of the stand-ins for listening sockets; `UID` stays in those of each user."""
    own = f"/run/user/{uid}"
    return {
        "docker": "/run/docker.sock",
        "containerd": "/run/containerd/containerd.sock",
        "podman": "/run/podman/podman.sock",
        "libvirt": "/run/libvirt/libvirt-sock",
        "snapd": "/run/snapd.socket",
        "dbus": "/run/dbus/system_bus_socket",
        "varlink": "/run/systemd/resolve/io.systemd.Resolve",
        "userdb": "/run/systemd/userdb/io.systemd.Multiplexer",
        "nscd": "/run/nscd/socket",
        "systemd": "/run/systemd/private",
        "systemd-user": f"{own}/systemd/private",
        "dbus-session": f"{own}/bus",
        "wayland": f"{own}/wayland-0",
        "gpg-agent": f"{home}/.gnupg/S.gpg-agent" if home else f"{own}/gnupg/S.gpg-agent",
        "editor": f"{own}/vscode-ipc-escape.sock",
        "screen": f"/run/screen/S-{uid}/1.pts",
        "ssh-agent": "/tmp/ssh-escape/agent.1",  # noqa: S108
        "tmux": f"/tmp/tmux-{uid}/default",  # noqa: S108
        "x11": "/tmp/.X11-unix/X0",  # noqa: S108
        "work": f"{work}/agent.sock",
    }


def environment(sockets: dict[str, str]) -> dict[str, str]:
    """Variables of an operator's session that name sockets."""
    return {
        "SSH_AUTH_SOCK": sockets["ssh-agent"],
        "DBUS_SESSION_BUS_ADDRESS": f"unix:path={sockets['dbus-session']}",
        "TMUX": f"{sockets['tmux']},1,0",
        "DOCKER_HOST": f"unix://{sockets['docker']}",
    }


def bundle(target: Path) -> Path:
    """Copy what the jail needs of this package below `target`; returns the runner's path."""
    here = Path(__file__).parent
    place = target / "netns" / "escapes"
    (place / "programs").mkdir(parents=True)
    shutil.copy(here.parent / "__init__.py", place.parent)
    for name in ("__init__.py", "task.py", "runner.py"):
        shutil.copy(here / name, place)
    for file in sorted((here / "programs").glob("*.py")):
        shutil.copy(file, place / "programs")
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return place / "runner.py"


def helpers(folder: Path, interpreter: str) -> dict[str, str]:
    """Make a set-user-id copy of the interpreter and one with file capabilities."""
    made = {"setuid": str(folder / "as-root"), "capable": str(folder / "as-capable")}
    for path in made.values():
        shutil.copy(interpreter, path)
        Path(path).chmod(0o755)
    Path(made["setuid"]).chmod(0o4755)
    with contextlib.suppress(OSError):
        # struct vfs_cap_data, revision 2, effective: <linux/capability.h>
        data = struct.pack("<5I", 0x02000001, _CAP_NET_RAW, 0, 0, 0)
        os.setxattr(made["capable"], "security.capability", data)
    return made


def module(name: str) -> list[str]:
    """Command line that runs a module of ours, wherever we were started from."""
    top = str(Path(__file__).resolve().parents[2])
    code = f"import sys; sys.path.insert(0, {top!r}); from {name} import main; main()"
    return [sys.executable, "-I", "-c", code]


def drawn_ipc_key() -> int:
    """A System V key that nobody uses."""
    return 0x45470000 | secrets.randbelow(1 << 15)


def world(furniture: Furniture, told: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What programs know of the outside: `told` is the oracle's first answer."""
    sockets = {**furniture.streams, **furniture.datagrams, **furniture.packets}
    return {
        "sockets": sockets,
        "abstract": furniture.abstract,
        "ipc": furniture.ipc,
        "queue": furniture.queue,
        "key": furniture.key,
        "victims": told["victims"],
        "network": told["network"],
        **more,
    }

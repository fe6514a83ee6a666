"""What a container must not have, or its network would not be its only way out.

What is told here comes from the configuration that an OCI runtime is given (runtime specification
1.0.2, config.md), and from the kernel about a process that is there already
(`interceptor.containers.inspection`); nothing from the container itself. Each line says the fix.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

from interceptor.containers import seccomp

Sockets = Callable[[str], str]
"""From a path of the host's to a unix socket that it is, or that is in it; or an empty text."""

NAMESPACES: Final = {
    "network": "net",
    "pid": "pid",
    "mount": "mnt",
    "ipc": "ipc",
}
"""Kinds that a container must have for itself: the specification's name, and proc(5)'s."""

USABLE: Final = frozenset(
    "CAP_" + name
    for name in (
        # What Docker and Podman give by default.
        *("CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "SETGID", "SETUID", "SETPCAP"),
        *("NET_BIND_SERVICE", "NET_RAW", "SYS_CHROOT", "MKNOD", "AUDIT_WRITE", "SETFCAP"),
        # What ends at the container's own namespaces.
        *("NET_BROADCAST", "IPC_LOCK", "IPC_OWNER", "LEASE", "SYS_NICE", "SYS_PTRACE"),
        *("SYS_RESOURCE", "LINUX_IMMUTABLE"),
    )
)
"""Capabilities of a container whose root is the host's; with a user namespace all are usable."""

CONTROLS: Final = (
    "/run/docker.sock",
    "/run/docker",
    "/run/podman",
    "/run/dbus",
    "/run/systemd",
    "/run/libvirt",
    "/run/snapd.socket",
    "/run/lxd",
    "/run/incus",
    "/run/egressguard",
    "/var/lib/egressguard-gateway",
    "/etc/cni",
    "/opt/cni",
)
"""Places from which the host is governed: neither they, nor what is in them or around them."""

STORES: Final = (
    "/run/containerd",
    "/run/crio",
    "/run/user",
    "/var/lib/docker",
    "/var/lib/containerd",
    "/var/lib/containers",
    "/var/lib/kubelet",
)
"""The same, but an engine's files of single containers lie in them."""

_PROC_SYS: Final = "/proc/sys"
_KERNEL_FILES: Final = ("/proc", "/sys", "/dev")
_USERNS: Final = "with Podman --userns=auto (or --uidmap 0:100000:65536); with Docker userns-remap"
_SHARED: Final = ("/dev/shm", "/dev/mqueue", "/dev/pts")  # noqa: S108 - a place to refuse
_CHARACTER_MEMORY: Final = {(1, 1), (1, 2), (1, 4), (10, 144)}  # mem, kmem, port, nvram
_FALLBACKS: Final = frozenset(
    (
        *("lo", "sit0", "tunl0", "ip6tnl0", "gre0", "gretap0", "erspan0"),
        *("ip_vti0", "ip6_vti0", "ip6gre0"),
    )
)
"""Links that the kernel puts into each network namespace by itself; they lead nowhere."""


def config_faults(
    config: Mapping[str, Any],
    *,
    own_user: bool,
    vsock: bool,
    sockets: Sockets,
    resolve: Callable[[str], str],
    ours: Sequence[str] = (),
) -> list[str]:
    """Say what is wrong with the configuration of a container that is about to be made.

    Args:
        config: `config.json` of its bundle.
        own_user: its root is not the host's: a user namespace, as the kernel has it.
        vsock: vsock(7) leads somewhere on this machine.
        sockets: from a path of the host's to a unix socket that it is, or holds, or an empty text.
        resolve: makes a path of the host's absolute (a relative one is below the bundle), and
            follows links.
        ours: directories of the host's that may be mounted although they are below `CONTROLS`.

    Returns:
        A line for each fault, with its fix; none where the container may start.
    """
    linux = _mapping(config.get("linux"))
    kinds = {str(each.get("type")) for each in _mappings(linux.get("namespaces"))}
    faults = [shared(kind) for kind in NAMESPACES if kind not in kinds]
    for mount in _mappings(config.get("mounts")):
        faults += _mount_faults(mount, sockets, resolve, ours, own_user=own_user)
    root = resolve(str(_mapping(config.get("root")).get("path", "rootfs")))
    if covers(root, ours):
        faults.append(f"its root file system is the host's {root}. Fix: use an image")
    if linux.get("netDevices"):
        faults.append("netDevices: a network card of the host's. Fix: leave it out")
    faults += _device_faults(linux, own_user=own_user)
    if not own_user:
        capabilities = _mapping(_mapping(config.get("process")).get("capabilities"))
        held = {str(name) for names in capabilities.values() for name in names or ()}
        faults += capability_faults(held)
        readonly = {str(path) for path in linux.get("readonlyPaths") or ()}
        if _PROC_SYS not in readonly:
            faults.append(
                f"{_PROC_SYS} can be written, and with it settings of the host's kernel. Fix: "
                f"leave out --privileged and unmask=ALL, or give it a user namespace ({_USERNS})"
            )
    if vsock and seccomp.leaves_vsock(linux.get("seccomp")):
        faults.append(
            "vsock(7) reaches this machine's hypervisor or its machines, past every network "
            "namespace, and the container's seccomp profile lets it. Fix: --security-opt "
            "seccomp=FILE, with the profile that `egressguard container seccomp` prints"
        )
    return faults


def shared(kind: str) -> str:
    """The line about a namespace (the specification's name) that is the host's or another's."""
    option = {"network": "--network", "mount": "--rootfs", "pid": "--pid", "ipc": "--ipc"}[kind]
    return (
        f"the container shares the host's {kind} namespace. Fix: leave out {option}=host "
        "and --privileged" + ("; use --network none" if kind == "network" else "")
    )


def capability_faults(held: set[str]) -> list[str]:
    """Say which capabilities would undo the boundary of a container whose root is the host's."""
    many = sorted(held - USABLE)
    if not many:
        return []
    named = ", ".join(many[:4]) + (f" and {len(many) - 4} more" if len(many) > 4 else "")
    fault = (
        f"{named}: such rights of the host's root reach out of the container. Fix: leave out "
        f"--cap-add and --privileged, or give it a user namespace, where all are harmless: "
        f"{_USERNS}"
    )
    return [fault]


def link_faults(names: Sequence[str], own: str = "") -> list[str]:
    """Say which links of the container's network namespace lead elsewhere; `own` is ours."""
    others = [name for name in names if name not in _FALLBACKS and name != own]
    if not others:
        return []
    fault = (
        f"the container's network has {', '.join(sorted(others))} already, a way past egressguard. "
        "Fix: start it with --network none, and share no other container's network"
    )
    return [fault]


def covers(source: str, ours: Sequence[str] = ()) -> str:
    """The place of `CONTROLS` or of the kernel's files that a mounted path holds, or empty."""
    path = source.rstrip("/") or "/"
    if any(path == each or path.startswith(f"{each}/") for each in ours):
        return ""
    for place in (*CONTROLS, *_KERNEL_FILES, *STORES):
        if path == "/" or place == path or place.startswith(f"{path}/"):
            return place
        if path.startswith(f"{place}/") and place not in STORES:
            return place
    return path if path.startswith("/run/user/") and path.count("/") == 3 else ""


def _mount_faults(
    mount: Mapping[str, Any],
    sockets: Sockets,
    resolve: Callable[[str], str],
    ours: Sequence[str],
    *,
    own_user: bool,
) -> Iterator[str]:
    options = {str(option) for option in mount.get("options") or ()}
    source, target = str(mount.get("source", "")), str(mount.get("destination", ""))
    if mount.get("type") == "bind" or options & {"bind", "rbind"}:
        yield from source_faults(source, target, sockets, resolve, ours)
    elif mount.get("type") == "sysfs" and "ro" not in options and not own_user:
        yield f"{target} can be written, and with it the host's kernel. Fix: no --privileged"


def source_faults(
    source: str,
    target: str,
    sockets: Sockets,
    resolve: Callable[[str], str],
    ours: Sequence[str] = (),
) -> Iterator[str]:
    """Say what is wrong with a path of the host's that is mounted at `target`."""
    path = resolve(source)
    leads = "vsock" in path or "vhost-" in path or path in _SHARED
    if target.startswith("/dev/") and path.startswith("/dev/") and not leads:
        return  # a device, as rootless engines give it: rights over it are its owner's
    if place := covers(path, ours):
        yield (
            f"-v {source}: it holds {place}, from where the host is governed. Fix: mount only the "
            "directory that the container works on"
        )
    elif found := sockets(path):
        what = "a unix socket" if found == path else f"the unix socket {found} in it"
        yield f"-v {source}: {what} leads out of the container. Fix: leave the mount out"


def _device_faults(linux: Mapping[str, Any], *, own_user: bool) -> Iterator[str]:
    for device in _mappings(linux.get("devices")):
        path, kind = str(device.get("path", "")), device.get("type")
        numbers = (device.get("major"), device.get("minor"))
        if kind == "b":
            yield f"--device {path}: a disk of the host's. Fix: leave it out; mount a directory"
        elif numbers in _CHARACTER_MEMORY or "vsock" in path or "vhost-" in path:
            yield f"--device {path}: it leads out of the container. Fix: leave it out"
    if own_user:
        return  # mknod(2) is not for user namespaces
    for rule in _mappings(_mapping(linux.get("resources")).get("devices")):
        wide = rule.get("major") in (None, -1) and rule.get("type") in (None, "a", "b")
        if rule.get("allow") and wide and set(str(rule.get("access", "rwm"))) & set("rw"):
            yield (
                "all devices of the host's are allowed. Fix: leave out --privileged and "
                "--device-cgroup-rule"
            )
            return


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value or () if isinstance(each, Mapping)]

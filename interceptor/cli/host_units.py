"""What `egressguard guard-host` writes into a machine, as text: a unit and drop-ins for others.

The machine's logins and agents are services of systemd, and a service may be started in a network
namespace that is there already (systemd.exec(5), NetworkNamespacePath=). That namespace is the
gateway's guest `host`; a unit of ours gives it a place in the file system.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Final

import msgspec

GUEST: Final = "host"
"""Name of the gateway's guest."""
PLACE: Final = "/run/egressguard-host"
NETWORK: Final = f"{PLACE}/network"
"""The captive namespace, bound here."""
AUTHORITY, BUNDLE, RESOLVER = "authority.pem", "ca-bundle.pem", "resolv.conf"

UNIT: Final = "egressguard-host.service"
_DROP_IN: Final = "50-egressguard.conf"
_SYSTEMD: Final = "/etc/systemd/system"
_PROFILE: Final = "/etc/profile.d/egressguard.sh"
_ENVIRONMENT: Final = "/etc/environment.d/50-egressguard.conf"
_SOCKET_WANTS: Final = (
    "etc/systemd/system/sockets.target.wants/ssh.socket",
    "etc/systemd/system/sockets.target.wants/sshd.socket",
    "etc/systemd/system/ssh.service.requires/ssh.socket",
)

LOGINS: Final[Mapping[str, str]] = {
    "user@.service": "services of users, and what their sessions start through them",
    "ssh.service": "logins by SSH, started by a socket (Debian, Ubuntu)",
    "ssh@.service": "logins by SSH, one process for each (Debian)",
    "sshd.service": "logins by SSH, started by a socket (Fedora, SUSE, Arch)",
    "sshd@.service": "logins by SSH, one process for each (Fedora, SUSE, Arch)",
    "getty@.service": "logins at the console",
    "serial-getty@.service": "logins at a serial line",
    "console-getty.service": "logins at the console of a container",
    "container-getty@.service": "further logins at the console of a container",
    "cron.service": "jobs at a time (Debian)",
    "crond.service": "jobs at a time (Fedora, SUSE)",
    "atd.service": "jobs at a time, once",
}
"""Units that run what people and their agents want, and what each is for."""

_LISTENING: Final = ("ssh.service", "sshd.service")

HIDDEN: Final = (
    "/run/docker.sock",
    "/run/containerd/containerd.sock",
    "/run/podman/podman.sock",
    "/run/crio/crio.sock",
    "/run/buildkit/buildkitd.sock",
    "/run/libvirt",
    "/var/lib/lxd/unix.socket",
    "/var/lib/incus/unix.socket",
    "/run/snapd.socket",
    "/run/nscd/socket",
    "/run/systemd/resolve/io.systemd.Resolve",
    "/run/systemd/resolve/io.systemd.Resolve.Monitor",
)
"""Sockets of programs that are outside, and would fetch, start or look something up for others."""


class HostError(ValueError):
    """The machine cannot be guarded as asked; the message says what to do."""


class Wanted(msgspec.Struct, frozen=True):
    """What is to be guarded."""

    units: tuple[str, ...] = ()
    """Units of agents, beside `LOGINS`."""
    spared: tuple[str, ...] = ()
    """Units of `LOGINS` that stay as they are."""


def files(
    wanted: Wanted, program: Sequence[str], policy: str, variables: Mapping[str, str]
) -> dict[str, str]:
    """Return path and content of everything that is written.

    Args:
        wanted: see there.
        program: words that start egressguard, the first an absolute path.
        policy: absolute path of the policy file; empty for the preset alone.
        variables: for programs that have roots of their own (`netns.trust.variables`).

    Raises:
        HostError: a unit's name is none.
    """
    made = {f"{_SYSTEMD}/{UNIT}": _unit(program, policy)}
    for unit in guarded(wanted):
        made[f"{_SYSTEMD}/{unit}.d/{_DROP_IN}"] = _drop_in()
    lines = [f'{name}="{value}"' for name, value in sorted(variables.items())]
    head = "# Written by `egressguard guard-host install`.\n"
    made[_ENVIRONMENT] = head + "".join(f"{line}\n" for line in lines)
    made[_PROFILE] = head + "".join(f"export {line}\n" for line in lines)
    return made


def written(present: Sequence[str]) -> list[str]:
    """Those of `present`, absolute paths, that an earlier `install` has written."""
    fixed = {f"{_SYSTEMD}/{UNIT}", _ENVIRONMENT, _PROFILE}
    return [path for path in present if path in fixed or PurePosixPath(path).name == _DROP_IN]


def guarded(wanted: Wanted) -> list[str]:
    """Names of the units that are guarded.

    Raises:
        HostError: a name is none of a service, or none of `LOGINS`.
    """
    for unit in wanted.units:
        stem = unit.removesuffix(".service")
        plain = stem.replace("@", "").replace(".", "").replace("-", "").replace("_", "")
        if not unit.endswith(".service") or not plain.isascii() or not plain.isalnum():
            raise HostError(f"{unit!r} is no name of a service: write NAME.service")
    if unknown := [unit for unit in wanted.spared if unit not in LOGINS]:
        raise HostError(f"--except {unknown[0]}: not among {', '.join(LOGINS)}")
    return [unit for unit in dict.fromkeys((*LOGINS, *wanted.units)) if unit not in wanted.spared]


def check_ssh(wanted: Wanted, present: Sequence[str]) -> None:
    """Refuse what would leave nobody a way in.

    A server that listens for itself would listen in the captive namespace, where nobody can reach
    it; what listens for it as a socket of systemd's stays where it is.

    Args:
        wanted: see there.
        present: paths that exist, relative to the root.

    Raises:
        HostError: SSH is not started by a socket.
    """
    servers = [f"usr/lib/systemd/system/{unit}" for unit in _LISTENING]
    if not any(path in present for path in servers):
        return
    if any(path in present for path in _SOCKET_WANTS):
        return
    if all(unit in wanted.spared for unit in _LISTENING):
        return
    raise HostError(
        "SSH listens by itself here, and would listen where nobody reaches it: systemctl enable "
        "--now ssh.socket first, or add --except ssh.service --except sshd.service, which leaves "
        "logins by SSH unguarded"
    )


def looked_at() -> list[str]:
    """Paths that `check_ssh` wants to know of, relative to the root."""
    return [*(f"usr/lib/systemd/system/{unit}" for unit in _LISTENING), *_SOCKET_WANTS]


def _unit(program: Sequence[str], policy: str) -> str:
    command = [*program, "guard-host", "join", *(("--policy", policy) if policy else ())]
    return f"""\
# Written by `egressguard guard-host install`.
[Unit]
Description=egressguard: the captive network of this machine's logins and agents
Requires=egressguard-gateway.service
After=egressguard-gateway.service
Before=systemd-user-sessions.service
StartLimitIntervalSec=0

[Service]
Type=oneshot
RemainAfterExit=yes
# In the machine's own mount namespace: what it binds is for other units.
ExecStart={" ".join(map(_quoted, command))}
Restart=on-failure
RestartSec=2s

[Install]
WantedBy=multi-user.target
"""


def _quoted(word: str) -> str:
    """Write a word as systemd.service(5), "Command lines", reads it."""
    if word and all(sign.isalnum() or sign in "/._-+:@=," for sign in word):
        return word
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"'


def _drop_in() -> str:
    store = "/etc/ssl/certs/ca-certificates.crt"
    lines = [
        "# Written by `egressguard guard-host install`.",
        "[Unit]",
        f"Requires={UNIT}",
        f"After={UNIT}",
        "",
        "[Service]",
        f"NetworkNamespacePath={NETWORK}",
        "# The gateway's own socket is not for those whom it guards.",
        "TemporaryFileSystem=/run/egressguard:mode=755",
        f"BindReadOnlyPaths={PLACE}/{AUTHORITY}:/run/egressguard/{AUTHORITY}",
        f"BindReadOnlyPaths={PLACE}/{BUNDLE}:/run/egressguard/{BUNDLE}",
        f"BindReadOnlyPaths={PLACE}/{BUNDLE}:{store}",
        f"BindReadOnlyPaths={PLACE}/{RESOLVER}:/etc/resolv.conf",
        *(f"InaccessiblePaths=-{path}" for path in HIDDEN),
        "",
    ]
    return "\n".join(lines)

"""The agent's environment: what it keeps, what names a way out, what is set anew.

Keys of model providers stay: the agent needs them and the scanner knows where they may go. Proxy
variables stay too: they change nothing in a namespace where every address is a listener of ours.
"""

# ruff: noqa: PTH116
# (paths stay text, as the kernel and bwrap take them)
from __future__ import annotations

import fnmatch
import os
import stat
from collections.abc import Callable, Iterable, Mapping

from netns.identity import Identity

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

INJECTED = "EGRESSGUARD_INJECTED"
"""Names, separated by colons, of variables that our own launcher set for itself."""

_PROXIES = (
    *("http_proxy", "https_proxy", "all_proxy", "ftp_proxy", "no_proxy"),
    *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY", "NO_PROXY"),
)

SCRUBBED: Mapping[str, str] = {
    "SSH_AUTH_SOCK": "agent of the operator's keys",
    "SSH_AGENT_PID": "agent of the operator's keys",
    "SSH_ASKPASS": "program that asks the operator",
    "SUDO_*": "belongs to the operator's session",
    "GPG_AGENT_INFO": "agent of the operator's keys",
    "GPG_TTY": "the operator's terminal",
    "GNOME_KEYRING_*": "keyring of the operator",
    "KRB5CCNAME": "ticket cache outside the jail",
    "DBUS_*": "message bus",
    "SESSION_MANAGER": "session bus",
    "DISPLAY": "X server",
    "XAUTHORITY": "X server",
    "ICEAUTHORITY": "X server",
    "WAYLAND_*": "Wayland compositor",
    "PULSE_*": "sound server",
    "PIPEWIRE_*": "sound server",
    "TMUX": "terminal multiplexer takes commands",
    "TMUX_PANE": "terminal multiplexer takes commands",
    "STY": "screen takes commands",
    "ZELLIJ*": "terminal multiplexer takes commands",
    "KITTY_LISTEN_ON": "terminal takes commands",
    "ALACRITTY_SOCKET": "terminal takes commands",
    "WEZTERM_UNIX_SOCKET": "terminal takes commands",
    "I3SOCK": "window manager takes commands",
    "SWAYSOCK": "window manager takes commands",
    "HYPRLAND_*": "window manager takes commands",
    "NVIM": "editor takes commands",
    "NVIM_LISTEN_ADDRESS": "editor takes commands",
    "VSCODE_*": "editor takes commands",
    "CURSOR_*_IPC*": "editor takes commands",
    "GIT_ASKPASS": "program that asks the editor",
    "DOCKER_HOST": "container engine",
    "CONTAINER_HOST": "container engine",
    "CONTAINERD_*": "container engine",
    "PODMAN_*": "container engine",
    "LIBVIRT_*": "machine monitor",
    "LXD_*": "container engine",
    "INCUS_*": "container engine",
    "NOTIFY_SOCKET": "service manager",
    "LISTEN_FDS": "descriptors that are closed",
    "LISTEN_FDNAMES": "descriptors that are closed",
    "LISTEN_PID": "descriptors that are closed",
    "INVOCATION_ID": "service manager",
    "JOURNAL_STREAM": "service manager",
    "CREDENTIALS_DIRECTORY": "service manager",
    "XDG_RUNTIME_DIR": "set anew",
    "XDG_SESSION_*": "belongs to the operator's session",
    "XDG_SEAT*": "belongs to the operator's session",
    "XDG_VTNR": "belongs to the operator's session",
    "TMPDIR": "the host's; /tmp is private",
    "TMP": "the host's; /tmp is private",
    "TEMP": "the host's; /tmp is private",
    "LD_*": "the dynamic linker's; also keeps them from every program we start on the way",
    **dict.fromkeys(_PROXIES, "a proxy of the host's; in the jail every path is ours"),
    "OLDPWD": "set anew by shells",
    "MAIL": "belongs to the operator's session",
    "EGRESSGUARD_*": "our own",
}
"""Variables that are dropped (shell patterns), and why."""

_EXACT = frozenset(name for name in SCRUBBED if "*" not in name)
_PATTERNS = tuple(name for name in SCRUBBED if "*" in name)


class EnvironmentValueError(ValueError):
    """An --env value that cannot be used."""


def build(
    environ: Mapping[str, str],
    identity: Identity,
    *,
    cwd: str,
    home: str,
    trust: Mapping[str, str],
    env: Iterable[str] = (),
) -> dict[str, str]:
    """Return the agent's whole environment.

    `environ` is the supervisor's. `home` is the home directory inside the jail, `trust` comes from
    `netns.trust`. `env` holds --env values: NAME keeps a variable that would be dropped, NAME=VALUE
    sets one; what sudo(8) has already dropped can only be set (or kept with its --preserve-env).
    Raises EnvironmentValueError.
    """
    given: dict[str, str] = {}
    for item in env:
        name, equals, value = item.partition("=")
        if not name:
            raise EnvironmentValueError(f"--env {item!r}: write NAME or NAME=VALUE")
        if equals:
            given[name] = value
        elif name in environ:
            given[name] = environ[name]
    own = {name for name in environ.get(INJECTED, "").split(":") if name}
    kept = {
        name: value
        for name, value in environ.items()
        if name not in own and not scrubbed(name) and not names_socket(value)
    }
    kept.setdefault("PATH", DEFAULT_PATH)
    kept.update(
        HOME=home,
        USER=identity.name,
        LOGNAME=identity.name,
        SHELL=identity.shell,
        PWD=cwd,
        XDG_RUNTIME_DIR=f"/run/user/{identity.uid}",
    )
    return kept | dict(trust) | given


def scrubbed(name: str) -> bool:
    """Say whether a variable of this name is dropped."""
    return name in _EXACT or any(fnmatch.fnmatchcase(name, pattern) for pattern in _PATTERNS)


def names_socket(value: str, mode_of: Callable[[str], int | None] | None = None) -> bool:
    """Say whether a value leads to a unix socket: a `unix:` URL, or the path of a socket.

    `mode_of` returns the st_mode of a path or None, and is an argument for the tests.
    """
    if value.startswith(("unix:", "unix+", "npipe:", "vsock:")):
        return True
    if not value.startswith("/"):
        return False
    look = mode_of or _mode_of
    # tmux writes PATH,PID,PANE; search lists are separated by colons.
    candidates = {value, value.partition(",")[0], value.partition(":")[0]}
    return any((mode := look(path)) is not None and stat.S_ISSOCK(mode) for path in candidates)


def _mode_of(path: str) -> int | None:
    try:
        return os.stat(path).st_mode
    except (OSError, ValueError):
        return None

"""The OCI hook (runtime specification 1.0.2, config.md, POSIX-platform hooks).

At `createRuntime` (or `prestart`) the container's namespaces are there and nothing of it runs: its
configuration and its process are looked at, and it is plugged. Every error ends this program with
1, and then the runtime makes no container. At `poststop` its guest is removed; that happens also
when its process ends without the runtime.

Run as a program of its own, by `main`: a start of egressguard's command line would take longer than
all of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NoReturn

from interceptor.containers import boundary, plugging, seccomp, trust_files
from interceptor.containers.inspection import GoneError, Process, bound_sockets
from interceptor.containers.plugging import PlugError, Wish

NAME: Final = "interceptor.containers.hook"
STAGES: Final = ("createRuntime", "poststop")
ANNOTATION: Final = "egressguard"
"""Containers that have it, with any value, are plugged, where a hook is not for all."""
LOG: Final = "/var/log/egressguard/containers.log"
"""Why containers were not made: some runtimes show nobody what a hook says."""
OPTIONS: Final = ("name", "policy", "preset", "evidence", "run")

_LARGEST_STATE: Final = 1024 * 1024
_LARGEST_CONFIG: Final = 16 * 1024 * 1024


def obey(text: bytes, options: Mapping[str, str]) -> None:
    """Carry out what the runtime's state asks for.

    Args:
        text: `state.md`, JSON, as the runtime wrote it to our stdin.
        options: those of `OPTIONS` that the operator has given; nothing of the container's own
            configuration has a say.

    Raises:
        PlugError: the container must not start.
    """
    state = _decoded(text, "the container's state")
    name, status = state.get("id"), state.get("status")
    if not isinstance(name, str) or not name or not isinstance(status, str):
        raise PlugError("the container's state has no id or no status")
    wish = Wish(options.get("name") or plugging.guest_name(name), **_wished(options, name))
    if status == "stopped":
        plugging.unplug(wish.name, wish.run)
        _folder_of(wish.name)
        return
    pid, bundle = state.get("pid"), state.get("bundle")
    if type(pid) is not int or pid <= 0 or not isinstance(bundle, str):
        raise PlugError(f"the container's state has no pid or no bundle (status {status!r})")
    config = read_config(str(Path(bundle, "config.json")))
    try:
        with Process(pid) as process:
            plugging.refuse(faults(config, process, bundle))
            certificate = plugging.plug(process, wish)
    except (GoneError, OSError) as error:
        raise PlugError(str(error)) from error
    folder = _mounted(config)
    if folder is not None:
        try:
            folder.fill(certificate)
        except OSError as error:
            raise PlugError(f"{folder.path}: {error.strerror}") from error


def faults(config: Mapping[str, Any], process: Process, bundle: str) -> list[str]:
    """Say what a container that is made, and does not run yet, must not have.

    Args:
        config: of its bundle.
        process: its first one.
        bundle: path of the directory of both.

    Raises:
        GoneError: its process has ended.
    """
    found = boundary.config_faults(
        config,
        own_user=process.has_own_user(),
        vsock=seccomp.vsock_leads_out(),
        sockets=bound_sockets(),
        resolve=lambda path: os.path.realpath(os.path.join(bundle, path)),  # noqa: PTH118
        ours=(trust_files.BASE,),
    )
    return list(dict.fromkeys([*process.faults(running=False), *found]))


def read_config(path: str) -> Mapping[str, Any]:
    """Read the configuration of a bundle.

    Raises:
        PlugError: it cannot be read.
    """
    try:
        with open(path, "rb") as file:
            return _decoded(file.read(_LARGEST_CONFIG + 1), path, _LARGEST_CONFIG)
    except OSError as error:
        raise PlugError(f"{path}: {error.strerror}") from error


def program() -> list[str]:
    """Words that run this hook, wherever egressguard was started from; options come behind."""
    top = str(Path(__file__).resolve().parents[2])
    cached = [] if sys.pycache_prefix is None else ["-X", f"pycache_prefix={sys.pycache_prefix}"]
    # Without `site` (-S), which takes a tenth of the whole: the places of packages are told.
    places = [top, *(place for place in sys.path if place.endswith("-packages"))]
    code = f"import sys; sys.path += {places!r}; from {NAME} import main; main()"
    return [sys.executable, "-I", "-S", *cached, "-c", code]


def definition(command: Sequence[str], *, every: bool) -> dict[str, Any]:
    """The hook's file for `/etc/containers/oci/hooks.d` (oci-hooks(5)): Podman and CRI-O read it.

    Args:
        command: words of this program, the first an absolute path.
        every: for all containers, or for those that have the annotation.
    """
    when: dict[str, Any] = {"always": True}
    if not every:
        when = {"annotations": {f"^{ANNOTATION}$": ".*"}}
    hook = {"path": command[0], "args": list(command), "timeout": 60}
    return {"version": "1.0.0", "hook": hook, "when": when, "stages": list(STAGES)}


def _mounted(config: Mapping[str, Any]) -> trust_files.Folder | None:
    """The folder of ours that the container has mounted, if it has."""
    for mount in config.get("mounts") or ():
        source = str(mount.get("source", ""))
        if mount.get("destination") == trust_files.INSIDE and source:
            path = Path(os.path.realpath(source))
            if str(path.parent) == trust_files.BASE:
                return trust_files.Folder(path.name)
    return None


def _folder_of(name: str) -> None:
    trust_files.Folder(name).remove()


def _wished(options: Mapping[str, str], name: str) -> dict[str, str]:
    wished = {key: text for key, text in options.items() if key in OPTIONS and key != "name"}
    return {"user": f"container {name[:12]}", **wished}


def _decoded(text: bytes, what: str, largest: int = _LARGEST_STATE) -> Mapping[str, Any]:
    if len(text) > largest:
        raise PlugError(f"{what}: more than {largest} bytes")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PlugError(f"{what}: no JSON: {error}") from error
    if not isinstance(found, dict):
        raise PlugError(f"{what}: no object")
    return found


def parse(words: Sequence[str]) -> dict[str, str]:
    """Read `--name=NAME` and its like.

    Raises:
        PlugError: a word is none of `OPTIONS`.
    """
    options = {}
    for word in words:
        key, equals, text = word.removeprefix("--").partition("=")
        if not word.startswith("--") or not equals or key not in OPTIONS:
            raise PlugError(f"{word}: no option of this hook: --{'=, --'.join(OPTIONS)}=")
        if key in ("policy", "evidence", "run") and not text.startswith("/"):
            raise PlugError(f"{word}: no absolute path")
        options[key] = text
    return options


def main() -> NoReturn:
    """Be the hook: the state on stdin, `OPTIONS` as words."""
    try:
        obey(sys.stdin.buffer.read(_LARGEST_STATE + 1), parse(sys.argv[1:]))
    except PlugError as error:
        _complain(str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the container must not start
        _complain(f"hook: {type(error).__name__}: {error}")
    sys.exit(0)


def _complain(cause: str) -> NoReturn:
    """Say why no container is made: to the runtime, which may keep it for itself, and in `LOG`."""
    line = "".join(char if char.isprintable() else "?" for char in cause)
    sys.stderr.write(f"egressguard: {line}\n")
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    with contextlib.suppress(OSError):
        Path(LOG).parent.mkdir(mode=0o700, exist_ok=True)
        with open(os.open(LOG, flags, 0o600), "a", encoding="utf-8", errors="replace") as file:
            file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S%z')} {line}\n")
    sys.exit(1)

"""`podman run ...` and its like, rewritten for a container of ours.

What is refused on a command line is refused for clarity, before anything is fetched or made; what
holds is asked of the runtime's configuration and of the kernel when the container is there
(`interceptor.containers.boundary`, `.inspection`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Final

from interceptor.containers import boundary, flags
from interceptor.containers.boundary import Sockets
from interceptor.containers.flags import FlagError, Option

ENGINES: Final = ("podman", "docker", "nerdctl", "ctr")

_REMOTE: Final = ("remote", "r", "url", "connection", "identity", "host", "H", "context", "c")
"""Global options that lead to an engine of another machine."""
_PORTS: Final = "no port of a container is opened on the host here. Fix: leave it out"
_NETWORKS: Final = "the container has one network, and egressguard adds it. Fix: leave it out"
_NAMES: Final = "egressguard answers all names. Fix: leave it out"
_REFUSED: Final = {
    "privileged": "it gives the host's devices and rights. Fix: leave it out; for root's work "
    "inside add a user namespace and --cap-add=all (Podman: --userns=auto)",
    "publish": _PORTS,
    "publish-all": _PORTS,
    "pod": "containers of a pod share namespaces. Fix: run it alone",
    "pod-id-file": "containers of a pod share namespaces. Fix: run it alone",
    "init-ctr": "containers of a pod share namespaces. Fix: run it alone",
    "network-alias": _NETWORKS,
    "ip": _NETWORKS,
    "ip6": _NETWORKS,
    "mac-address": _NETWORKS,
    "link": _NETWORKS,
    "dns": _NAMES,
    "dns-opt": _NAMES,
    "dns-option": _NAMES,
    "dns-search": _NAMES,
    "device-cgroup-rule": "it gives devices of the host's. Fix: name the device with --device",
    "preserve-fds": "a descriptor may be a way out. Fix: leave it out",
    "rootfs": "a directory of the host's is no image. Fix: podman import, or docker import",
    "use-api-socket": "the engine's socket is root on the host. Fix: leave it out",
    "net-host": "it is the host's network. Fix: leave it out",
    "cni": _NETWORKS,
    "enable-cni": _NETWORKS,
    "config": "its file may hold what nobody sees here. Fix: use the OCI hook (docs/containers.md)",
}
_AFTER: Final = {"detach", "sig-proxy", "detach-keys", "attach", "rmi", "preserve-fds"}
"""Options of `run` that `create` does not have."""


class EngineError(ValueError):
    """A command line that is not run; the message says which word, and what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """A command line of an engine's, taken apart."""

    engine: str
    """One of `ENGINES`."""
    head: tuple[str, ...]
    """The program, and its global options."""
    options: tuple[Option, ...]
    rest: tuple[str, ...]
    """The image, and the command in it."""

    def is_set(self, name: str) -> bool:
        """Whether a switch is on."""
        values = [option.value for option in self.options if option.name == name]
        return bool(values) and values[-1].lower() not in ("false", "0", "f")

    def value(self, name: str) -> str:
        """The last value of an option, or empty."""
        return next((o.value for o in reversed(self.options) if o.name == name), "")


@dataclass(frozen=True, slots=True)
class Additions:
    """What a container of ours is started with, beside what was asked for."""

    mounts: Mapping[str, str]
    """Place inside -> path of the host's, read-only."""
    environment: Mapping[str, str]
    seccomp: str = ""
    """Path of a profile; empty: the engine's own."""


def parse(argv: Sequence[str]) -> Line:
    """Take a command line apart.

    Raises:
        EngineError: see there.
    """
    program = PurePath(argv[0]).name
    if program not in ENGINES:
        raise EngineError(
            f"{program} is none of {', '.join(ENGINES)}: for other runtimes there are the OCI hook "
            "and the CNI plugin (docs/containers.md)"
        )
    at = next((at for at, word in enumerate(argv) if word == "run"), 0)
    head = [word for word in argv[:at] if word != "container"]
    if not at:
        raise EngineError(f"give a command line that begins with: {program} run")
    for word in head[1:]:
        name = word.lstrip("-").partition("=")[0]
        if word.startswith("-") and name in _REMOTE:
            raise EngineError(f"{word}: the engine must be of this machine. Fix: leave it out")
    try:
        options, rest = flags.options(argv[at + 1 :], ctr=program == "ctr")
    except FlagError as error:
        raise EngineError(str(error)) from error
    if not rest:
        raise EngineError("no image is named")
    if program == "ctr" and len(rest) < 2:
        raise EngineError("ctr run needs an image and a name: ctr run IMAGE NAME COMMAND...")
    return Line(program, tuple(head), tuple(options), tuple(rest))


def remote(environ: Mapping[str, str]) -> str:
    """Say which variable leads the engine to another machine, or nothing."""
    for name in ("DOCKER_HOST", "CONTAINER_HOST"):
        if not environ.get(name, "unix:").startswith("unix:"):
            return f"{name} names an engine of another machine. Fix: unset {name}"
    for name in ("DOCKER_CONTEXT", "CONTAINER_CONNECTION"):
        if environ.get(name, "default") != "default":
            return f"{name} may name an engine of another machine. Fix: unset {name}"
    return ""


def faults(line: Line, sockets: Sockets, resolve: Callable[[str], str]) -> list[str]:
    """Say what a command line asks for that a container of ours cannot have.

    Args:
        line: from `parse`.
        sockets: see there.
        resolve: makes a path of the host's absolute, and follows links.
    """
    found: list[str] = []
    for option in line.options:
        if option.name in _REFUSED and option.value.lower() not in ("false", "0", "f"):
            found.append(f"--{option.name}: {_REFUSED[option.name]}")
        else:
            found += _fault(option, sockets, resolve)
    return found


def _fault(option: Option, sockets: Sockets, resolve: Callable[[str], str]) -> Iterator[str]:
    name, value = option.name, option.value
    if name in ("network", "net"):
        if value != "none":
            yield f"--{name} {value}: {_NETWORKS}"
    elif name in ("pid", "ipc"):
        if value.partition(":")[0] in ("host", "container", "ns"):
            yield f"--{name} {value}: it shares what others have. Fix: leave it out"
    elif name == "restart":
        if value != "no":
            yield (
                "--restart: started by its engine, it would have no network. Fix: leave it out, or "
                "use the OCI hook (docs/containers.md)"
            )
    elif name == "security-opt":
        if value.replace(":", "=") in ("seccomp=unconfined", "systempaths=unconfined"):
            yield f"--security-opt {value}: it takes the container's walls away. Fix: leave it out"
        elif value.startswith("unmask"):
            yield f"--security-opt {value}: it opens the host's kernel. Fix: leave it out"
    elif name == "device":
        path = value.partition(":")[0]
        if any(word in path for word in ("vsock", "vhost-", "/dev/mem", "/dev/kmem", "/dev/port")):
            yield f"--device {path}: it leads out of the container. Fix: leave it out"
    elif name == "volume":
        source, _, behind = value.partition(":")
        if behind and source[:1] in ("/", ".", "~"):
            target = behind.partition(":")[0]
            yield from boundary.source_faults(source, target, sockets, resolve)
    elif name == "mount":
        fields = dict(part.partition("=")[::2] for part in value.split(","))
        source = fields.get("source", "") or fields.get("src", "")
        if source and fields.get("type", "bind") in ("bind", "glob"):
            target = fields.get("target") or fields.get("dst") or fields.get("destination") or ""
            yield from boundary.source_faults(source, target, sockets, resolve)
    elif name == "with-ns":
        kind = value.partition(":")[0]
        if kind in boundary.NAMESPACES:
            yield f"--with-ns {value}: it shares what others have. Fix: leave it out"


def create(line: Line, added: Additions, pid_file: str = "") -> list[str]:
    """The command that makes the container; of ctr, the one that starts it as well.

    Args:
        line: as asked for.
        added: what goes in.
        pid_file: of ctr: where it writes the pid.
    """
    if line.engine == "ctr":
        return _ctr(line, added, pid_file)
    own = ["--network", "none"]
    if line.engine == "podman":
        own.append("--http-proxy=false")  # the host's; here every path is ours
    for inside, path in added.mounts.items():
        own += ["--volume", f"{path}:{inside}:ro"]
    for name, text in added.environment.items():
        own += ["--env", f"{name}={text}"]
    if added.seccomp and not _has_seccomp(line):
        own += ["--security-opt", f"seccomp={added.seccomp}"]
    kept = [
        word
        for option in line.options
        if option.name not in (*_AFTER, "network", "net", "http-proxy")
        for word in option.words
    ]
    return [*_head(line), "create", *own, *kept, *line.rest]


def _ctr(line: Line, added: Additions, pid_file: str) -> list[str]:
    own = ["--pid-file", pid_file]
    for inside, path in added.mounts.items():
        own += ["--mount", f"type=bind,src={path},dst={inside},options=rbind:ro"]
    for name, text in added.environment.items():
        own += ["--env", f"{name}={text}"]
    if added.seccomp and not _has_seccomp(line):
        own += ["--seccomp", "--seccomp-profile", added.seccomp]
    kept = [word for option in line.options for word in option.words]
    return [*line.head, "run", *own, *kept, *line.rest]


def _has_seccomp(line: Line) -> bool:
    return any(
        (option.name == "security-opt" and option.value.startswith("seccomp"))
        or option.name == "seccomp-profile"
        for option in line.options
    )


def _head(line: Line) -> list[str]:
    # A context that a file chooses may be another machine's.
    return [*line.head, *(["--context", "default"] if line.engine == "docker" else [])]


def init(line: Line, container: str) -> list[str]:
    """The command that makes its namespaces, and starts nothing; none where there is no such."""
    return [*_head(line), "init", container] if line.engine == "podman" else []


def inspect(line: Line, container: str) -> list[str]:
    """The command that prints its pid, and, of Podman, the path of its OCI configuration."""
    shown = "{{.State.Pid}}" + (" {{.OCIConfigPath}}" if line.engine == "podman" else "")
    kind = ["container"] if line.engine != "nerdctl" else []
    return [*_head(line), *kind, "inspect", "--format", shown, container]


def start(line: Line, container: str) -> list[str]:
    """The command that starts its program."""
    how = []
    if not line.is_set("detach"):
        how.append("--attach")
        if line.is_set("interactive") and line.engine != "nerdctl":
            how.append("--interactive")
    how += [
        word
        for option in line.options
        if option.name in ("sig-proxy", "detach-keys") and line.engine != "nerdctl"
        for word in option.words
    ]
    return [*_head(line), "start", *how, container]


def remove(line: Line, container: str) -> list[str]:
    """The command that ends and removes it."""
    if line.engine == "ctr":
        return [*line.head, "task", "kill", "--signal", "SIGKILL", container]
    return [*_head(line), "rm", "--force", container]

"""Options of `podman run`, `docker run`, `nerdctl run` and `ctr run`, as far as to find the image.

The engines' manuals: podman-run(1), docker-run(1), nerdctl's command reference, `ctr run --help`.
An option that is not here may be given as `--OPTION=VALUE`, which needs no table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

SWITCHES: Final = frozenset(
    (
        *("detach", "init", "interactive", "tty", "rm", "rmi", "privileged", "publish-all"),
        *("read-only", "read-only-tmpfs", "no-hosts", "no-hostname", "no-healthcheck", "quiet"),
        *("oom-kill-disable", "replace", "sig-proxy", "tls-verify", "http-proxy", "env-host"),
        *("passwd", "rootfs", "disable-content-trust", "unsetenv-all", "use-api-socket"),
    )
)
VALUES: Final = frozenset(
    (
        *("add-host", "annotation", "arch", "attach", "authfile", "blkio-weight"),
        *("blkio-weight-device", "cap-add", "cap-drop", "cgroup-conf", "cgroup-parent"),
        *("cgroupns", "cgroups", "chrootdirs", "cidfile", "conmon-pidfile", "cpu-period"),
        *("cpu-quota", "cpu-rt-period", "cpu-rt-runtime", "cpu-shares", "cpus", "cpuset-cpus"),
        *("cpuset-mems", "decryption-key", "detach-keys", "device", "device-cgroup-rule"),
        *("device-read-bps", "device-read-iops", "device-write-bps", "device-write-iops", "dns"),
        *("dns-opt", "dns-option", "dns-search", "domainname", "entrypoint", "env", "env-file"),
        *("env-merge", "expose", "gidmap", "gpus", "group-add", "group-entry", "health-cmd"),
        *("health-interval", "health-retries", "health-start-period", "health-timeout"),
        *("hostname", "hostuser", "image-volume", "init-ctr", "init-path", "ip", "ip6", "ipc"),
        *("isolation", "kernel-memory", "label", "label-file", "link", "log-driver", "log-opt"),
        *("mac-address", "memory", "memory-reservation", "memory-swap", "memory-swappiness"),
        *("mount", "name", "net", "network", "network-alias", "oom-score-adj", "os"),
        *("passwd-entry", "personality", "pid", "pidfile", "pids-limit", "platform", "pod"),
        *("pod-id-file", "preserve-fds", "publish", "requires", "restart", "retry", "runtime"),
        *("sdnotify", "seccomp-policy", "secret", "security-opt", "shm-size", "snapshotter"),
        *("stop-signal", "stop-timeout", "storage-opt", "subgidname", "subuidname", "sysctl"),
        *("systemd", "timeout", "tmpfs", "tz", "uidmap", "ulimit", "umask", "unsetenv", "user"),
        *("userns", "uts", "variant", "volume", "volume-driver", "volumes-from", "workdir"),
    )
)
SHORT: Final = {
    "P": "publish-all",
    "a": "attach",
    "c": "cpu-shares",
    "d": "detach",
    "e": "env",
    "h": "hostname",
    "i": "interactive",
    "l": "label",
    "m": "memory",
    "p": "publish",
    "q": "quiet",
    "t": "tty",
    "u": "user",
    "v": "volume",
    "w": "workdir",
}

CTR_SWITCHES: Final = frozenset(
    (
        *("rm", "null-io", "detach", "tty", "read-only", "net-host", "privileged"),
        *("cni", "no-pivot", "enable-cni", "rootfs", "seccomp", "allow-new-privs", "remap-labels"),
        *("cgroup-parent-ns", "isolated", "disable-apparmor"),
    )
)
CTR_VALUES: Final = frozenset(
    (
        *("env", "env-file", "mount", "label", "cwd", "user", "memory-limit", "cpus"),
        *(
            "cpu-quota",
            "cpu-period",
            "snapshotter",
            "runtime",
            "runc-binary",
            "platform",
            "cap-add",
        ),
        *("cap-drop", "device", "gpus", "with-ns", "pid-file", "config", "log-uri", "cgroup"),
        *("seccomp-profile", "apparmor-profile", "annotation", "hostname", "rootfs-propagation"),
        *("fifo-dir", "uidmap", "gidmap", "oom-score-adj", "cpu-shares", "ip"),
    )
)


CTR_SHORT: Final = {"c": "config", "d": "detach", "t": "tty", "u": "user"}


class Option(NamedTuple):
    """One option as it was given."""

    name: str
    """Long, without dashes."""
    value: str
    """Of a switch: `true` or what was said."""
    words: tuple[str, ...]
    """As they stood on the command line; those of a cluster (`-it`) are taken apart."""


class FlagError(ValueError):
    """A word that cannot be read here; the message says what to write."""


def options(words: Sequence[str], *, ctr: bool = False) -> tuple[list[Option], list[str]]:
    """Read options up to the image.

    Args:
        words: behind `run`.
        ctr: as containerd's own tool has them: one dash or two, and no clusters.

    Returns:
        The options, and the image with what is behind it.

    Raises:
        FlagError: see there.
    """
    found: list[Option] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        if word == "--":
            break
        if ctr:
            found.append(_long(word.lstrip("-"), word, rest, CTR_SWITCHES, CTR_VALUES))
        elif word.startswith("--"):
            found.append(_long(word[2:], word, rest, SWITCHES, VALUES))
        else:
            found += _cluster(word, rest)
    return found, rest


def _long(
    text: str, word: str, rest: list[str], switches: frozenset[str], values: frozenset[str]
) -> Option:
    name, equals, value = text.partition("=")
    name = CTR_SHORT.get(name, name)  # of other engines a name of one letter is no long one
    if equals:
        return Option(name, value, (word,))
    if name in switches:
        return Option(name, "true", (word,))
    if name in values and rest:
        value = rest.pop(0)
        return Option(name, value, (word, value))
    why = "needs a value" if name in values else "is not known here: is the next word its value?"
    raise FlagError(f"{word} {why} Write {word}=VALUE, or {word}=true for a switch")


def _cluster(word: str, rest: list[str]) -> Iterator[Option]:
    for at, letter in enumerate(word[1:], 1):
        name = SHORT.get(letter)
        if name is None:
            raise FlagError(f"-{letter} is not known here; write its long form")
        if name in SWITCHES:
            yield Option(name, "true", (f"-{letter}",))
            continue
        value = word[at + 1 :].removeprefix("=")
        if not value:
            if not rest:
                raise FlagError(f"-{letter} needs a value")
            value = rest.pop(0)
        yield Option(name, value, (f"-{letter}", value))
        return

"""What this kernel and machine offer, found by trying it in throw-away namespaces.

Every probe that changes anything runs in a forked child inside namespaces of its own, which end
with it. `choose` is pure: it turns what was found into a decision and its reasons.
"""

from __future__ import annotations

import enum
import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from netns import anyip, limits, namespaces, overlay
from netns.captive import CaptiveError, create
from netns.namespaces import Namespace
from netns.remedies import INSTALL_NFT, find_program, user_namespace_limits


class Need(enum.StrEnum):
    """What a feature is for."""

    ROOT = "sudo"
    """A jail that root starts cannot run without it."""
    ROOTLESS = "rootless"
    """A rootless jail cannot run without it."""
    BOTH = "every jail"
    BETTER = "better with it"
    INFORMATION = "for information"


class Feature(msgspec.Struct, frozen=True):
    """One thing that was looked for."""

    name: str
    need: Need
    present: bool
    detail: str
    """Version, or what was said when it failed."""
    fix: str = ""
    """Command or step that mends it; empty when present or when nothing can be done."""


class Choice(msgspec.Struct, frozen=True):
    """Which backends a jail of this caller would use, and why."""

    runs: bool
    """Whether a jail can run at all for this caller."""
    mode: str
    """`sudo`, `rootless`, or `none`."""
    mode_reason: str
    capture: str
    """How connections are brought to the listeners."""
    refused: str
    """What becomes of packets that no listener takes."""
    queue: str
    """How they are shown to the packet guard: `nft queue`, `iptables-nft NFQUEUE`, or empty."""


CAPTIVE_ROOT: Final = "captive namespace (sudo)"
CAPTIVE_ROOTLESS: Final = "captive namespace (rootless)"
NFT_QUEUE: Final = "nft queue"
IPTABLES_QUEUE: Final = "iptables-nft NFQUEUE"

_NOBODY: Final = 65534
_NFQUEUE_FIX: Final = "none needed: refused packets are counted by class; only their names are lost"


def try_apart(task: Callable[[], str], *, ordinary: bool = False, seconds: float = 15.0) -> str:
    """Run `task` in a forked child and carry its answer here.

    Args:
        task: what to try; its namespaces end with the child.
        ordinary: as a user without rights, when the caller is root.
        seconds: after which the child is killed.

    Returns:
        What `task` returned.

    Raises:
        OSError: what `task` raised, or that it was killed.

    """
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        answer = "-child ended early"
        try:
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            signal.alarm(int(seconds) or 1)
            os.close(reader)
            if ordinary and os.geteuid() == 0:
                anyip.load_messages()  # while the files can still be read
                os.setgroups([])
                os.setgid(_NOBODY)
                os.setuid(_NOBODY)
            answer = "+" + task()
        except CaptiveError as error:
            answer = f"-{error.step}: {error.cause}\n{error.fix}"
        except Exception as error:  # noqa: BLE001 - reported, then this process ends
            answer = f"-{error}"
        finally:
            os.write(writer, answer.encode()[:4096])
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        answer = stream.read().decode("utf-8", "replace")
    os.waitpid(child, 0)
    if not answer.startswith("+"):
        raise OSError(answer[1:] or f"no answer within {seconds:g} s")
    return answer[1:]


def _feature(
    name: str, need: Need, task: Callable[[], str], fix: str = "", *, ordinary: bool = False
) -> Feature:
    """Try `task` apart; what it returns is the detail, what it raises the reason of absence."""
    try:
        return Feature(name, need, present=True, detail=try_apart(task, ordinary=ordinary))
    except OSError as error:
        cause, _, own_fix = str(error).partition("\n")
        return Feature(name, need, present=False, detail=cause, fix=own_fix or fix)


def _output(*command: str, text: str = "") -> str:
    """First line that a program says; OSError with its complaint when it fails."""
    program = find_program(command[0])
    ended = subprocess.run(
        [program, *command[1:]],
        input=text.encode(),
        capture_output=True,
        env={"LC_ALL": "C", "PATH": os.environ.get("PATH", "/usr/bin:/bin")},
        timeout=10,
        check=False,
    )
    said = (ended.stderr if ended.returncode else ended.stdout).decode("utf-8", "replace")
    lines = said.strip().splitlines()
    if ended.returncode:
        raise OSError(lines[0] if lines else f"{command[0]} ended with {ended.returncode}")
    return lines[0] if lines else "works"


def _unshared(kinds: Namespace) -> None:
    """Enter throw-away namespaces, through a user namespace when the caller is not root."""
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        namespaces.unshare(kinds)
        return
    namespaces.unshare(kinds | Namespace.USER)
    namespaces.map_own_ids(uid, gid)
    for capability in (namespaces.CAP_NET_ADMIN, namespaces.CAP_NET_RAW):
        namespaces.keep_over_exec(capability)


def _namespace(kind: Namespace) -> Callable[[], str]:
    def task() -> str:
        _unshared(kind)
        return "works"

    return task


def _in_network(*command: str, text: str = "") -> Callable[[], str]:
    """A program in a throw-away network namespace; success is all that matters."""

    def task() -> str:
        find_program(command[0])
        _unshared(Namespace.NET)
        _output(*command, text=text)
        return "works"

    return task


def _user_namespace() -> str:
    uid, gid = os.geteuid(), os.getegid()
    namespaces.unshare(Namespace.USER | Namespace.NET)
    namespaces.map_own_ids(uid, gid)
    # A security module may let it be made and still take its rights away: use one.
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    return "works"


def _captive(*, rootless: bool) -> Callable[[], str]:
    def task() -> str:
        made = create(rootless=rootless)
        families = "IPv4 and IPv6" if len(made.tcp) == 2 else "IPv4 only"
        made.read_refusals()
        made.close()
        return f"{families}, ready in {made.seconds * 1000:.0f} ms"

    return task


def _overlay() -> str:
    _unshared(Namespace.MOUNT)
    return overlay.tried()


def _bubblewrap() -> str:
    version = _output("bwrap", "--version")
    harmless = ("--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--dev", "/dev")
    _output("bwrap", *harmless, "--", find_program("true"))
    return version


def _ipv6() -> str:
    socket.socket(socket.AF_INET6, socket.SOCK_STREAM).close()
    return "works"


def _seccomp() -> str:
    actions = Path("/proc/sys/kernel/seccomp/actions_avail").read_text("ascii").split()
    if "errno" not in actions:
        raise OSError(f"the kernel filters, but only with {' '.join(actions)}")
    return "filters"


def _libseccomp() -> str:
    if not namespaces.library_loads("libseccomp.so.2"):
        raise OSError("libseccomp.so.2 is not found")
    return "libseccomp.so.2"


def _landlock() -> str:
    version = namespaces.landlock_version()
    if not version:
        raise OSError("not in this kernel, or not among the active security modules")
    return f"ABI {version}"


def _tap() -> str:
    os.close(os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC))
    return "/dev/net/tun opens"


def _io_uring() -> str:
    if not namespaces.io_uring_answers():
        raise OSError("absent or switched off")
    return "on; inside a jail it is denied"


def _limits() -> Feature:
    limits = user_namespace_limits()
    return Feature(
        "no limit on user namespaces",
        Need.ROOTLESS,
        present=not limits,
        detail=", ".join(setting for setting, _ in limits) or "no setting stands in the way",
        fix="; ".join(command for _, command in limits),
    )


_QUEUE_RULES: Final = (
    "add table inet probe\n"
    "add chain inet probe out { type filter hook output priority 0; }\n"
    "add rule inet probe out queue num 1\n"
)


def probe() -> list[Feature]:
    """Try everything. Takes about half a second; leaves nothing behind.

    The caller must have one thread, because children are forked.
    """
    root = os.geteuid() == 0
    rootless_fix = _limits().fix or "use sudo: this machine's policy forbids user namespaces"
    features = []
    if root:
        features.append(_feature(CAPTIVE_ROOT, Need.ROOT, _captive(rootless=False)))
    else:
        features.append(
            Feature(CAPTIVE_ROOT, Need.ROOT, present=False, detail="not tried: you are not root",
                    fix="sudo egressguard doctor")
        )  # fmt: skip
    features += [
        _feature(CAPTIVE_ROOTLESS, Need.ROOTLESS, _captive(rootless=True), ordinary=True),
        _feature("user namespaces", Need.ROOTLESS, _user_namespace, rootless_fix, ordinary=True),
        _limits(),
        _feature("network namespaces", Need.BOTH, _namespace(Namespace.NET), rootless_fix),
        _feature("PID namespaces", Need.BOTH, _namespace(Namespace.PID), rootless_fix),
        _feature("mount namespaces", Need.BOTH, _namespace(Namespace.MOUNT), rootless_fix),
        _feature("nft", Need.BOTH, lambda: _output("nft", "--version"), INSTALL_NFT),
        _feature("bubblewrap", Need.BOTH, _bubblewrap, "sudo apt-get install bubblewrap"),
        _feature("seccomp", Need.BOTH, _seccomp, "use a kernel with CONFIG_SECCOMP_FILTER"),
        _feature("libseccomp", Need.BOTH, _libseccomp, "sudo apt-get install libseccomp2"),
        _feature("IPv6", Need.BETTER, _ipv6, "none needed: the jail then has IPv4 only"),
        _feature("Landlock", Need.BETTER, _landlock, "add landlock to the kernel's lsm= parameter"),
        _feature(NFT_QUEUE, Need.BETTER, _in_network("nft", "-f", "-", text=_QUEUE_RULES),
                 _NFQUEUE_FIX),
        _feature(IPTABLES_QUEUE, Need.BETTER,
                 _in_network("iptables-nft", "-A", "OUTPUT", "-j", "NFQUEUE"),
                 "sudo apt-get install iptables"),
        _feature("overlay", Need.BETTER, _overlay, "use --home ro or --home private"),
        _feature("resource limits", Need.BETTER, lambda: limits.described(limits.here()),
                 "boot with systemd.unified_cgroup_hierarchy=1"),
        _feature("veth links", Need.INFORMATION,
                 _in_network("ip", "link", "add", "probe0", "type", "veth", "peer", "name",
                             "probe1")),
        _feature("tap devices", Need.INFORMATION, _tap, "use sudo, or: sudo modprobe tun"),
        _feature("io_uring", Need.INFORMATION, _io_uring),
    ]  # fmt: skip
    return features


def choose(features: Sequence[Feature], *, root: bool) -> Choice:
    """Decide from what was found.

    Args:
        features: from `probe`.
        root: whether the caller is root.

    Returns:
        The backends a jail of this caller would use. `runs` is False when something that every
        jail needs, or that the caller's way of starting one needs, is missing.

    """
    present = {feature.name for feature in features if feature.present}
    own = Need.ROOT if root else Need.ROOTLESS
    lacking = [
        feature.name
        for feature in features
        if feature.need in {own, Need.BOTH}
        and not feature.present
        # What counts is that the namespace can be made; a setting alone decides nothing.
        and not (feature.name != CAPTIVE_ROOTLESS and feature.need is Need.ROOTLESS)
    ]
    runs = bool(features) and not lacking
    if not runs:
        mode, reason = "none", f"missing: {', '.join(lacking) or 'everything'}"
    elif root:
        mode, reason = "sudo", "you are root"
    else:
        mode, reason = "rootless", "you are not root, and user namespaces work"
    if NFT_QUEUE in present:
        queue = NFT_QUEUE
    elif IPTABLES_QUEUE in present:
        queue = IPTABLES_QUEUE
    else:
        queue = ""
    capture = "AnyIP routes and nft redirect" if runs else "none"
    refused = "refused at once, " + ("named by the guard" if queue else "counted by class")
    return Choice(runs, mode, reason, capture, refused, queue)


def caller() -> str:
    """Name of the caller, for people."""
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        return f"uid {os.geteuid()}"
